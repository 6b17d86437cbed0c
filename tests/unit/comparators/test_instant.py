"""Moments and the clocks of runs."""

from __future__ import annotations

import pytest

from comparators.instant import Moment, Window, moment_in_number, moment_in_text, same_moment
from comparators.ledger import Outcome

HOUR, DAY = 3600.0, 86_400.0
LEGACY, CANDIDATE = Window(1000.0, 1010.0), Window(5000.0, 5003.0)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T00:01:00Z", Moment(60.0, "zoned")),
        ("1970-01-01T01:01:00+01:00", Moment(60.0, "zoned")),
        ("1970-01-01 01:01:00+0100", Moment(60.0, "zoned")),
        ("1970-01-01T00:01Z", Moment(60.0, "zoned")),
        ("1970-01-01T00:00:00.500Z", Moment(0.5, "zoned")),
        ("1970-01-01T00:00:00.5", Moment(0.5, "local")),
        # no date-times
        ("1970-01-01", None),
        ("1970-13-01T00:00:00Z", None),
        ("noon", None),
    ],
)
def test_a_moment_is_read_from_iso_8601(text: str, moment: Moment | None) -> None:
    assert moment_in_text(text) == moment


@pytest.mark.parametrize(
    ("value", "name", "moment"),
    [
        (1_772_445_600, "ts", Moment(1_772_445_600.0, "seconds")),
        (1_772_445_600_500, "deliverAt", Moment(1_772_445_600.5, "milliseconds")),
        # a number under another name is a number
        (1_772_445_600, "orderId", None),
        (1_772_445_600, "count", None),
        # a number that is no time
        (12, "ts", None),
    ],
)
def test_a_moment_is_read_from_an_epoch_under_a_times_name(value: float, name: str, moment: Moment | None) -> None:
    assert moment_in_number(value, ("data", name, 0)) == moment


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        # the same moment
        (99.0, 99.0, True),
        # now, anywhere within each run
        (1000.5, 5002.9, True),
        (1009.0, 5000.0, True),
        # now, by a worker whose clock is a second off
        (999.0, 5004.0, True),
        # seven days later
        (1004.0 + 7 * DAY, 5001.0 + 7 * DAY, True),
        # six days against seven; an hour off; a minute off
        (1004.0 + 7 * DAY, 5001.0 + 6 * DAY, False),
        (1004.0 + 7 * DAY, 5001.0 + 7 * DAY + HOUR, False),
        (1004.0 + 7 * DAY, 5001.0 + 7 * DAY + 60, False),
        # before the runs: data, not a clock
        (900.0, 4900.0, False),
        # one from data, the other from the clock
        (1004.0, 4000.0, False),
        (1004.0, 1004.5, False),
    ],
)
def test_moments_correspond_by_their_distance_from_each_runs_start(
    legacy: float, candidate: float, expected: bool
) -> None:
    mine, theirs = Moment(legacy, "zoned"), Moment(candidate, "zoned")
    assert same_moment(mine, theirs, LEGACY, CANDIDATE) is expected
    assert same_moment(theirs, mine, CANDIDATE, LEGACY) is expected


def test_a_long_run_does_not_excuse_the_step_of_a_time_zone() -> None:
    long = Window(0.0, 10 * HOUR)
    shifted = Moment(7 * DAY + HOUR, "zoned")
    assert not same_moment(Moment(7 * DAY, "zoned"), shifted, long, long)


def test_notations_are_not_mixed() -> None:
    assert not same_moment(Moment(60.0, "zoned"), Moment(60.0, "local"), LEGACY, CANDIDATE)


def test_without_a_clock_only_the_same_moment_corresponds() -> None:
    assert same_moment(Moment(1.0, "zoned"), Moment(1.0, "zoned"), None, CANDIDATE)
    assert not same_moment(Moment(1000.0, "zoned"), Moment(5000.0, "zoned"), None, CANDIDATE)


@pytest.mark.parametrize(
    ("outcome", "window"),
    [
        (Outcome("completed"), None),
        (Outcome("completed", started_at=5.0), Window(5.0, 5.0)),
        (Outcome("completed", started_at=5.0, duration_ms=1500.0), Window(5.0, 6.5)),
        (Outcome("completed", started_at=5.0, duration_ms=1500.0, finished_at=9.0), Window(5.0, 9.0)),
        # clocks of different machines
        (Outcome("completed", started_at=5.0, finished_at=4.9), Window(5.0, 5.0)),
    ],
)
def test_a_runs_window_comes_from_its_outcome(outcome: Outcome, window: Window | None) -> None:
    assert Window.of(outcome) == window
