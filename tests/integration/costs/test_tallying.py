"""What runs used up is tallied once, whoever tells of it in whatever order, and however often."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shadow.catalogue.model import Side
from shadow.costs.tallying import CostLoop
from shadow.fanout.handoff import Started, record_started
from shadow.outcomes.outcome import RunOutcome
from shadow.reports import costs as reports
from shadow.store.database import Work
from tests.integration.fanout.stage import StageSet
from tests.integration.outcomes.test_record import AT, CANDIDATE, LEGACY, opened, record

PRICED = replace(LEGACY, cost_cents=0.5, finished_at=AT)


async def tallies(world: StageSet) -> list[tuple[Any, ...]]:
    """(side, purpose, runs, priced, cents, told, executions), those of nothing left out."""
    await CostLoop(world.database).once()
    async with world.database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(
            "SELECT side, purpose, runs, priced, cents, told, executions FROM cost_tallies"
            " WHERE runs <> 0 ORDER BY side, purpose"
        )
        return list(await cursor.fetchall())


async def test_a_run_is_counted_once_however_often_it_is_told_of(world: StageSet) -> None:
    await opened(world)
    for outcome in (CANDIDATE, CANDIDATE, PRICED, PRICED):
        await record(world, outcome)
    expected = [("candidate", "live", 1, 0, 0.0, 0, 0), ("legacy", "unsolicited", 1, 1, 0.5, 0, 0)]
    assert await tallies(world) == expected
    assert await tallies(world) == expected
    assert await world.value("SELECT count(*) FROM cost_changes") == 0


async def test_what_is_learned_later_of_its_price_is_added(world: StageSet) -> None:
    await opened(world)
    await record(world, CANDIDATE)
    assert await tallies(world) == [("candidate", "live", 1, 0, 0.0, 0, 0)]
    await record(world, replace(CANDIDATE, executions=4, cost_cents=0.25))
    await record(world, replace(CANDIDATE, executions=9, cost_cents=9.0))  # the first word stands
    assert await tallies(world) == [("candidate", "live", 1, 1, 0.25, 1, 4)]


async def test_a_run_is_counted_on_the_utc_day_on_which_it_ended(world: StageSet) -> None:
    await opened(world)
    await record(world, replace(CANDIDATE, finished_at=datetime(2026, 3, 1, 0, 30, tzinfo=UTC)))
    await CostLoop(world.database).once()
    assert str(await world.value("SELECT day FROM cost_tallies")) == "2026-03-01"


async def test_an_adopted_run_is_no_longer_unsolicited(world: StageSet) -> None:
    event = await opened(world)
    await record(world, PRICED)
    before = await tallies(world)
    assert before == [("legacy", "unsolicited", 1, 1, 0.5, 0, 0)]
    async with world.database.connection(Work.LEGACY) as conn:
        started = Started(None, event, Side.LEGACY, "welcome", "trigger", "run_1")
        await record_started(conn, world.catalogue, [started])
    assert await tallies(world) == [("legacy", "live", 1, 1, 0.5, 0, 0)]


@pytest.mark.parametrize("purpose", ["replay", "canary"])
async def test_runs_of_events_that_nobody_brought_are_counted_apart(world: StageSet, purpose: str) -> None:
    await opened(world)
    await world.value("UPDATE events SET purpose = %s RETURNING id", purpose)
    await record(world, CANDIDATE)
    assert [row[:3] for row in await tallies(world)] == [("candidate", purpose, 1)]
    found = await reports.costs(world.database.engine, world.catalogue, AT + timedelta(days=1))
    assert [(apart.side, apart.purpose, apart.runs) for apart in found.apart] == [(Side.CANDIDATE, purpose, 1)]
    assert all(item.candidate.recent_runs == 0 for item in found.items)


async def test_loops_side_by_side_count_everything_once(world: StageSet) -> None:
    for number in range(30):
        await opened(world, id=f"order-{number}")
        outcome = replace(CANDIDATE, platform_run_id=f"run-{number}", event_id=f"order-{number}", executions=2)
        await record(world, outcome)
    loops = [CostLoop(world.database, batch=4) for _ in range(3)]
    counted = await asyncio.gather(*(loop.once() for loop in loops))
    while await CostLoop(world.database).once():
        pass
    assert sum(counted) <= 30
    assert await tallies(world) == [("candidate", "live", 30, 0, 0.0, 30, 60)]


async def test_a_month_is_projected_from_the_days_before(world: StageSet) -> None:
    days: list[RunOutcome] = []
    for number in range(14):
        await opened(world, id=f"order-{number}")
        at = AT - timedelta(days=number % 7, hours=1)
        days.append(
            replace(
                CANDIDATE, platform_run_id=f"run-{number}", event_id=f"order-{number}", finished_at=at, executions=3
            )
        )
    await record(world, *days)
    await CostLoop(world.database).once()
    found = await reports.of_task(world.database.engine, world.catalogue, "welcome", AT + timedelta(days=1))
    assert found.volume_days == 7
    assert found.month.runs == pytest.approx(2 * 365.25 / 12)
    assert found.month.candidate.recent_runs == 14
    assert (found.month.legacy.basis, found.month.legacy.total, found.month.saving) == ("none", None, None)
    assert [(day.runs, day.executions) for day in found.days] == [(2, 6)] * 7
