"""Fix, replay, cleared: recorded events on the real loop once more, against the recorded runs of legacy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from shadow.catalogue.model import Side
from shadow.containment.record import withdraw
from shadow.cutover.decision import Phase
from shadow.gate import epochs
from shadow.replays.starting import (
    DEFAULT_LIMIT,
    LARGEST_LIMIT,
    ReplayRefused,
    Started,
    UnknownSignature,
    start_replay,
    start_task_replay,
)
from shadow.reports import replays
from shadow.reports.shapes import ReplayView
from shadow.store.database import Database, Work
from tests.integration.causes.chain import EVENTS, Chain, chain
from tests.integration.containment.declared import declared

FAULT = "candidate first stays silent"


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[Chain]:
    async with stage(database, tmp_path) as made:
        yield made


@asynccontextmanager
async def stage(database: Database, tmp_path: Path) -> AsyncIterator[Chain]:
    """Three orders were sent while the candidate forgot to go on after the first task."""
    async with chain(database, tmp_path) as made:
        await declared(database, made.catalogue)
        await made.phases(dict.fromkeys(EVENTS, Phase.SHADOW))
        await made.phases({"second": Phase.LEGACY, "third": Phase.LEGACY})  # only `first` is compared
        made.faults.add(FAULT)
        await made.send(1, 2, 3)
        await made.settled(3 * 3 + 3)
        yield made


async def signature_of(world: Chain) -> str:
    ((signature,),) = await world.rows("SELECT id FROM signatures WHERE task = 'first' AND pairs = 3")
    return str(signature)


async def start(world: Chain, signature: str, limit: int = DEFAULT_LIMIT) -> Started:
    return await start_replay(world.database, world.catalogue, signature, actor="ann", reason="fixed", limit=limit)


async def judged(world: Chain, started: Started) -> ReplayView:
    async with asyncio.timeout(60):
        while True:
            found = await replays.one(world.database.engine, started.id)
            assert found is not None
            if not found.pending:
                return found
            await asyncio.sleep(0.1)


async def test_what_was_fixed_is_cleared_and_live_counts_stay(world: Chain) -> None:
    signature = await signature_of(world)
    tallies = await world.rows("SELECT * FROM tallies ORDER BY task, day, tenant")
    legacy = world.legacy_runs()
    world.faults.clear()
    found = await judged(world, await start(world, signature))
    assert (found.pairs, found.cleared, found.shown, found.inconclusive) == (3, 3, 0, 0), await world.differences()
    assert found.verdicts == {"match": 3}
    assert (found.actor, found.reason, found.signature, found.skipped) == ("ann", "fixed", signature, {})
    assert await world.rows("SELECT * FROM tallies ORDER BY task, day, tenant") == tallies
    assert await world.rows("SELECT pairs FROM signatures WHERE id = %s", signature) == [(3,)]
    assert world.legacy_runs() == legacy
    assert (await world.authorities())["first", "candidate", "real"] == 0


async def test_what_was_not_fixed_is_shown_still_and_counted_once(world: Chain) -> None:
    signature = await signature_of(world)
    found = await judged(world, await start(world, signature, limit=2))
    assert (found.pairs, found.cleared, found.shown) == (2, 0, 2)
    assert await world.rows("SELECT pairs FROM signatures WHERE id = %s", signature) == [(3,)]
    # The pairs of a replay are no reason for another: these are the same events.
    again = await judged(world, await start(world, signature, limit=2))
    assert (again.pairs, again.shown) == (2, 2)
    of = await world.rows("SELECT DISTINCT replays FROM pairs WHERE replay IS NOT NULL AND starts_at IS NOT NULL")
    assert len(of) == 2
    listed = await replays.newest(world.database.engine, task="first")
    assert [item.id for item in listed.items] == [again.id, found.id]


async def test_children_of_a_replay_have_no_twin_and_wait_for_none(world: Chain) -> None:
    signature = await signature_of(world)
    await world.phases({"second": Phase.SHADOW})
    world.faults.clear()
    found = await judged(world, await start(world, signature))
    assert found.cleared == 3
    children = await world.rows("SELECT count(*) FROM pairs WHERE task = 'second' AND legacy_run <> candidate_run")
    assert children == [(0,)]
    assert await world.rows("SELECT count(*) FROM pairs WHERE task = 'second'") == [(0,)]


async def test_an_event_whose_data_are_gone_is_told_of_and_the_others_run(world: Chain) -> None:
    signature = await signature_of(world)
    ((event, pair),) = await world.rows("SELECT event_id, id FROM pairs WHERE task = 'first' ORDER BY id LIMIT 1")
    await world.rows("DELETE FROM bodies WHERE id = %s AND part = 'data' RETURNING id", event)
    started = await start(world, signature)
    assert started.events == 2
    assert started.skipped == {str(pair): f"the data of event {event} are gone"}
    found = await judged(world, started)
    assert (found.pairs, found.skipped) == (2, started.skipped)


async def test_nothing_is_started_that_might_do_harm_or_say_nothing(world: Chain) -> None:
    signature = await signature_of(world)
    with pytest.raises(UnknownSignature):
        await start(world, "s1-none")
    with pytest.raises(ReplayRefused, match=f"expected a limit from 1 to {LARGEST_LIMIT}, found 0"):
        await start(world, signature, limit=0)
    await withdraw(world.database, "first", actor="tests", reason="it writes")
    with pytest.raises(ReplayRefused, match="not contained"):
        await start(world, signature)
    await declared(world.database, world.catalogue)
    await world.rows("DELETE FROM differences RETURNING pair_id")
    with pytest.raises(ReplayRefused, match="no pair shows"):
        await start(world, signature)
    assert await world.rows("SELECT count(*) FROM replays") == [(0,)]
    assert await replays.one(world.database.engine, UUID(int=1)) is None


async def test_a_task_is_given_the_events_that_its_epoch_lacks(world: Chain) -> None:
    world.faults.clear()

    async def replayed(limit: int) -> Started:
        return await start_task_replay(
            world.database, world.catalogue, "first", actor="ann", reason="evidence", limit=limit
        )

    with pytest.raises(ReplayRefused, match="has no epoch yet"):
        await replayed(1)
    async with world.database.connection(Work.CONTROL) as connection:
        none: dict[Side, str | None] = {}
        await epochs.begin_first(connection, "first", rules="r1", versions=none, started_at=datetime.now(UTC))
    oldest, *later = [pair for (pair,) in await world.rows("SELECT id FROM pairs WHERE task = 'first' ORDER BY id")]
    # The oldest alone shows something rare; the rest has been compared.
    async with asyncio.timeout(60):
        seen = "UPDATE task_shapes SET compared_at = now() + interval '1 hour' RETURNING task"
        while not await world.rows(seen):  # noqa: ASYNC110  # what the judge writes is not awaited
            await asyncio.sleep(0.1)
    await world.rows(
        "INSERT INTO task_shapes (task, of, shape, legacy_at, example_pair)"
        " VALUES ('first', 'event', 'rare', now(), %s) RETURNING task",
        oldest,
    )
    first = await judged(world, await replayed(1))
    assert (first.pairs, first.signature, first.verdicts) == (1, None, {"match": 1})
    assert await world.rows("SELECT replays FROM pairs WHERE replay = %s", first.id) == [(oldest,)]

    rest = await judged(world, await replayed(DEFAULT_LIMIT))
    assert rest.pairs == len(later)
    with pytest.raises(ReplayRefused, match="no recorded event of first is left"):
        await replayed(1)
