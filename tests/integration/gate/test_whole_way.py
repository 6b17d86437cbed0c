"""Pairs of events, of children and of replays, as the real loops leave them, are counted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shadow.cutover.decision import Phase
from shadow.gate import epochs
from shadow.gate.counting import CountingLoop
from shadow.gate.epochs import Epoch
from shadow.gate.report import Counted
from shadow.replays.starting import start_replay
from shadow.store.database import Database, Work
from tests.integration.causes.chain import EVENTS, Chain, chain
from tests.integration.containment.declared import declared


async def judged(world: Chain, pairs: int) -> None:
    """So many pairs have their verdicts, and none is without."""
    query = "SELECT count(*)::int, count(*) FILTER (WHERE verdict IS NULL OR due_at IS NOT NULL)::int FROM pairs"
    async with asyncio.timeout(60):
        while True:
            if await world.rows(query) == [(pairs, 0)]:
                return
            await asyncio.sleep(0.1)


async def counted(world: Chain) -> dict[str, Epoch]:
    loop = CountingLoop(world.database, world.catalogue, look_seconds=0)
    await loop.once(datetime.now(UTC) + timedelta(days=1))
    async with world.database.connection(Work.CONTROL) as connection:
        return await epochs.current(connection, list(world.catalogue.tasks))


async def test_what_both_sides_ran_is_counted_and_no_replay_of_it_beside_it(database: Database, tmp_path: Path) -> None:
    async with chain(database, tmp_path) as world:
        await declared(database, world.catalogue)
        await world.phases(dict.fromkeys(EVENTS, Phase.SHADOW))
        await world.send(1, 2)
        await judged(world, 6)
        found = await counted(world)
        assert {task: epoch.live for task, epoch in found.items()} == dict.fromkeys(EVENTS, Counted(match=2))
        await world.phases({"second": Phase.LEGACY, "third": Phase.LEGACY})  # only `first` is compared
        world.faults.add("candidate first stays silent")
        await world.send(3)
        await judged(world, 7)
        assert (await counted(world))["first"].live == Counted(match=2, mismatch=1)
        ((signature,),) = await world.rows("SELECT id FROM signatures")
        await start_replay(database, world.catalogue, signature, actor="ann", reason="as it was")
        await judged(world, 8)
        first = (await counted(world))["first"]
        assert (first.live, first.replayed) == (Counted(match=2, mismatch=1), Counted())
        assert first.left_out == {"repeated": 1}
