"""Legacy over the same events a second time: nobody has authority, and what differs is noise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shadow.cutover.decision import Phase
from shadow.model.ids import new_id
from shadow.replays.starting import ReplayRefused, start_legacy_twice
from shadow.reports import replays
from shadow.reports.shapes import ReplayView
from shadow.store.database import Database, Work
from tests.integration.causes.chain import Chain, chain
from tests.integration.containment.declared import declared


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[Chain]:
    """Two orders went through both sides; only the first task is compared."""
    async with chain(database, tmp_path) as made:
        await declared(database, made.catalogue)
        await made.phases({"first": Phase.SHADOW})
        await made.send(1, 2)
        await made.settled(2 * 3 + 2)
        yield made


async def seen(world: Chain, seen_by: str, kind: str = "http") -> None:
    """Each of legacy's runs of the first task did something."""
    runs = await world.rows("SELECT id FROM runs WHERE task = 'first' AND side = 'legacy'")
    async with world.database.connection(Work.CONTROL) as conn:
        for (run,) in runs:
            await conn.execute(
                "INSERT INTO effects (id, side, sequence, kind, target, operation, run_id, seen_by, writes)"
                " VALUES (%s, 'legacy', 0, %s, 'shop', 'GET /orders', %s, %s, false)",
                (new_id(), kind, run, seen_by),
            )


async def start(world: Chain, task: str = "first") -> ReplayView:
    started = await start_legacy_twice(world.database, world.catalogue, task, actor="ann", reason="pretended targets")
    async with asyncio.timeout(60):
        while True:
            found = await replays.one(world.database.engine, started.id)
            assert found is not None
            if not found.pending:
                return found
            await asyncio.sleep(0.1)


async def test_legacy_runs_again_without_authority_and_is_compared_with_itself(world: Chain) -> None:
    await seen(world, "gateway")
    before = world.legacy_runs()
    tallies = await world.rows("SELECT * FROM tallies ORDER BY task, day, tenant")
    found = await start(world)
    assert (found.purpose, found.signature, found.pairs, found.skipped) == ("legacy_twice", None, 2, {})
    # What was put into the first runs' ledgers here is missing from the second ones'.
    assert found.verdicts == {"mismatch": 2}
    assert [(other.pairs, "GET /orders" in other.sentence) for other in found.others] == [(2, True)]
    assert world.legacy_runs()["first"] == before["first"] + 2
    assert (await world.authorities())["first", "legacy", "none"] == 2
    assert world.candidate_runs() == {"first": 2}
    assert await world.rows("SELECT * FROM tallies ORDER BY task, day, tenant") == tallies


@pytest.mark.parametrize(
    ("seen_by", "kind", "because"),
    [
        (None, "", "nothing of legacy's run was seen at the gateway"),
        ("rows", "sql", "legacy's run did something past the gateway: sql shop/GET /orders"),
        ("report", "http", "legacy's run did something past the gateway: http shop/GET /orders"),
    ],
)
async def test_an_event_is_left_out_whose_second_run_nobody_would_contain(
    world: Chain, seen_by: str | None, kind: str, because: str
) -> None:
    if seen_by is not None:
        await seen(world, "gateway")
        await seen(world, seen_by, kind)
    before = world.legacy_runs()
    found = await start(world)
    assert found.pairs == 0
    assert len(found.skipped) == 2
    assert all(reason.startswith(because) for reason in found.skipped.values()), found.skipped
    assert world.legacy_runs() == before


async def test_there_must_be_something_to_run(world: Chain) -> None:
    with pytest.raises(ReplayRefused, match="no task 'fourth'"):
        await start(world, "fourth")
    with pytest.raises(ReplayRefused, match="no pair of third was judged"):
        await start(world, "third")
