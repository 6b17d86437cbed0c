"""What was spent, for each thousand events."""

from __future__ import annotations

from benchmarks.loop.costs import difference


def test_the_dearest_comes_first() -> None:
    assert list(difference({"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 4.0}, 2.0).items()) == [("b", 1.5), ("a", 0.5)]


def test_a_process_that_was_not_there_before_counts_from_nothing() -> None:
    assert difference({}, {"a": 3.0}, 1.0) == {"a": 3.0}
