"""Which pairs are counted next: the oldest, up to the first that is unresolved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.gate.order import UNDER_WAY, Frontier, countable

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("resolved", "counted"),
    [([], 0), ([True], 1), ([False], 0), ([True, True, False, True], 2), ([False, True, True], 0), ([True] * 5, 5)],
)
def test_nothing_at_or_after_the_oldest_unresolved_pair_is_counted(resolved: list[bool], counted: int) -> None:
    assert countable(np.array(resolved, bool)) == counted


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 29))
def test_what_comes_after_an_unresolved_pair_changes_nothing(resolved: list[bool], place: int) -> None:
    """The choice of the next pair to be counted knows no verdict but those of the pairs before it."""
    if place < len(resolved):
        before = [*resolved[:place], False]
        assert countable(np.array([*before, *resolved[place + 1 :]])) == countable(np.array(before))


def test_many_sequences_at_once_are_as_each_alone() -> None:
    rows = np.array([[True, False, True], [True, True, True], [False, True, True]])
    assert countable(rows).tolist() == [int(countable(row)) for row in rows] == [1, 3, 0]
    assert countable(np.zeros((4, 0), bool)).tolist() == [0] * 4


def test_it_waits_for_commits_under_way_and_for_events_whose_pairs_are_not_there() -> None:
    assert Frontier(NOW).before == NOW - UNDER_WAY
    early = NOW - timedelta(hours=1)
    assert Frontier(NOW, early).before == early
    assert Frontier(NOW, NOW).before == NOW - UNDER_WAY
