"""Behind a pooler in transaction mode, where every transaction may get another server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from shadow.store.database import PREPARES, Database, Work
from tests import pgbouncer
from tests.integration.front.world import World, world_of

PAYOUT = {"name": "payout/approved", "data": {"requestId": "wd_1", "tenantId": "acme"}}


@pytest.fixture(params=[False, True], ids=["unprepared", "prepared"])
async def pooled(
    request: pytest.FixtureRequest, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    if request.param:
        if pgbouncer.version() < (1, 22):
            # Nothing is left out: this version has no such mode.
            monkeypatch.setenv(PREPARES, "0")
        else:
            monkeypatch.setenv(PREPARES, "1")
    with pgbouncer.bouncer(database_url, servers=3) as bouncer:
        database = Database(bouncer.url(database_url), database_url)
        yield database
        await database.close()


@pytest.fixture
async def world(pooled: Database) -> AsyncIterator[World]:
    async with world_of(pooled) as made:
        yield made


async def test_statements_are_prepared_only_where_the_pooler_knows_of_them(pooled: Database) -> None:
    expected = 2 if pooled.prepares else None
    async with pooled.connection(Work.ACCEPT) as connection:
        assert connection.prepare_threshold == expected
    assert pooled.is_pooled


async def test_every_kind_of_work_and_the_reports_see_utc(pooled: Database) -> None:
    for _ in range(4):
        for work in Work:
            async with pooled.connection(work) as connection:
                cursor = await connection.execute("SELECT current_setting('TimeZone'), %s::int", (1,))
                assert await cursor.fetchone() == ("UTC", 1)
    async with pooled.engine.connect() as reports:
        assert (await reports.execute(text("SELECT 1"))).scalar() == 1


async def test_no_setting_of_intake_stays_with_a_server_that_others_use(pooled: Database) -> None:
    for _ in range(6):
        async with pooled.connection(Work.INTAKE) as connection:
            await connection.execute("SELECT 1")
        async with pooled.connection(Work.CONTROL) as connection:
            cursor = await connection.execute(
                "SELECT current_setting('enable_nestloop'), current_setting('plan_cache_mode')"
            )
            assert await cursor.fetchone() == ("on", "auto")


async def test_the_doors_take_events_and_calls(world: World) -> None:
    events = asyncio.gather(*(world.client.post("/e/producer-key", json=[PAYOUT] * 3) for _ in range(40)))
    calls = asyncio.gather(*(world.trigger_call(body={"payload": {"n": number}}) for number in range(20)))
    answers = [*await events, *await calls]
    assert {answer.status_code for answer in answers} == {200}
    assert await world.count("events") == 140
    assert [state for _side, state, run in await world.runs() if run] == ["sent"] * 20
