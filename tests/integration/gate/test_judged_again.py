"""What the judge and the sweep of allowances say of counted pairs reaches the count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shadow.catalogue.model import Side
from shadow.gate import epochs
from shadow.gate.counting import CountingLoop
from shadow.gate.report import Counted
from shadow.judge.allowances import Grant, grant
from shadow.judge.loop import JudgeLoop
from shadow.judge.sweeping import AllowanceLoop
from shadow.store.database import Database, Work
from tests.integration.judge.world import Told, World

LATER = timedelta(minutes=1)


async def judged(world: World, judge: JudgeLoop, *, candidate: int = 1) -> Told:
    told = await world.event()
    await told.both({"count": 1}, candidate={"count": candidate})
    await judge.once(told.accepted_at + LATER)
    return told


async def counted(world: World, loop: CountingLoop) -> Counted:
    await loop.once(datetime.now(UTC) + timedelta(days=60))
    async with world.database.connection(Work.CONTROL) as connection:
        return (await epochs.current(connection, ["order-sync"]))["order-sync"].live


async def allow(world: World, until: datetime) -> None:
    ((signature,),) = await world.rows("SELECT id FROM signatures")
    await grant(world.database, Grant(signature, "agreed", until), actor="ann", now=datetime.now(UTC))


async def sweep(database: Database, now: datetime | None = None) -> None:
    loop = AllowanceLoop(database)
    while (await loop.once(now)).more:
        pass


async def test_a_late_effect_makes_a_counted_match_a_mismatch(database: Database) -> None:
    world = World(database)
    judge, loop = JudgeLoop(database, world.catalogue), CountingLoop(database, world.catalogue, look_seconds=0)
    told = await judged(world, judge)
    assert await counted(world, loop) == Counted(match=1)
    assert await world.rows("SELECT neither_failed FROM gate_runs") == [(1,)]  # its runs are counted with it
    await told.effect(Side.CANDIDATE, {"body": {"amount": 5}}, after=2)
    await judge.once(told.accepted_at + LATER * 2)
    assert await counted(world, loop) == Counted(mismatch=1)
    assert await world.rows("SELECT FROM gate_corrections") == []
    assert await world.rows("SELECT neither_failed FROM gate_runs") == [(1,)]


async def test_an_allowance_counts_for_events_accepted_after_it_until_it_ends(database: Database) -> None:
    world = World(database)
    judge, loop = JudgeLoop(database, world.catalogue), CountingLoop(database, world.catalogue, look_seconds=0)
    until = datetime.now(UTC) + timedelta(days=30)
    await judged(world, judge, candidate=2)
    assert await counted(world, loop) == Counted(mismatch=1)
    await allow(world, until)
    await sweep(database)
    assert await counted(world, loop) == Counted(mismatch=1)
    assert await world.verdicts() == {"allowed": 1}
    await judged(world, judge, candidate=2)
    assert await counted(world, loop) == Counted(mismatch=1, allowed=1)
    await sweep(database, until + timedelta(seconds=1))
    assert await counted(world, loop) == Counted(mismatch=2)
