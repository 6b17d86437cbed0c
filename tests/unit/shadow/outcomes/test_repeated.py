"""Outcomes that are told at the same time."""

from __future__ import annotations

from dataclasses import replace

from shadow.outcomes.outcome import LearnedBy, RunOutcome, Status
from shadow.outcomes.repeated import in_turns


def told(run: str, status: Status = Status.COMPLETED, output: bytes | None = None, **more: int) -> RunOutcome:
    return RunOutcome("trigger", run, status, LearnedBy.REPORT, task="t", output=output, **more)  # type: ignore[arg-type]


def test_runs_of_their_own_are_written_in_one_turn() -> None:
    outcomes = [told("a"), told("b"), replace(told("a"), platform="inngest")]
    assert in_turns(outcomes) == [outcomes]


def test_what_the_first_left_open_a_later_one_fills_in() -> None:
    assert in_turns([told("a", attempts=2), told("b"), told("a", output=b"1", attempts=3)]) == [
        [told("a", output=b"1", attempts=2), told("b")]
    ]


def test_what_was_handed_in_stays_as_it_was() -> None:
    """If the batch can't be written, each is written again with what it said itself: one that can't be stored takes no
    other along."""
    outcomes = [told("a", attempts=2), told("a", output=b"1"), told("a", output=b"2", attempts=3)]
    before = [replace(outcome) for outcome in outcomes]
    assert in_turns(outcomes) == [[told("a", output=b"1", attempts=2)]]
    assert outcomes == before


def test_another_end_of_the_same_run_has_its_own_turn() -> None:
    one, other = told("a"), told("a", Status.FAILED)
    assert in_turns([one, other, told("a", output=b"1")]) == [[told("a", output=b"1")], [told("a", Status.FAILED)]]


def test_a_run_that_is_told_of_thousands_of_times_is_written_once() -> None:
    assert in_turns([told("a", output=b"1") for _ in range(100_000)]) == [[told("a", output=b"1")]]
