"""Moves: audited, together for a route, a little ahead, and known to every process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shadow.cutover import moves
from shadow.cutover.decision import Phase
from shadow.cutover.last_known import LastKnown
from shadow.cutover.moves import LEAD, MoveRefused
from shadow.cutover.routing import Routing
from shadow.cutover.standing import Standing
from shadow.steering.moving import move
from shadow.store.database import Database, Work
from tests.integration.containment.declared import declared
from tests.unit.shadow.catalogues import small

CATALOGUE = small()
ROUTE = CATALOGUE.tasks["sync-order"].route


@pytest.fixture
async def routing(database: Database) -> AsyncIterator[Routing]:
    routing = Routing(CATALOGUE, database)
    await routing.start()
    yield routing
    await routing.stop()


@pytest.fixture(autouse=True)
async def harmless(database: Database) -> None:
    await declared(database, CATALOGUE)


async def to(
    database: Database, task: str, phase: Phase, reason: str = "because", *, force: bool = False
) -> moves.Move:
    return await move(database, CATALOGUE, task, phase, actor="ada", reason=reason, force=force)


async def test_a_route_that_was_never_moved_stands_at_legacy(routing: Routing) -> None:
    assert routing.decision(ROUTE).phase is Phase.LEGACY


async def test_the_tasks_of_a_route_move_together_and_not_before_the_time(routing: Routing, database: Database) -> None:
    done = await to(database, "credit-creator", Phase.SHADOW)
    assert set(done.tasks) == {"sync-order", "credit-creator"}
    await routing.refresh()
    assert routing.phase(ROUTE, datetime.now(UTC)) is Phase.LEGACY
    assert routing.phase(ROUTE, done.effective_at) is Phase.SHADOW
    assert routing.phase(CATALOGUE.tasks["pay"].route, done.effective_at) is Phase.LEGACY


async def test_every_process_hears_of_a_move_before_it_holds(database: Database) -> None:
    processes = [Routing(CATALOGUE, database) for _ in range(3)]
    for process in processes:
        await process.start()
    done = await to(database, "pay", Phase.SHADOW)
    await asyncio.sleep(LEAD.total_seconds() / 2)
    route = CATALOGUE.tasks["pay"].route
    assert datetime.now(UTC) < done.effective_at
    assert [process.phase(route, done.effective_at) for process in processes] == [Phase.SHADOW] * 3
    for process in processes:
        await process.stop()


async def test_a_move_is_an_audit_row(database: Database) -> None:
    done = await to(database, "pay", Phase.SHADOW, "week one")
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(
            "SELECT route, tasks, from_phase, to_phase, actor, reason, forced, effective_at - decided_at FROM moves"
        )
        row: Any = await cursor.fetchone()
    assert row == (done.route, ["pay"], "legacy", "shadow", "ada", "week one", False, timedelta(seconds=2))


async def test_back_is_always_allowed(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "LEAD", timedelta(0))
    await to(database, "pay", Phase.SHADOW)
    await to(database, "pay", Phase.LIVE, force=True)
    done = await to(database, "pay", Phase.LEGACY)
    assert (done.from_phase, done.to_phase) == (Phase.LIVE, Phase.LEGACY)


@pytest.mark.parametrize(
    ("task", "phase", "reason", "says"),
    [
        ("nobody", Phase.SHADOW, "x", "no task 'nobody'; expected one of credit-creator"),  # unknown
        ("pay", Phase.SHADOW, "  ", "needs a reason"),  # unexplained
        ("pay", Phase.LEGACY, "x", "is in phase legacy already"),  # nothing to do
        ("pay", Phase.RAMP, "x", "a ramp needs a share"),
        ("welcome", Phase.LIVE, "x", "after legacy comes shadow, not live. By force"),  # a phase is left out
    ],
)
async def test_a_move_that_makes_no_sense_is_refused(
    database: Database, task: str, phase: Phase, reason: str, says: str
) -> None:
    with pytest.raises(MoveRefused) as refusal:
        await to(database, task, phase, reason)
    assert says in str(refusal.value)
    async with database.connection(Work.CONTROL) as connection:
        row = await (await connection.execute("SELECT (SELECT count(*) FROM moves), count(*) FROM phases")).fetchone()
    assert row == (0, 0)


class _HangingDisk(LastKnown):
    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.goes_on.set()

    def keep(self, standings: Mapping[str, Standing], now: datetime) -> None:
        self.goes_on.wait(30)

    def look(self, now: datetime) -> None:
        self.goes_on.wait(30)


async def test_moves_are_heard_of_while_the_disk_hangs_on_which_the_phases_are_kept(database: Database) -> None:
    disk = _HangingDisk()
    routing = Routing(CATALOGUE, database, disk)
    await routing.start()
    try:
        disk.goes_on.clear()
        for task, phase in (("pay", Phase.SHADOW), ("credit-creator", Phase.SHADOW)):
            done = await to(database, task, phase)
            async with asyncio.timeout(10):
                while routing.phase(CATALOGUE.tasks[task].route, done.effective_at) is not phase:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
    finally:
        disk.goes_on.set()
        await routing.stop()
