"""A run that nobody knows is new for a while, and then a stranger."""

from __future__ import annotations

import pytest

from shadow.egress import strangers
from shadow.egress.strangers import NEW_SECONDS, Strangers


def test_it_is_new_from_when_it_was_named_first_however_often_it_comes() -> None:
    known = Strangers()
    assert known.is_new("run_1", 1000.0)
    assert known.is_new("run_1", 1000.0 + NEW_SECONDS - 1)
    assert known.is_new("run_2", 1000.0 + NEW_SECONDS - 1)
    assert not known.is_new("run_1", 1000.0 + NEW_SECONDS)
    assert known.is_new("run_2", 1000.0 + NEW_SECONDS)


def test_one_that_was_known_meanwhile_is_new_again() -> None:
    known = Strangers()
    known.is_new("run_1", 1000.0)
    known.is_known("run_1")
    assert known.is_new("run_1", 1000.0 + NEW_SECONDS)
    known.is_known("run_never_named")


def test_of_very_many_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "_REMEMBERED", 3)
    known = Strangers(new_seconds=0)
    for name in range(10):
        known.is_new(name, 1000.0)
    assert list(known._since) == [7, 8, 9]


def test_how_long_a_name_is_takes_no_room() -> None:
    known = Strangers()
    known.is_new(("legacy", "run" * 300), 1000.0)
    assert [type(kept) for kept in known._since] == [int]
    assert not known.is_new(("legacy", "run" * 300), 1000.0 + NEW_SECONDS)
