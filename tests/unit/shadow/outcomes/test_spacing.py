"""When a silent run is asked for again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shadow.outcomes.spacing import GIVE_UP, spacing

EVERY = timedelta(seconds=2)


@pytest.mark.parametrize(
    ("polls", "age", "wait"),
    [
        (0, timedelta(0), 2),  # the platform's own rhythm
        (1, timedelta(seconds=2), 4),
        (4, timedelta(seconds=30), 32),
        (5, timedelta(minutes=1), 60),  # capped at a minute
        (1000, timedelta(minutes=30), 60),
        (1000, timedelta(hours=10), 600),  # a run that waits for hours can be asked for less often
    ],
)
def test_the_wait_doubles_to_a_minute_and_then_grows_with_age(polls: int, age: timedelta, wait: float) -> None:
    assert spacing(EVERY, polls, age) == timedelta(seconds=wait)


def test_a_slow_rhythm_is_kept() -> None:
    assert spacing(timedelta(minutes=5), 0, timedelta(0)) == timedelta(minutes=5)


def test_a_run_that_is_a_month_old_is_not_asked_for_any_more() -> None:
    assert spacing(EVERY, 3, GIVE_UP) is None


def test_a_run_that_starts_in_the_future_is_no_trouble() -> None:
    assert spacing(EVERY, 0, timedelta(days=-3)) == EVERY
