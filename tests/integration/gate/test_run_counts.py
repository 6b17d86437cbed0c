"""How runs ended and how long they took is counted with their pairs, once, and taken back with them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from shadow.catalogue import parse
from shadow.catalogue.model import Side
from shadow.gate.evidence import ended, ticks
from shadow.gate.known import Ended
from shadow.model.ids import derived_id, new_id
from shadow.store.database import Database, Work
from tests.integration.gate.world import T0, TASK, World
from tests.integration.judge.world import CATALOGUE


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def took(world: World, pair: UUID, side: Side, seconds: float, status: str = "completed") -> UUID:
    """How the run of that side of the pair ended; its id."""
    column = f"{side.value}_run"
    rows = await world.rows(
        "UPDATE runs SET status = %s, started_at = %s, finished_at = %s"
        f" WHERE id = (SELECT {column} FROM pairs WHERE id = %s) RETURNING id",
        status,
        T0,
        T0 + timedelta(seconds=seconds),
        pair,
    )
    found: UUID = rows[0][0]
    return found


async def said(world: World) -> Ended:
    epoch = await world.epoch()
    async with world.database.connection(Work.CONTROL) as connection:
        return (await ended(connection, [epoch.id]))[epoch.id]


async def test_pairs_are_counted_by_how_both_runs_ended(world: World) -> None:
    pairs = await world.pairs("mmxxc")
    for pair, (legacy, candidate) in zip(
        pairs,
        [
            ("completed", "completed"),
            ("failed", "crashed"),
            ("completed", "failed"),
            ("timed_out", "completed"),
            ("completed", "completed"),
        ],
        strict=True,
    ):
        await took(world, pair, Side.LEGACY, 2, legacy)
        await took(world, pair, Side.CANDIDATE, 3, candidate)
    await world.counted()
    found = await said(world)
    assert (found.neither_failed, found.both_failed, found.candidate_failed, found.legacy_failed) == (1, 1, 1, 1)
    assert (found.timed, found.slower) == (1, 0)
    assert found.newest_at == T0 + timedelta(seconds=3)


async def test_a_pair_is_slower_beyond_the_bound_without_what_it_waited_at_the_gateway(world: World) -> None:
    pairs = await world.pairs("mmm")
    for pair, seconds in zip(pairs, (4.9, 5.1, 65.0), strict=True):  # twice legacy's two, and one
        await took(world, pair, Side.LEGACY, 2)
        run = await took(world, pair, Side.CANDIDATE, seconds)
        if seconds > 60:
            await world.execute(
                "INSERT INTO effects (id, side, sequence, kind, target, operation, run_id, waited_ms)"
                " VALUES (%s, 'candidate', 0, 'http', 'stripe', 'POST /v1/transfers', %s, 61000)",
                new_id(),
                run,
            )
    await world.counted()
    found = await said(world)
    assert (found.timed, found.slower) == (3, 1)


async def test_what_is_counted_otherwise_later_is_taken_back_and_added(world: World) -> None:
    pairs = await world.pairs("mcx")
    for pair in pairs:
        for side in Side:
            await took(world, pair, side, 1)
    await world.counted()
    assert (await said(world)).pairs == 2
    await world.judged(pairs[1], "m")  # its run came after all
    await world.judged(pairs[2], "n")
    await world.counted()
    found = await said(world)
    assert (found.pairs, found.timed) == (2, 2)
    await world.judged(pairs[0], "x")
    await world.counted()
    assert (await said(world)).pairs == 2


async def test_replays_count_for_failures_and_not_for_latency(world: World) -> None:
    (original,) = await world.pairs("m", rules="before")
    await world.counted()
    (again,) = await world.pairs("m", T0 + timedelta(minutes=1), purpose="replay", replays=[original])
    for side in Side:
        await took(world, again, side, 1)
    await world.counted()
    found = await said(world)
    assert (found.pairs, found.timed) == (1, 0)


async def test_another_bound_begins_the_count_of_slow_pairs_anew(world: World) -> None:
    first, second = await world.pairs("m"), T0 + timedelta(minutes=1)
    for side in Side:
        await took(world, first[0], side, 1)
    await world.counted()
    text = CATALOGUE.replace("settle: 5s\n", "settle: 5s\n  gate: {latency: {ratio: 1.2, slack: 0}}\n", 1)
    changed = World(world.database, parse(text, "test.yaml", {}))
    (pair,) = await changed.pairs("m", second)
    await took(world, pair, Side.LEGACY, 1)
    await took(world, pair, Side.CANDIDATE, 1.3)
    await changed.counted()
    found = await said(world)
    assert (found.pairs, found.timed, found.slower) == (2, 1, 1)


async def test_ticks_are_those_whose_pairs_were_compared_in_the_epoch(world: World) -> None:
    pairs = await world.pairs("mmcn.")
    await world.counted()
    events: list[Any] = await world.rows("SELECT event_id FROM pairs ORDER BY starts_at")
    assert [derived_id(event, TASK) for (event,) in events] == pairs
    for number, (event,) in enumerate(events):
        await world.execute(
            "INSERT INTO ticks (task, nominal_at, external_id, phase, authority, event_id)"
            " VALUES (%s, %s, %s, 'shadow', 'legacy', %s)",
            TASK,
            T0 + timedelta(hours=number // 2),
            str(number),
            event,
        )
    epoch = await world.epoch()
    async with world.database.connection(Work.CONTROL) as connection:
        assert await ticks(connection, {TASK: (epoch.id, epoch.started_at)}) == {TASK: 1}
        assert await ticks(connection, {}) == {}
