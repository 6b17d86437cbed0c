"""How long a failed dispatch waits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.model.backoff import Backoff


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [
        (1, 0.5),  # the base
        (2, 1.0),
        (5, 8.0),
        (10, 256.0),
        (11, 300.0),  # the cap
        (10_000, 300.0),  # far past what a float could double to
    ],
)
def test_the_ceiling_doubles_up_to_the_cap(attempts: int, seconds: float) -> None:
    assert Backoff().ceiling(attempts) == timedelta(seconds=seconds)


@given(attempts=st.integers(1, 200), chance=st.floats(0, 1, exclude_max=True))
def test_a_wait_lies_anywhere_below_the_ceiling(attempts: int, chance: float) -> None:
    backoff = Backoff()
    assert timedelta(0) <= backoff.wait(attempts, chance) <= backoff.ceiling(attempts)


def test_chance_decides_where() -> None:
    backoff = Backoff()
    assert backoff.wait(4, 0.0) == timedelta(0)
    assert backoff.wait(4, 0.5) == timedelta(seconds=2)


@given(
    attempts=st.integers(1, 50),
    chance=st.floats(0, 1, exclude_max=True),
    asked=st.integers(0, 600),
)
def test_what_the_platform_asks_for_is_the_least(attempts: int, chance: float, asked: int) -> None:
    wait = Backoff().wait(attempts, chance, asked=timedelta(seconds=asked))
    assert timedelta(seconds=asked) <= wait <= timedelta(seconds=asked * 1.5)


def test_it_is_given_up_after_the_last_attempt() -> None:
    backoff = Backoff(max_attempts=3)
    assert [backoff.exhausted(attempt) for attempt in (1, 2, 3)] == [False, False, True]
