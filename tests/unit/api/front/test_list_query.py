"""What the list of runs is asked for, and cursors that lead through two lists at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.front.list_query import Cursor, Position, list_query, unseen, upstream_query

LATEST = 2**42 - 1
"""Milliseconds of the last moment that a UUID of version 7, and so a place in the list, can be of here."""
NOW = datetime(2026, 11, 26, tzinfo=UTC)
POSITIONS = st.builds(
    Position, st.none() | st.integers(0, LATEST), st.none() | st.text(min_size=1, max_size=20), st.none() | st.uuids()
)


@given(st.lists(POSITIONS, max_size=5), st.none() | st.integers(0, LATEST))
def test_a_cursor_is_read_as_it_was_written(starts: list[Position], since: int | None) -> None:
    cursor = Cursor(tuple(starts), since)
    assert Cursor.of(cursor.text()) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "eyJjIjoxLCJyIjoiYSJ9",
        "bnVsbA",
        "e30",
        "W10",
        "eyJzaGFkb3ciOltdLCJzaW5jZSI6MWUzMH0",
        "eyJzaGFkb3ciOltdLCJzaW5jZSI6IngifQ",
    ],
)
def test_other_cursors_are_not_ours(text: str) -> None:
    assert Cursor.of(text) is None


@given(st.lists(POSITIONS, min_size=1, max_size=120))
def test_pages_lead_back_the_way_they_were_gone(starts: list[Position]) -> None:
    cursor = Cursor()
    for start in starts:
        cursor = cursor.after(start)
    assert cursor.position == starts[-1]
    before = cursor.before()
    assert before is not None
    assert before.position == (starts[-2] if len(starts) > 1 else Position())
    assert Cursor().before() is None


@pytest.mark.parametrize(
    "query",
    [
        [("filter[version]", "1")],
        [("filter[queue]", "task/hello")],
        [("page[size]", "0")],
        [("page[size]", "many")],
        [("page[size]", "1¹")],
        [("page[size]", "9" * 5000)],
        [("page[after]", "eyJjIjoxLCJyIjoiYSJ9")],
    ],
)
def test_what_only_trigger_dev_can_answer(query: list[tuple[str, str]]) -> None:
    assert list_query(query, NOW) is None


@pytest.mark.parametrize(
    ("query", "since"),
    [
        ([], NOW - timedelta(days=7)),
        ([("filter[createdAt][period]", "1d")], NOW - timedelta(days=1)),
        ([("filter[createdAt][period]", "ever")], NOW - timedelta(days=7)),
        ([("filter[createdAt][from]", "1000")], datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ([("filter[createdAt][to]", "2026-11-20T00:00:00Z")], None),
    ],
)
def test_a_list_goes_back_as_far_as_trigger_devs_own(query: list[tuple[str, str]], since: datetime | None) -> None:
    asked = list_query(query, NOW)
    assert asked is not None
    assert asked.wanted.since == since


def test_all_pages_go_back_to_the_same_moment() -> None:
    first = list_query([], NOW)
    assert first is not None
    later = list_query(
        [("page[after]", first.cursor.after(Position(5, "run_1", None)).text())], NOW + timedelta(days=1)
    )
    assert later is not None
    assert later.wanted.since == first.wanted.since
    assert dict(upstream_query(later, None))["filter[createdAt][to]"] == "5"


RUNS = [{"id": f"run_{n}", "createdAt": f"1970-01-01T00:00:00.{ms:03}Z"} for n, ms in ((4, 9), (3, 5), (2, 5), (1, 1))]


@pytest.mark.parametrize(
    ("position", "left"),
    [
        (Position(), ["run_4", "run_3", "run_2", "run_1"]),
        (Position(9, "run_4"), ["run_3", "run_2", "run_1"]),
        (Position(5, "run_3"), ["run_2", "run_1"]),
        # it was deleted since: what is older is left, and nothing of its own millisecond is shown twice
        (Position(5, "run_gone"), ["run_1"]),
        (Position(1, "run_1"), []),
        (Position(20, None, UUID(int=1)), ["run_4", "run_3", "run_2", "run_1"]),
    ],
)
def test_what_was_shown_is_left_out(position: Position, left: list[str]) -> None:
    listed = [run for run in RUNS if position.until is None or int(run["createdAt"][-4:-1]) <= position.until]
    assert [run["id"] for run in unseen(listed, position, found=False)[0]] == left
