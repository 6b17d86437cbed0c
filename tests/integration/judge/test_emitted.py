"""Events that a run emitted, seen by Shadow and reported by the run itself: each counts once, and none vanishes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shadow.catalogue.model import Side
from shadow.effects.record import SeenBy, SeenEffect, record_effects
from shadow.judge.loop import JudgeLoop
from tests.integration.judge.world import Told, World

LATER = timedelta(minutes=1)


def emission(
    told: Told, side: Side, seen_by: SeenBy, *, given: str | None = None, report: str | None = None
) -> SeenEffect:
    """Order 1 was paid: every emission says the same, so that only their number can differ."""
    return SeenEffect(
        run=told.platform_run(side),
        kind="event",
        target="events",
        operation="order/paid",
        data=b'{"order": 1}',
        seen_by=seen_by,
        emitted=given,
        reporter_id=report,
    )


async def verdict(world: World, judge: JudgeLoop, candidate: list[tuple[SeenBy, str | None, str | None]]) -> str:
    """Of a pair whose legacy run emitted one event."""
    told = await world.event()
    await told.both(1)
    async with world.connection() as connection:
        await record_effects(connection, Side.LEGACY, [emission(told, Side.LEGACY, SeenBy.DOOR, given="01L")])
        await record_effects(
            connection,
            Side.CANDIDATE,
            [emission(told, Side.CANDIDATE, by, given=given, report=report) for by, given, report in candidate],
        )
    await judge.once(told.accepted_at + LATER)
    rows = await world.rows("SELECT verdict FROM pairs WHERE id = %s", told.pair)
    return str(rows[0][0])


SEEN = (SeenBy.PLATFORM, "01A", None)


@pytest.mark.parametrize("report", ["event:01A", None, "mine-1"])
async def test_a_report_of_what_was_seen_says_nothing_new(world: World, judge: JudgeLoop, report: str | None) -> None:
    assert await verdict(world, judge, [SEEN, (SeenBy.REPORT, None, report)]) == "match"


async def test_a_report_of_another_event_of_that_name_counts(world: World, judge: JudgeLoop) -> None:
    reports = [(SeenBy.REPORT, None, "event:01A"), (SeenBy.REPORT, None, "event:01B")]
    assert await verdict(world, judge, [SEEN, *reports]) == "mismatch"


async def test_reports_without_an_id_stand_for_one_seen_event_each(world: World, judge: JudgeLoop) -> None:
    report = (SeenBy.REPORT, None, None)
    assert await verdict(world, judge, [SEEN, report, report]) == "mismatch"


async def test_what_one_report_stands_for_no_other_stands_for(world: World, judge: JudgeLoop) -> None:
    reports = [(SeenBy.REPORT, None, "event:01A"), (SeenBy.REPORT, None, None)]
    assert await verdict(world, judge, [SEEN, *reports]) == "mismatch"
