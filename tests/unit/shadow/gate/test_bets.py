"""Bounds on a mean by betting: valid at any time, monotone, and soon good enough to be of use."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.gate.bets import log_wealth_above, log_wealth_below, needed, upper_limit

counts = st.dictionaries(st.sampled_from([-1.0, 0.0, 1.0]), st.integers(0, 2000))


def test_nothing_is_known_before_anything_came() -> None:
    assert upper_limit({}, 0.05, -1.0, 1.0) == 1.0
    assert log_wealth_below({}, 0.1, 1.0) == pytest.approx(0.0)


def test_what_never_fails_is_shown_soon() -> None:
    fixed = math.ceil(math.log(1 / 0.05) / -math.log1p(-0.02))
    assert fixed == 149
    assert needed(0.0, {}, 0.02, 1.0, 0.05) == 181  # half of the stakes are on "never"
    assert needed(0.0, {}, 0.5, 1.0, 0.05) == 6


def test_how_many_are_needed_is_exactly_how_many_are() -> None:
    had = {0.0: 300, 1.0: 4}
    more = needed(0.0, had, 0.03, 1.0, 0.05)
    assert more is not None and more > 0
    assert log_wealth_below({0.0: 300 + more, 1.0: 4}, 0.03, 1.0) >= math.log(20)
    assert log_wealth_below({0.0: 299 + more, 1.0: 4}, 0.03, 1.0) < math.log(20)


def test_no_number_of_zeros_shows_a_mean_below_zero() -> None:
    assert needed(0.0, {}, 0.0, 1.0, 0.05) is None


@given(counts, st.floats(0.001, 0.4))
def test_a_bound_is_what_is_refuted(found: dict[float, int], alpha: float) -> None:
    limit = upper_limit(found, alpha, -1.0, 1.0)
    if limit < 1.0:
        assert log_wealth_below(found, limit, 1.0) >= -math.log(alpha)
    total = sum(found.values())
    if total:
        assert limit >= sum(value * count for value, count in found.items()) / total - 1e-9


@given(counts, st.integers(1, 100))
def test_a_larger_value_never_lowers_the_bound(found: dict[float, int], more: int) -> None:
    low = {**found, 0.0: found.get(0.0, 0) + more}
    high = {**found, 1.0: found.get(1.0, 0) + more}
    assert upper_limit(high, 0.05, -1.0, 1.0) >= upper_limit(low, 0.05, -1.0, 1.0) - 1e-9
    assert log_wealth_below(high, 0.02, 1.0) <= log_wealth_below(low, 0.02, 1.0) + 1e-9
    assert log_wealth_above(high, 0.02, -1.0) >= log_wealth_above(low, 0.02, -1.0) - 1e-9


def test_however_often_one_looks_it_seldom_says_what_is_not_so() -> None:
    """A candidate fails just as often as it may: at most 5 % of 200 migrations may ever show it to be better."""
    dice = random.Random(7)
    false = 0
    for _ in range(200):
        found = {0.0: 0, 1.0: 0}
        for _ in range(200):
            found[1.0 if dice.random() < 0.1 else 0.0] += 1
            if log_wealth_below(found, 0.1, 1.0) >= math.log(20):
                false += 1
                break
    assert false <= 0.05 * 200 + 3 * math.sqrt(200 * 0.05 * 0.95)
