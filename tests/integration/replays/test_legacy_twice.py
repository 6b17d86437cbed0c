"""Legacy over the same events a second time: nobody has authority, and what differs is noise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shadow.catalogue import parse
from shadow.cutover.decision import Phase
from shadow.model.ids import new_id
from shadow.replays.starting import ReplayRefused, start_legacy_twice
from shadow.reports import replays
from shadow.reports.shapes import ReplayView
from shadow.store.database import Database, Work
from tests.integration.causes.chain import CATALOGUE, ROOT, WORKER, Chain, chain
from tests.integration.containment.declared import declared


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[Chain]:
    """Two orders went through both sides; only the first task is compared, which starts no other."""
    async with chain(database, tmp_path) as made:
        made.faults |= {"legacy first stays silent", "candidate first stays silent"}
        await declared(database, made.catalogue)
        await made.phases({"first": Phase.SHADOW})
        await made.send(1, 2)
        await made.settled(2 * 2)
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


async def test_an_event_is_left_out_whose_first_run_started_others(database: Database, tmp_path: Path) -> None:
    async with chain(database, tmp_path) as world:
        await declared(database, world.catalogue)
        await world.phases({"first": Phase.SHADOW})
        await world.send(1)
        await world.settled(3 + 1)
        await seen(world, "gateway")
        before = world.legacy_runs()
        found = await start(world)
        assert list(found.skipped.values()) == ["legacy's run started others, which would run again too: chain/second"]
        assert world.legacy_runs() == before


@pytest.mark.parametrize(
    ("nobodys", "because"),
    [
        (
            "INSERT INTO events (id, source, door, origin, name, delivery_id, upstream_id)"
            " SELECT %s, 'legacy-worker', 'trigger.dev', 'legacy', 'chain/second', id::text, id::text FROM runs"
            " WHERE side = 'legacy' LIMIT 1 RETURNING id",
            "meanwhile a legacy run that is not known started others, and it may have been this one: chain/second",
        ),
        (
            "INSERT INTO effects (id, side, sequence, kind, target, operation, seen_by)"
            " VALUES (%s, 'legacy', 0, 'sql', 'books', 'INSERT entries', 'rows') RETURNING id",
            "meanwhile something was done past the gateway, and it may have been this run: sql books/INSERT entries",
        ),
    ],
)
async def test_what_is_nobodys_may_have_been_its_doing(world: Chain, nobodys: str, because: str) -> None:
    await seen(world, "gateway")
    await world.rows(nobodys, new_id())
    before = world.legacy_runs()
    assert set((await start(world)).skipped.values()) == {because}
    assert world.legacy_runs() == before


@pytest.mark.parametrize("by", ["key", "trace"])
async def test_calls_that_do_not_name_their_run_are_not_made_a_second_time(world: Chain, by: str) -> None:
    await seen(world, "gateway")
    await world.rows("UPDATE effects SET attributed_by = %s RETURNING id", by)
    found = await start(world)
    assert len(found.skipped) == 2
    assert all("do not name their run" in because for because in found.skipped.values())


async def test_of_a_route_only_that_task_runs_a_second_time(world: Chain) -> None:
    # The same service, had the catalogue two tasks that one event starts.
    text = CATALOGUE.replace("event: chain/third", "event: chain/first")
    places = {"trigger": world.trigger.url, "inngest": world.platform, "root": ROOT, "worker": WORKER}
    catalogue = parse(text.format(**places, sequence="together", deadline="60s", reverse="false"), "chain.yaml", {})
    await world.rows("UPDATE events SET route = 'first+third' RETURNING id")
    await seen(world, "gateway")
    started = await start_legacy_twice(world.database, catalogue, "first", actor="ann", reason="pretended targets")
    assert started.skipped == {}
    rows = await world.rows("SELECT task, sides FROM events WHERE purpose = 'legacy_twice'")
    assert rows == [("first", ["legacy"])] * 2
    await world.settled(2 * 2 + 2)
    assert world.legacy_runs() == {"first": 4}


async def test_there_must_be_something_to_run(world: Chain) -> None:
    with pytest.raises(ReplayRefused, match="no task 'fourth'"):
        await start(world, "fourth")
    with pytest.raises(ReplayRefused, match="no pair of third was judged"):
        await start(world, "third")
