"""The statistic: never more than alpha false openings, because it is a supermartingale; and its inversions."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from shadow.catalogue.gate_settings import GateSettings, MigrationGate
from shadow.gate.process import (
    PERFECT,
    alpha_of,
    log_e,
    log_e_above,
    log_e_above_path,
    log_e_path,
    minimum_pairs,
    pairs_to_open,
    quick_log_e,
    threshold,
    upper_bound,
)

budgets = st.sampled_from([0.001, 0.002, 0.005, 0.01, 0.05, 0.3])


@st.composite
def counts(draw: st.DrawFn, most: int = 5000) -> tuple[int, int]:
    pairs = draw(st.integers(0, most))
    return pairs, draw(st.integers(0, pairs) | st.integers(0, min(pairs, 20)))


def test_it_starts_at_one_since_the_weights_sum_to_one() -> None:
    assert log_e(0, 0, 0.01) == pytest.approx(0)
    assert log_e_above(0, 0, 0.01) == pytest.approx(0)
    assert math.exp(log_e(1, 0, 0.01)) == pytest.approx((PERFECT + (1 - PERFECT) * (1 - 0.005)) / 0.99)


@given(counts(), budgets, st.floats(0, 1))
def test_while_the_rate_is_above_the_budget_it_grows_on_average_with_no_pair(
    counted: tuple[int, int], budget: float, share: float
) -> None:
    n, k = counted
    theta = budget + (1 - budget) * share
    now = log_e(n, k, budget)
    clean, wrong = math.exp(log_e(n + 1, k, budget) - now), math.exp(log_e(n + 1, k + 1, budget) - now)
    assert (1 - theta) * clean + theta * wrong <= 1 + 1e-9


@given(counts(), budgets, st.floats(0, 1))
def test_while_the_rate_is_below_the_budget_the_opposite_grows_on_average_with_no_pair(
    counted: tuple[int, int], budget: float, share: float
) -> None:
    n, k = counted
    theta = budget * share
    now = log_e_above(n, k, budget)
    clean, wrong = math.exp(log_e_above(n + 1, k, budget) - now), math.exp(log_e_above(n + 1, k + 1, budget) - now)
    assert (1 - theta) * clean + theta * wrong <= 1 + 1e-9


@given(counts(400), budgets)
def test_both_agree_with_quadrature(counted: tuple[int, int], budget: float) -> None:
    n, k = counted

    peak = min(max(k / n if n else 0.0, 1e-9), 1 - 1e-9)

    def bet(theta: float) -> float:
        """Its logarithm."""
        return (k * math.log(theta / budget) if k else 0.0) + (
            (n - k) * math.log((1 - theta) / (1 - budget)) if n > k else 0.0
        )

    def even(low: float, high: float) -> float:
        """The logarithm of the mean bet."""
        largest = bet(min(max(peak, low + 1e-9), high - 1e-9))
        inner = [peak] if low < peak < high else None
        mean, _ = integrate.quad(
            lambda theta: math.exp(bet(theta) - largest), low, high, points=inner, limit=500, epsabs=0, epsrel=1e-9
        )
        return largest + math.log(mean / (high - low))

    below = math.log(1 - PERFECT) + even(0, budget)
    perfect = math.log(PERFECT) - n * math.log1p(-budget) if k == 0 else -math.inf
    assert log_e(n, k, budget) == pytest.approx(np.logaddexp(perfect, below), abs=1e-6)
    assert log_e_above(n, k, budget) == pytest.approx(even(budget, 1), abs=1e-6)


@given(counts(), budgets)
def test_a_mismatch_more_lowers_it_and_raises_the_opposite(counted: tuple[int, int], budget: float) -> None:
    n, k = counted
    if k < n:
        assert log_e(n, k + 1, budget) < log_e(n, k, budget)
        assert log_e_above(n, k + 1, budget) > log_e_above(n, k, budget)


@given(counts(), budgets)
def test_a_clean_pair_more_raises_it(counted: tuple[int, int], budget: float) -> None:
    n, k = counted
    assert log_e(n + 1, k, budget) > log_e(n, k, budget)


@given(counts(), st.floats(0.001, 0.5), st.floats(0.001, 0.5))
def test_whoever_shows_a_budget_to_be_kept_shows_it_of_every_larger_one(
    counted: tuple[int, int], one: float, other: float
) -> None:
    """So a budget may be chosen after looking, and the bound is one for all budgets."""
    n, k = counted
    low, high = sorted((one, other))
    if log_e(n, k, low) >= 0 and low > (k / n if n else 0):
        assert log_e(n, k, high) >= log_e(n, k, low) - 1e-9


@pytest.mark.parametrize("mismatches", [0, 1, 10**4, 10**5, 110_000, 111_700, 2 * 10**5, 5 * 10**6, 10**7 - 1, 10**7])
def test_ten_million_pairs_overflow_nothing(mismatches: int) -> None:
    n = 10**7
    for budget in (0.002, 0.01):
        assert math.isfinite(log_e(n, mismatches, budget))
        assert math.isfinite(log_e_above(n, mismatches, budget))


def test_where_the_beta_function_vanishes_it_goes_on_smoothly() -> None:
    """From one way of computing it to the other there is no step."""
    n = np.full(4000, 200_000)
    k = np.arange(2000, 6000)
    for path in (log_e_path(n, k, 0.01), log_e_above_path(n, n - k, 0.99)):
        steps = np.diff(path)
        assert np.all(steps < 0)
        assert np.all(np.abs(np.diff(steps)) < 1e-2)


def test_many_at_once_are_as_each_alone() -> None:
    n, k = list(range(50, 60)), list(range(10))
    assert log_e_path(n, k, 0.02).tolist() == [log_e(a, b, 0.02) for a, b in zip(n, k, strict=True)]
    assert log_e_above_path(n, k, 0.02).tolist() == [log_e_above(a, b, 0.02) for a, b in zip(n, k, strict=True)]


def test_the_fixed_sample_minimum() -> None:
    assert minimum_pairs(0.01, 0.05) == 299
    assert minimum_pairs(0.002, 0.05) == 1497


@pytest.mark.parametrize("budget", [0.001, 0.002, 0.005, 0.01, 0.05])
def test_a_perfect_candidate_needs_little_more_than_the_minimum(budget: float) -> None:
    assert minimum_pairs(budget, 0.05) < pairs_to_open(0, 0, budget, 0.05) <= 1.25 * minimum_pairs(budget, 0.05)


@given(counts(2000), budgets, st.sampled_from([0.05, 0.01]))
def test_so_many_clean_pairs_open_it_and_one_less_does_not(
    counted: tuple[int, int], budget: float, alpha: float
) -> None:
    n, k = counted
    more = pairs_to_open(n, k, budget, alpha)
    assert log_e(n + more, k, budget) >= threshold(alpha)
    assert more == 0 or log_e(n + more - 1, k, budget) < threshold(alpha)


@given(counts(), st.sampled_from([0.05, 0.01]))
def test_the_bound_is_the_smallest_budget_that_is_kept(counted: tuple[int, int], alpha: float) -> None:
    n, k = counted
    bound = upper_bound(n, k, alpha)
    assert (k / n if n else 0) <= bound <= 1
    if bound < 1:
        assert log_e(n, k, min(bound * 1.0001, 1 - 1e-12)) >= threshold(alpha) - 1e-6
    if bound > 0.001:
        assert bound >= 0.9999 or log_e(n, k, bound * 0.9999) < threshold(alpha)


def test_nothing_is_known_of_no_pairs() -> None:
    assert upper_bound(0, 0, 0.05) == 1


@pytest.mark.parametrize(("n", "k", "budget"), [(1, 2, 0.1), (1, -1, 0.1), (1, 0, 0), (1, 0, 1)])
def test_what_cannot_be_is_refused(n: int, k: int, budget: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        log_e(n, k, budget)


def test_alpha_is_shared_by_all_tasks_and_by_all_epochs_where_that_is_asked() -> None:
    settings = GateSettings(confidence=0.95, soak=timedelta(0))
    assert alpha_of(settings, MigrationGate(), 199, 7) == pytest.approx(0.05)
    assert alpha_of(settings, MigrationGate(family_wise=True), 199, 7) == pytest.approx(0.05 / 199)
    over = MigrationGate(over_epochs=True)
    assert alpha_of(settings, over, 199, 1) == pytest.approx(0.025)
    assert sum(alpha_of(settings, over, 199, number) for number in range(1, 10_000)) == pytest.approx(0.05, abs=1e-5)


@given(counts(), budgets)
def test_the_quick_way_comes_to_the_same(told: tuple[int, int], budget: float) -> None:
    assert quick_log_e(*told, budget) == pytest.approx(log_e(*told, budget), rel=1e-9, abs=1e-9)
