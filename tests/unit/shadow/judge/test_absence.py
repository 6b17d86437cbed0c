"""A gateway's absence excuses the runs that were under way then, and no others; it is bounded, and known late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.judge.absence import (
    LONGEST,
    LONGEST_WITHOUT,
    SILENT,
    SLACK,
    Absence,
    Stay,
    UnderWay,
    absences,
    missed,
)
from shadow.judge.hearing import Hearing

T0 = datetime(2026, 5, 1, tzinfo=UTC)
NOW = 10_000.0
"""Long after most of what is told of here."""


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def left(since: float, closed: float, by: float | None = None) -> Stay:
    """A gateway that left in order: it took no new calls from `closed` on, and had answered all by then."""
    return Stay(at(since), at(by or closed), at(closed), at(by or closed))


def seen(since: float, until: float) -> Stay:
    """One that said last at `until` that it is there."""
    return Stay(at(since), at(until))


def found(*stays: Stay, now: float = NOW, heard: bool = True) -> list[tuple[float, float, bool, bool]]:
    """Absences: from, until, whether none was there, whether that is sure."""
    return [
        ((one.since - T0).total_seconds(), (one.until - T0).total_seconds(), one.none_there, one.is_sure)
        for one in absences(stays, at(now), heard=heard)
    ]


ALWAYS = seen(0, NOW)
"""Another that is there all the time."""


@pytest.mark.parametrize(
    ("stays", "expected"),
    [
        ([], []),
        ([ALWAYS], []),
        ([ALWAYS, seen(10, NOW)], []),
        # cut off, with another there: until one took its place, at the longest for a minute
        ([ALWAYS, seen(5, 100), seen(104, NOW)], [(100, 104, False, True)]),
        ([ALWAYS, seen(5, 100)], [(100, 160, False, True)]),
        ([ALWAYS, seen(5, 100), seen(3000, NOW)], [(100, 160, False, True)]),
        # it stood still, and went on as another
        ([ALWAYS, seen(5, 100), seen(120, NOW)], [(100, 120, False, True)]),
        # the only one was cut off
        ([seen(5, 100), seen(104, NOW)], [(100, 104, False, True), (100, 104, True, True)]),
        ([seen(5, 100), seen(400, NOW)], [(100, 160, False, True), (100, 400, True, True)]),
        # all of several were, at once
        (
            [seen(5, 100), seen(6, 100.5), seen(104, NOW), seen(105, NOW)],
            [(100, 104, False, True), (100.5, 104, False, True), (100.5, 104, True, True)],
        ),
        # left in order while others were there, before or after
        ([ALWAYS, left(5, 100)], []),
        ([left(5, 100), seen(99, NOW)], []),
        ([ALWAYS, left(5, 100), seen(120, NOW)], []),
        # it took no calls any more while it answered the last: nobody did
        ([left(5, 100, by=108), seen(109, NOW)], [(100, 109, True, True)]),
        # cut off while it did
        ([ALWAYS, Stay(at(5), at(108), at(100)), seen(109, NOW)], [(108, 109, False, True)]),
        # the only one left in order, and the next came later
        ([left(5, 100), seen(400, NOW)], [(100, 400, True, True)]),
        ([left(5, 9990)], [(9990, NOW, True, True)]),
        # nobody came for hours: that was no outage
        ([left(5, 100)], [(100, 3700, True, True)]),
        # nothing is known of the time before the first
        ([seen(9000, NOW)], []),
    ],
)
def test_an_absence_is_the_time_for_which_a_gateway_was_missed(
    stays: list[Stay], expected: list[tuple[float, float, bool, bool]]
) -> None:
    assert found(*stays) == expected
    assert found(*reversed(stays)) == expected


def test_that_one_was_cut_off_is_sure_once_it_has_been_silent_for_long() -> None:
    others = [seen(0, 99.5), seen(5, 95)]
    assert found(*others, now=100) == [
        (99.5, 100, False, False),
        (95, 100, False, False),
        (99.5, 100, True, False),
    ]
    assert (95, 105.1, False, True) in found(seen(0, 105), seen(5, 95), now=105.1)


def test_and_only_if_it_could_have_been_heard() -> None:
    assert found(ALWAYS, seen(5, 100), seen(104, NOW), heard=False) == [(100, 104, False, False)]


def test_that_none_was_there_is_sure_at_once_where_the_last_left_in_order() -> None:
    assert found(left(5, 100), now=101, heard=False) == [(100, 101, True, True)]


RUN = UnderWay("candidate", at(100), at(110))


@pytest.mark.parametrize(("since", "until", "is_missed"), [
    (90, 98.9, False),
    (90, 99.1, True),
    (102, 104, True),
    (90, 120, True),
    (110.9, 112, True),
    (111.1, 112, False),
])  # fmt: skip
def test_a_run_missed_a_gateway_that_was_not_there_while_it_was_under_way(
    since: float, until: float, *, is_missed: bool
) -> None:
    assert (missed([Absence(at(since), at(until), none_there=False)], [RUN]) is not None) == is_missed


def test_the_worst_that_is_sure_is_told_of() -> None:
    longer, worse = Absence(at(90), at(105), none_there=False), Absence(at(101), at(104.25), none_there=True)
    unsure = Absence(at(90), at(120), none_there=True, is_sure=False)
    told = missed([unsure, longer, worse], [UnderWay("legacy", at(0), at(1)), RUN])
    assert told is not None
    assert told.why == "gateway_away: no gateway was there for 3.2 s while the candidate's run was under way"
    told = missed([unsure, longer], [RUN])
    assert told is not None
    assert told.why == (
        "gateway_away: a gateway was cut off and not there for 15.0 s while the candidate's run was under way"
    )
    told = missed([unsure], [RUN])
    assert told is not None
    assert not told.absence.is_sure


MOMENTS = st.floats(-5000, 15_000).map(at)
"""Some of them after now: the database's clock was set back."""


