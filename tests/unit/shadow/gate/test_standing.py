"""Where the statistic stands: opened, regressed, and counted otherwise than at first."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.gate.process import log_e, pairs_to_open, threshold
from shadow.gate.standing import Correction, Mark, Standing, Test

TEST = Test(budget=0.05, alpha=0.05, regress_alpha=0.05)
NEEDED = pairs_to_open(0, 0, TEST.budget, TEST.alpha)


def clean(standing: Standing, pairs: int) -> Standing:
    return standing.counted([False] * pairs, [True] * pairs, TEST)


def wrong(standing: Standing, pairs: int) -> Standing:
    return standing.counted([True] * pairs, [True] * pairs, TEST)


OPEN = clean(Standing(), NEEDED + 50)


def test_it_opens_with_the_very_pair_that_reaches_the_threshold_and_stays_open() -> None:
    assert clean(Standing(), NEEDED - 1).opened is None
    assert OPEN.opened == Mark(NEEDED, NEEDED, 0)
    later = wrong(OPEN, 2)
    assert later.opened == OPEN.opened
    assert later.log_e(TEST) < threshold(TEST.alpha)


@given(st.lists(st.sampled_from("mxn"), max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_how_the_pairs_are_batched_changes_nothing(pairs: list[str], cuts: list[int]) -> None:
    def counted(standing: Standing, some: list[str]) -> Standing:
        return standing.counted([one == "x" for one in some], [one != "n" for one in some], TEST)

    stepwise = Standing()
    for start, end in pairwise(sorted({0, *cuts, len(pairs)})):
        stepwise = counted(stepwise, pairs[start:end])
    at_once = counted(Standing(), pairs)
    assert (stepwise.now, stepwise.opened, stepwise.regressed) == (at_once.now, at_once.opened, at_once.regressed)
    assert stepwise.highest == pytest.approx(at_once.highest)


def test_pairs_that_cannot_be_compared_take_a_place_and_nothing_else() -> None:
    found = Standing().counted([False, True, False], [True, False, True], TEST)
    assert found.now == Mark(3, 2, 0)


def test_a_peak_between_two_looks_is_seen() -> None:
    pairs = np.zeros(NEEDED + 1, bool)
    pairs[-1] = True
    found = Standing().counted(pairs.tolist(), [True] * len(pairs), TEST)
    assert found.opened == Mark(NEEDED, NEEDED, 0)


def test_an_open_one_regresses_by_what_comes_after_the_opening_alone() -> None:
    many = clean(OPEN, 0)
    for _ in range(20):
        many = wrong(clean(many, 1), 1)
        if many.regressed:
            break
    assert many.regressed is not None
    since = many.regressed - (many.opened or Mark())
    assert since.mismatches < 20
    assert clean(many, 500).regressed == many.regressed


def test_a_match_that_turns_out_a_mismatch_takes_back_the_opening_that_rested_on_it() -> None:
    found = clean(Standing(), NEEDED).corrected([Correction(place=3, pairs=0, mismatches=1)], TEST)
    assert (found.opened, found.now) == (None, Mark(NEEDED, NEEDED, 1))
    more = pairs_to_open(NEEDED, 1, TEST.budget, TEST.alpha)
    assert clean(found, more - 1).opened is None
    assert clean(found, more).opened == Mark(NEEDED + more, NEEDED + more, 1)


def test_a_match_after_the_opening_that_turns_out_a_mismatch_counts_for_the_opposite() -> None:
    found = OPEN.corrected([Correction(OPEN.now.place, 0, 1)], TEST)
    assert found.opened == OPEN.opened
    assert (found.now - (found.opened or Mark())).mismatches == 1


def test_a_mismatch_that_turns_out_a_match_may_open_it() -> None:
    closed = clean(wrong(Standing(), 1), NEEDED)
    assert closed.opened is None
    assert closed.corrected([Correction(1, 0, -1)], TEST).opened == Mark(NEEDED + 1, NEEDED + 1, 0)


def test_a_regression_that_rested_on_what_turns_out_a_match_is_taken_back() -> None:
    gone = wrong(clean(Standing(), NEEDED), 6)
    assert gone.regressed is not None
    found = gone.corrected([Correction(NEEDED + place, 0, -1) for place in range(1, 7)], TEST)
    assert (found.regressed, found.opened) == (None, Mark(NEEDED, NEEDED, 0))


def test_a_pair_that_turns_out_incomparable_is_not_among_them_any_more() -> None:
    found = clean(Standing(), 10).corrected([Correction(4, -1, 0)], TEST)
    assert found.now == Mark(10, 9, 0)


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.data())
def test_after_corrections_it_is_open_only_if_some_prefix_opens_it(first: list[bool], data: st.DataObject) -> None:
    turned = data.draw(st.lists(st.integers(0, len(first) - 1), unique=True, max_size=10))
    standing = Standing().counted(first, [True] * len(first), TEST)
    final = list(first)
    for place in turned:
        final[place] = not final[place]
        standing = standing.corrected([Correction(place + 1, 0, 1 if final[place] else -1)], TEST)
    mismatches = np.cumsum(final)
    prefixes = [log_e(n + 1, int(k), TEST.budget) >= threshold(TEST.alpha) for n, k in enumerate(mismatches)]
    assert standing.now == Mark(len(final), len(final), int(mismatches[-1]))
    if standing.opened is not None:
        assert prefixes[standing.opened.place - 1]


def test_a_stricter_budget_takes_back_what_does_not_show_it() -> None:
    stricter = Test(0.01, 0.05, 0.05)
    assert OPEN.reviewed(stricter).opened is None
    assert clean(Standing(), 2000).reviewed(stricter).opened == Mark(2000, 2000, 0)
    assert OPEN.reviewed(TEST) == OPEN
