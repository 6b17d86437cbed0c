"""Both sides' lanes claim the dispatches of the same events: one of them opens the runs and pairs."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from shadow.catalogue.model import Origin, Side
from shadow.fanout import opening
from shadow.fanout.opening import Openings
from shadow.fanout.queue import Claimed, Queue, Taken
from shadow.intake.arrival import Arrival, Door, PlannedDispatch, Stage
from shadow.store.database import Work
from tests.integration.fanout.stage import StageSet

LEASE = timedelta(seconds=30)
PLATFORMS = {Side.LEGACY: "trigger", Side.CANDIDATE: "inngest"}


class Counted:
    """Counts by event how often its runs and pairs are opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times: dict[UUID, int] = {}
        self.failing = False

        async def open_pairs(conn, catalogue, events, keyed=()):  # type: ignore[no-untyped-def]
            for event in events:
                self.times[event.id] = self.times.get(event.id, 0) + 1
            await asyncio.sleep(0.1)
            if events and self.failing:
                raise psycopg.OperationalError("gone")
            await opening.open_pairs(conn, catalogue, events, keyed)

        monkeypatch.setattr("shadow.fanout.queue.open_pairs", open_pairs)


@pytest.fixture
def queues(world: StageSet) -> dict[Side, Queue]:
    openings = Openings()
    return {side: Queue(world.database, world.catalogue, side, openings) for side in Side}


async def claim(queues: dict[Side, Queue], side: Side) -> list[Claimed]:
    return await queues[side].claim(PLATFORMS[side], 50, LEASE)


async def runs_and_pairs(world: StageSet) -> tuple[int, int, int]:
    """Runs, pairs, and pairs that were counted."""
    runs, pairs = await world.value("SELECT count(*) FROM runs"), await world.value("SELECT count(*) FROM pairs")
    return runs, pairs, await world.value("SELECT sum(opened) FROM tallies")


async def test_lanes_that_claim_at_once_open_an_event_once(
    world: StageSet, queues: dict[Side, Queue], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)
    events = await world.accept(count=5)
    legacy, candidate = await asyncio.gather(claim(queues, Side.LEGACY), claim(queues, Side.CANDIDATE))
    assert counted.times == dict.fromkeys(events, 1)
    assert (len(legacy), len(candidate)) == (10, 5)  # two tasks
    assert await runs_and_pairs(world) == (20, 10, 10)
    starts = {item.event.id: {run.task.id for run in item.runs or ()} for item in candidate}
    assert starts == {event: {"sync-order", "welcome"} for event in events}


async def test_nothing_is_handed_over_before_its_runs_are_committed(
    world: StageSet, queues: dict[Side, Queue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the lane either that leaves the opening to the other."""
    Counted(monkeypatch)
    await world.accept()
    first = asyncio.create_task(claim(queues, Side.LEGACY))
    await claim(queues, Side.CANDIDATE)
    assert await world.value("SELECT count(*) FROM runs") == 4
    await first


async def test_what_the_other_lane_fails_to_open_is_opened_anyway(
    world: StageSet, queues: dict[Side, Queue], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)
    await world.accept(count=3)
    counted.failing = True
    failing = asyncio.create_task(claim(queues, Side.LEGACY))
    await asyncio.sleep(0.05)
    other = asyncio.create_task(claim(queues, Side.CANDIDATE))
    with pytest.raises(psycopg.OperationalError):
        await failing
    counted.failing = False
    assert len(await other) == 3
    assert await runs_and_pairs(world) == (12, 6, 6)


async def test_an_event_that_was_understood_only_later_has_its_runs_and_pairs(
    world: StageSet, queues: dict[Side, Queue]
) -> None:
    """A webhook that could not be mapped is passed on to legacy's app; which tasks it starts is found out later."""
    await world.intake.accept(
        [
            Arrival(
                source="store",
                door=Door.WEBHOOK,
                origin=Origin.PRODUCER,
                name="store/unmapped",
                data=b"{}",
                dispatches=(PlannedDispatch(Side.LEGACY, Stage.FORWARD, "app", None),),
                request=b"{}",
            )
        ]
    )
    (passed_on,) = await queues[Side.LEGACY].claim("app", 50, LEASE)
    await queues[Side.LEGACY].write_back([(passed_on, Taken())])
    assert await world.value("SELECT count(*) FROM runs") == 0
    async with world.database.connection(Work.CONTROL) as connection:
        await connection.execute(
            "UPDATE events SET name = 'order/created', route = 'order/created', phase = 'shadow', authority = 'legacy'"
        )
        await connection.execute(
            "INSERT INTO dispatches (id, event_id, side, stage, platform, state, due_at)"
            " VALUES (gen_random_uuid(), %s, 'candidate', 'deliver', 'inngest', 'due', now())",
            (passed_on.event.id,),
        )
    await claim(queues, Side.CANDIDATE)
    assert await runs_and_pairs(world) == (4, 2, 2)