@st.composite
def stays(draw: st.DrawFn) -> Stay:
    since, seen_at = draw(MOMENTS), draw(MOMENTS)
    closed_at = draw(st.none() | MOMENTS)
    return Stay(since, seen_at, closed_at, draw(st.none() | MOMENTS) if closed_at is not None else None)


@given(st.lists(stays(), max_size=8), st.booleans())
def test_whatever_was_written_down_no_absence_is_endless(told: list[Stay], heard: bool) -> None:
    for absence in absences(told, at(NOW), heard=heard):
        assert absence.since < absence.until
        assert absence.until - absence.since <= (LONGEST_WITHOUT if absence.none_there else LONGEST)


@given(st.lists(stays(), max_size=8))
def test_one_that_left_in_order_while_another_was_there_excuses_nothing(told: list[Stay]) -> None:
    forever = Stay(at(-100_000), at(NOW), None, None)
    orderly = [Stay(one.since, one.seen_at, one.seen_at, one.seen_at) for one in told]
    assert [one for one in absences([forever, *orderly], at(NOW)) if one.is_sure] == []


def test_settling_for_the_usual_time_leaves_little_to_wait_for() -> None:
    """One that is there has said so a second ago at the latest, and runs that ended 5 s ago don't depend on it."""
    told = absences([seen(0, 99)], at(100))
    assert missed(told, [UnderWay("legacy", at(80), at(95))]) is None
    assert missed(told, [UnderWay("legacy", at(80), at(99))]) is not None
    assert timedelta(seconds=1) >= SLACK


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_judge_hears_gateways_once_the_database_has_answered_it_for_as_long_as_they_may_be_silent() -> None:
    clock = Clock()
    hearing = Hearing(clock)

    def lasts_after(pauses: list[float]) -> bool:
        for pause in pauses:
            clock.now += pause
            hearing.note()
        return hearing.lasts

    assert not lasts_after([])
    assert lasts_after([1.0] * int(SILENT.total_seconds()))
    assert not lasts_after([6.0])  # the database was away
    assert lasts_after([4.0] * 3)
