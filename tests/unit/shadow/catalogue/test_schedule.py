"""Cron expressions in their zones, also in the nights when the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.catalogue.schedule import Schedule, expression_of

SPRING = datetime(2026, 3, 28, 12, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, 12, tzinfo=UTC)
EXPRESSIONS = ["0 2 * * *", "*/5 * * * *", "30 2 * * *", "15 1,14 * * 1-5", "0 0 1 * *", "0 6 * * MON"]


def next_ones(expression: str, zone: str, after: datetime, count: int) -> list[str]:
    times = Schedule.parse(expression, zone).after(after)
    return [f"{next(times):%m-%d %H:%M}" for _ in range(count)]


def test_it_is_due_by_the_clock_of_its_zone() -> None:
    assert next_ones("0 2 * * *", "UTC", SPRING, 2) == ["03-29 02:00", "03-30 02:00"]
    assert next_ones("0 9 * * *", "Asia/Tokyo", SPRING, 1) == ["03-29 00:00"]


def test_a_time_that_the_clock_skips_is_due_right_after() -> None:
    """Berlin, 29 March: 02:00 becomes 03:00, which is 01:00 in UTC."""
    assert next_ones("30 2 * * *", "Europe/Berlin", SPRING, 2) == ["03-29 01:00", "03-30 00:30"]


def test_a_time_that_comes_twice_is_due_once() -> None:
    """Berlin, 25 October: 03:00 becomes 02:00."""
    assert next_ones("30 2 * * *", "Europe/Berlin", AUTUMN, 2) == ["10-25 00:30", "10-26 01:30"]


def test_what_is_due_all_the_time_follows_the_elapsed_time() -> None:
    times = Schedule.parse("*/30 * * * *", "Europe/Berlin").between(AUTUMN, AUTUMN + timedelta(days=1), 100)
    assert {later - one for one, later in pairwise(times)} == {timedelta(minutes=30)}


def test_between_leaves_the_first_moment_out_and_takes_the_last_in() -> None:
    schedule = Schedule.parse("*/5 * * * *")
    assert schedule.between(SPRING, SPRING + timedelta(minutes=10), 9) == [
        SPRING + timedelta(minutes=5),
        SPRING + timedelta(minutes=10),
    ]
    assert schedule.between(SPRING, SPRING + timedelta(days=1), 3)[-1] == SPRING + timedelta(minutes=15)


@pytest.mark.parametrize(
    ("expression", "zone", "problem"),
    [
        ("* * * *", "UTC", "4 fields"),
        ("0 0 2 * * *", "UTC", "6 fields"),
        ("@daily", "UTC", "1 field,"),
        ("61 * * * *", "UTC", "Bad minute"),
        ("0 0 31 2 *", "UTC", "."),
        ("0 2 * * *", "Europe/Atlantis", "no time zone"),
        ("0 2 * * *", "../etc/passwd", "no time zone"),
    ],
)
def test_what_is_wrong_is_said(expression: str, zone: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Schedule.parse(expression, zone)


def test_inngests_own_way_to_name_a_zone() -> None:
    assert expression_of("TZ=Europe/Berlin  0 9  * * 1") == ("0 9 * * 1", "Europe/Berlin")
    assert expression_of(" */5 * * * * ") == ("*/5 * * * *", "UTC")


@given(
    expression=st.sampled_from(EXPRESSIONS),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    after=st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
)
def test_every_time_is_later_than_the_one_before(expression: str, zone: str, after: datetime) -> None:
    times = Schedule.parse(expression, zone).after(after)
    found = [after, *(next(times) for _ in range(5))]
    assert all(one < later for one, later in pairwise(found))
    assert all(at.tzinfo is UTC and at.second == 0 for at in found[1:])
