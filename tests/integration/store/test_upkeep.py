"""The upkeep: months are ready before they begin, and keys go once their time is over, with nobody waiting for it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from shadow.model.ids import first_id_at
from shadow.service import Service
from shadow.store.database import MIGRATION_LOCK, Connection, Database
from shadow.store.tables import PARTITIONED
from shadow.store.upkeep import Upkeep, delete_expired_keys
from tests.unit.shadow.catalogues import small

LATER = datetime(2041, 3, 5, tzinfo=UTC)
"""Far beyond the months that are there."""


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    """In autocommit mode; drops the months of `LATER` afterwards, for the database is everybody's."""
    async with database.direct() as connection:
        yield connection
        for name in await partitions(connection):
            if re.search(r"_204\d_\d\d$", name):
                await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))


async def partitions(connection: Connection) -> set[str]:
    cursor = await connection.execute("SELECT relname FROM pg_class WHERE relkind = 'r'")
    return {row[0] for row in await cursor.fetchall()}


async def keys(connection: Connection) -> set[str]:
    cursor = await connection.execute("SELECT key FROM dedupe_keys")
    return {row[0] for row in await cursor.fetchall()}


async def add_keys(connection: Connection, lives: dict[str, timedelta]) -> None:
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO dedupe_keys (scope, key, event_id, expires_at) VALUES ('s', %s, %s, now() + %s)",
            [(key, UUID(int=1), life) for key, life in lives.items()],
        )


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - another connection brings it about
            await asyncio.sleep(0.02)


async def test_months_are_made_as_time_goes_by(database: Database, connection: Connection) -> None:
    await Upkeep(database).once(LATER)
    made = await partitions(connection)
    for table in PARTITIONED:
        assert {f"{table}_2041_{month:02}" for month in (2, 3, 4, 5)} <= made


async def test_a_month_whose_rows_are_in_the_default_partition_is_left_out_and_no_other(
    database: Database, connection: Connection
) -> None:
    late = first_id_at(LATER)
    insert = "INSERT INTO bodies (id, part, content) VALUES (%s, %s, '\\x00')"
    await connection.execute(insert, (late, "data"))
    await Upkeep(database).once(LATER)
    made = await partitions(connection)
    assert "bodies_2041_03" not in made
    assert {"bodies_2041_02", "bodies_2041_04", "pairs_2041_03", "events_2041_03"} <= made
    await connection.execute(insert, (late, "request"))  # the default partition goes on
    await database.prepare()


async def test_a_table_in_use_delays_its_months_and_no_accept(database: Database, connection: Connection) -> None:
    async with await psycopg.AsyncConnection.connect(database.url) as reader:
        await reader.execute("SELECT count(*) FROM differences")  # a long report: its transaction stays open
        async with asyncio.timeout(20):
            await Upkeep(database).once(LATER)
        assert "differences_2041_03" not in await partitions(connection)
    await Upkeep(database).once(LATER)
    assert "differences_2041_03" in await partitions(connection)


async def test_another_process_that_migrates_is_left_alone(database: Database, connection: Connection) -> None:
    await connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
    await Upkeep(database).once(LATER)
    assert "events_2041_03" not in await partitions(connection)


async def test_keys_go_an_hour_after_their_time(connection: Connection) -> None:
    lives = {
        "long over": timedelta(days=-40),
        "over": timedelta(minutes=-61),
        "just over": timedelta(minutes=-59),  # somebody may be about to read it
        "alive": timedelta(minutes=1),
    }
    await add_keys(connection, lives)
    assert await delete_expired_keys(connection) == 2
    assert await keys(connection) == {"just over", "alive"}


async def test_the_whole_table_is_gone_through_a_few_pages_at_a_time(connection: Connection) -> None:
    await connection.execute(
        """INSERT INTO dedupe_keys (scope, key, event_id, expires_at)
           SELECT 's', 'key-' || n, gen_random_uuid(),
                  now() + CASE WHEN n % 3 = 0 THEN interval '1 day' ELSE '-1 day' END
           FROM generate_series(1, 1000) AS n"""
    )
    assert await delete_expired_keys(connection, pages=3) == 667
    assert len(await keys(connection)) == 333
    assert await delete_expired_keys(connection, pages=3) == 0


async def test_a_key_that_an_accept_holds_is_not_waited_for(database: Database, connection: Connection) -> None:
    await add_keys(connection, {"renewed": timedelta(days=-1), "over": timedelta(days=-1)})
    async with await psycopg.AsyncConnection.connect(database.url) as accept:
        await accept.execute("UPDATE dedupe_keys SET expires_at = now() + interval '1 day' WHERE key = 'renewed'")
        async with asyncio.timeout(5):
            assert await delete_expired_keys(connection) == 1
    assert await keys(connection) == {"renewed"}


async def test_it_runs_at_start_and_again_and_again(database: Database, connection: Connection) -> None:
    async def nothing_left() -> bool:
        return await keys(connection) == set()

    upkeep = Upkeep(database, every=0.05)
    await upkeep.start()
    for _turn in range(2):
        await add_keys(connection, {"over": timedelta(days=-1)})
        await until(nothing_left)
    await upkeep.stop()
    await add_keys(connection, {"over": timedelta(days=-1)})
    await asyncio.sleep(0.3)
    assert await keys(connection) == {"over"}


async def test_a_database_that_goes_away_does_not_end_it(database: Database, connection: Connection) -> None:
    async def nothing_left() -> bool:
        return await keys(connection) == set()

    wrong = Database("postgresql://127.0.0.1:1/none")
    upkeep = Upkeep(wrong, every=0.05)
    await upkeep.start()
    await asyncio.sleep(0.2)
    wrong.direct_url = database.url  # it is back
    await add_keys(connection, {"over": timedelta(days=-1)})
    await until(nothing_left)
    await upkeep.stop()


async def test_every_process_does_it_even_one_without_servers_and_loops(
    database: Database, connection: Connection
) -> None:
    async def nothing_left() -> bool:
        return await keys(connection) == set()

    await add_keys(connection, {"over": timedelta(days=-1)})
    stop = asyncio.Event()
    service = Service(small(), database, front=None, control=None, loops=False)
    running = asyncio.create_task(service.run(stop))
    await until(nothing_left)
    stop.set()
    await running
