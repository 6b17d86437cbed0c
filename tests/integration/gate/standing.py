"""A task whose gate has all that it asks for, in a database, to be changed by what a test says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from shadow.catalogue.model import Side
from shadow.containment.record import declare
from shadow.gate import epochs
from shadow.gate.epochs import Epoch
from shadow.gate.report import Counted
from shadow.gate.standing import Standing, Test
from tests.integration.judge.world import World

TASK = "order-sync"
ASKED = Test(budget=0.01, alpha=0.05, regress_alpha=0.05)


async def epoch(
    world: World, task: str = TASK, *, matches: int = 400, mismatches: int = 0, lasting: timedelta = timedelta(days=3)
) -> Epoch:
    """An epoch in which that much was counted, mismatches last; and its runs all completed in time."""
    now = datetime.now(UTC)
    async with world.connection() as connection:
        begun = await epochs.begin_first(
            connection,
            task,
            rules="r1",
            versions={Side.LEGACY: "l1", Side.CANDIDATE: "c4"},
            started_at=now - lasting,
        )
        assert begun is not None
        wrong = [False] * matches + [True] * mismatches
        standing = Standing().counted(wrong, [True] * len(wrong), ASKED)
        counted = replace(begun, live=Counted(match=matches, mismatch=mismatches), test=ASKED)
        found = epochs.marked(counted, standing, now)
        await epochs.save(connection, found, now)
        await connection.execute(
            "INSERT INTO gate_runs (epoch, neither_failed, latency_bound, timed, newest_at)"
            " VALUES (%s, %s, '', %s, %s)",
            (found.id, matches + mismatches, matches, now - timedelta(minutes=5)),
        )
        await connection.execute(
            "INSERT INTO tallies (task, day, tenant, opened) VALUES (%s, %s, 'acme', 700), (%s, %s, 'shop', 140)"
            " ON CONFLICT (task, day, tenant) DO UPDATE SET opened = excluded.opened",
            (task, (now - timedelta(days=2)).date(), task, (now - timedelta(days=1)).date()),
        )
    return found


async def ready(world: World, task: str = TASK) -> Epoch:
    """All that its gate asks for."""
    found = await epoch(world, task)
    await declare(world.database, task, actor="ann", reason="it only reads")
    return found
