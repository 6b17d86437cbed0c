"""Ticks are expected by the schedule, and missed when nobody runs them in time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shadow.cutover.decision import Phase
from shadow.store.database import Database
from shadow.ticks.expecting import TickLoop
from tests.integration.ticks.clock import CATALOGUE, FIVE, NOON, Clock

SECOND = timedelta(seconds=1)


@pytest.fixture
def clock(database: Database) -> Clock:
    return Clock(database)


@pytest.fixture
def loop(database: Database) -> TickLoop:
    return TickLoop(database, CATALOGUE)


async def test_what_came_before_the_schedule_was_first_looked_at_is_not_missed(clock: Clock, loop: TickLoop) -> None:
    await loop.once(NOON + SECOND)
    await loop.once(NOON + FIVE - SECOND)
    assert await clock.ticks() == []


async def test_a_tick_without_a_run_is_missed_when_its_grace_is_over(clock: Clock, loop: TickLoop) -> None:
    await loop.once(NOON - SECOND)
    await loop.once(NOON)
    assert await clock.ticks() == [(NOON, "", "legacy", 0, 0, False, False)]
    await loop.once(NOON + FIVE + SECOND)
    assert [(row[0], row[5]) for row in await clock.ticks()] == [(NOON, True), (NOON + FIVE, False)]


async def test_a_run_in_time_and_one_of_the_wrong_side(clock: Clock, loop: TickLoop) -> None:
    await clock.moved(Phase.LIVE, NOON)
    await loop.once(NOON - SECOND)
    await clock.candidate("01A", NOON)
    await clock.legacy("run_b", NOON + FIVE)
    await loop.once(NOON + 2 * FIVE + SECOND)
    assert [(row[0], row[2], row[5]) for row in await clock.ticks()] == [
        (NOON, "candidate", False),
        (NOON + FIVE, "candidate", True),
        (NOON + 2 * FIVE, "candidate", False),
    ]


async def test_a_run_that_comes_after_all_has_its_authority_and_the_tick_was_late(clock: Clock, loop: TickLoop) -> None:
    await clock.moved(Phase.SHADOW, NOON - FIVE, source=Phase.LEGACY)
    await loop.once(NOON - SECOND)
    await loop.once(NOON + FIVE + SECOND)
    await clock.moved(Phase.LIVE, NOON + FIVE)
    await clock.legacy("run_late", NOON)
    assert await clock.authorities() == {"run_late": "real"}
    assert (await clock.ticks())[0] == (NOON, "", "legacy", 1, 0, True, False)


async def test_after_a_pause_all_of_its_ticks_are_gone_through_by_one_of_several_processes(
    clock: Clock, database: Database
) -> None:
    await TickLoop(database, CATALOGUE).once(NOON - SECOND)
    later = NOON + 12 * FIVE
    await asyncio.gather(*(TickLoop(database, CATALOGUE).once(later) for _ in range(3)))
    ticks = [row for row in await clock.ticks() if row[1] == ""]
    assert [row[0] for row in ticks] == [NOON + number * FIVE for number in range(13)]
    assert [row[5] for row in ticks] == [True] * 11 + [False] * 2


async def test_ticks_go_with_the_evidence_of_their_time(clock: Clock, loop: TickLoop) -> None:
    await clock.legacy("run_1", NOON)
    await clock.legacy("run_2", NOON - timedelta(days=500))
    await loop.once(NOON + SECOND)
    assert [tick[0] for tick in await clock.ticks()] == [NOON]


async def test_each_tenant_that_had_the_tick_before_is_expected_again(clock: Clock, loop: TickLoop) -> None:
    hour = timedelta(hours=1)
    await loop.once(NOON - SECOND)
    for tenant in ("acme", "bolt"):
        await clock.legacy(f"run_{tenant}", NOON, tenant, "reminders")
    await loop.once(NOON + hour)
    await clock.legacy("run_next", NOON + hour, "acme", "reminders")
    await loop.once(NOON + hour + FIVE + SECOND)
    ticks = await clock.rows(
        "SELECT external_id, missed_at IS NOT NULL FROM ticks WHERE task = 'reminders' AND nominal_at > %s ORDER BY 1",
        NOON,
    )
    assert ticks == [("acme", False), ("bolt", True)]
