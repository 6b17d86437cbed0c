"""Retention: originals go first, evidence later, and nothing that somebody still needs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from shadow.model.ids import derived_id, first_id_at
from shadow.store import codec
from shadow.store.database import Connection, Database
from shadow.store.partitions import ensure_partitions
from shadow.store.retention import Deleted, expire, expire_notices
from shadow.store.upkeep import Upkeep

NOW = datetime.now(UTC).replace(day=15, hour=12, minute=0, second=0, microsecond=0)
"""Of these tests. The months around it are everybody's; those that are over are made here."""
MONTH = timedelta(days=30)
YEAR = timedelta(days=400)
LONG_AGO = timedelta(days=470)


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    """In autocommit mode; the months that a test made go afterwards."""
    async with database.direct() as connection:
        await connection.execute("SET lock_timeout = '500ms'")
        yield connection
        for name in await tables(connection):
            if (month := re.search(r"_(20\d\d_\d\d)$", name)) and month[1] < f"{NOW - timedelta(days=90):%Y_%m}":
                await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))


async def tables(connection: Connection) -> set[str]:
    cursor = await connection.execute("SELECT relname FROM pg_class WHERE relkind = 'r'")
    return {row[0] for row in await cursor.fetchall()}


def month(age: timedelta, table: str = "events") -> str:
    """The partition in which things of that age lie."""
    return f"{table}_{NOW - age:%Y_%m}"


async def parts(connection: Connection, event: UUID) -> set[str]:
    """What is left of an event: the parts of its bodies, and of its effect's."""
    cursor = await connection.execute(
        "SELECT part, id = %s FROM bodies WHERE id = ANY(%s)", (event, [event, derived_id(event, "effect")])
    )
    return {part if own else f"effect {part}" for part, own in await cursor.fetchall()}


ORIGINALS = {"data", "request", "headers", "effect answer", "effect answer_headers", "effect pending", "effect traits"}
EVIDENCE = {"evidence", "effect data"}


async def event(connection: Connection, age: timedelta, *, pair: str | None = "judged", dispatch: bool = False) -> UUID:
    """An event of that age, as everything leaves it."""
    identifier = UUID(int=first_id_at(NOW - age).int + 7)
    effect = derived_id(identifier, "effect")
    await connection.execute(
        "INSERT INTO events (id, source, door, origin, name, delivery_id) VALUES (%s, 's', 'd', 'producer', 'n', 'x')",
        (identifier,),
    )
    await connection.execute(
        "INSERT INTO effects (id, side, platform_run_id, kind, target, operation, sequence, attempt, seen_by)"
        " VALUES (%s, 'legacy', 'r', 'k', 't', 'o', 1, 1, 'report')",
        (effect,),
    )
    for part in ORIGINALS | EVIDENCE:
        owner = effect if part.startswith("effect ") else identifier
        content = codec.encode_evidence(b"{}") if part in EVIDENCE else codec.SEALED + bytes(60)
        await connection.execute(
            "INSERT INTO bodies (id, part, content) VALUES (%s, %s, %s)",
            (owner, part.removeprefix("effect "), content),
        )
    if pair is not None:
        await connection.execute(
            "INSERT INTO pairs (id, event_id, task, legacy_run, candidate_run, state, deadline_at, due_at)"
            " VALUES (%s, %s, 't', %s, %s, %s, now(), %s)",
            (derived_id(identifier, "t"), identifier, identifier, identifier, pair, None if pair == "judged" else NOW),
        )
    if dispatch:
        await connection.execute(
            "INSERT INTO dispatches (id, event_id, side, platform, state) VALUES (gen_random_uuid(), %s, 'legacy', 'p',"
            " 'dead')",
            (identifier,),
        )
    return identifier


async def run(connection: Connection, now: datetime = NOW, **more: Any) -> Deleted:
    return await expire(connection, now, originals=MONTH, evidence=YEAR, **more)


async def test_originals_go_when_they_are_too_old_and_evidence_stays(connection: Connection) -> None:
    old = await event(connection, timedelta(days=31))
    young = await event(connection, timedelta(days=29))
    assert await run(connection) == Deleted(originals=7)
    assert await parts(connection, old) == EVIDENCE
    assert await parts(connection, young) == ORIGINALS | EVIDENCE
    # a day and two later
    assert await run(connection, NOW + timedelta(days=2)) == Deleted(originals=7)
    assert await parts(connection, young) == EVIDENCE


@pytest.mark.parametrize("needed", [{"dispatch": True}, {"pair": "open"}, {"pair": "settling"}])
async def test_what_somebody_still_needs_is_kept_and_goes_afterwards(
    connection: Connection, needed: dict[str, Any]
) -> None:
    held = await event(connection, timedelta(days=35), **needed)
    old = await event(connection, timedelta(days=31))
    await run(connection)
    assert {"data", "request", "headers"} <= await parts(connection, held)
    assert await parts(connection, old) == EVIDENCE
    await connection.execute("DELETE FROM dispatches")
    await connection.execute("UPDATE pairs SET state = 'judged', due_at = NULL")
    await run(connection)
    assert await parts(connection, held) == EVIDENCE


async def test_what_was_gone_through_is_not_gone_through_again(connection: Connection) -> None:
    await event(connection, timedelta(days=40))
    await run(connection)
    ((mark,),) = await (await connection.execute("SELECT done_before FROM retention_marks")).fetchall()
    assert mark == first_id_at(NOW - MONTH)


async def test_a_page_at_a_time_is_the_same(connection: Connection) -> None:
    old = [await event(connection, timedelta(days=31, minutes=minute)) for minute in range(9)]
    assert (await run(connection, page=4)).originals == 63
    for one in old:
        assert await parts(connection, one) == EVIDENCE


async def test_months_that_are_over_are_dropped_whole(connection: Connection) -> None:
    await ensure_partitions(connection, NOW - timedelta(days=460))
    old = await event(connection, LONG_AGO)
    gone = await run(connection)
    assert gone.partitions > 0
    assert gone.rows == 0
    assert month(LONG_AGO) not in await tables(connection)
    assert month(YEAR) in await tables(connection)  # of which some days are young enough
    assert await parts(connection, old) == set()


async def test_what_lies_in_no_month_that_is_over_goes_row_by_row(connection: Connection) -> None:
    old = await event(connection, timedelta(days=401))
    young = await event(connection, timedelta(days=399))
    gone = await run(connection)
    assert gone.partitions == 0
    assert gone.rows >= 4
    assert await parts(connection, old) == set()
    assert await parts(connection, young) == EVIDENCE
    for table in ("events", "effects", "pairs"):
        ((count,),) = await (await connection.execute(f"SELECT count(*) FROM {table}".encode())).fetchall()
        assert count == 1, table


async def test_an_event_that_is_still_to_be_delivered_outlives_its_month(connection: Connection) -> None:
    await ensure_partitions(connection, NOW - timedelta(days=460))
    held = await event(connection, LONG_AGO, dispatch=True)
    gone = await run(connection)
    assert month(LONG_AGO) in await tables(connection)
    assert {"data", "request", "headers", "evidence"} <= await parts(connection, held)
    assert gone.rows > 0  # its effect and pair, which it does not need


async def test_a_month_in_use_is_dropped_another_time(database: Database, connection: Connection) -> None:
    await ensure_partitions(connection, NOW - timedelta(days=460))
    async with await psycopg.AsyncConnection.connect(database.url) as reader:
        await reader.execute("SELECT count(*) FROM events")
        await run(connection)
        assert month(LONG_AGO) in await tables(connection)
        assert month(LONG_AGO, "bodies") not in await tables(connection)
    await run(connection)
    assert month(LONG_AGO) not in await tables(connection)


async def test_evidence_is_never_kept_shorter_than_originals(connection: Connection) -> None:
    young = await event(connection, timedelta(days=20))
    await expire(connection, NOW, originals=MONTH, evidence=timedelta(days=1))
    assert await parts(connection, young) == ORIGINALS | EVIDENCE


async def test_the_upkeep_does_it_and_destroys_forgotten_keys(database: Database, connection: Connection) -> None:
    old = await event(connection, timedelta(days=31))
    await connection.execute(
        "INSERT INTO sealing_keys (id, tenant, wrapped, forgotten_at) VALUES (gen_random_uuid(), 'acme', '\\x00',"
        " now() - interval '1 minute')"
    )
    await Upkeep(database, originals=MONTH, evidence=YEAR).once(NOW)
    assert await parts(connection, old) == EVIDENCE
    cursor = await connection.execute("SELECT count(*) FROM sealing_keys WHERE wrapped IS NOT NULL")
    assert await cursor.fetchall() == [(0,)]


async def test_without_a_retention_nothing_is_deleted(database: Database, connection: Connection) -> None:
    old = await event(connection, timedelta(days=500))
    await Upkeep(database).once(NOW)
    assert await parts(connection, old) == ORIGINALS | EVIDENCE


async def test_what_people_were_told_goes_by_its_own_age(connection: Connection) -> None:
    half_a_year = timedelta(days=180)
    for number, (age, told, waits) in enumerate(
        [(179, True, False), (181, True, False), (181, True, True), (181, False, False)]
    ):
        notice, made = UUID(int=number), NOW - timedelta(days=age)
        await connection.execute(
            "INSERT INTO notices (id, kind, title, facts, made_at, fanned_at) VALUES (%s, 'moved', 't', '{}', %s, %s)",
            (notice, made, made if told else None),
        )
        await connection.execute(
            "INSERT INTO notice_deliveries (id, notice, channel, due_at) VALUES (%s, %s, 'ops', %s)",
            (UUID(int=number), notice, NOW if waits else None),
        )
    assert await expire_notices(connection, NOW, half_a_year, page=1) == 1
    for table, column in (("notices", "id"), ("notice_deliveries", "notice")):
        left = await (await connection.execute(f"SELECT {column} FROM {table} ORDER BY 1")).fetchall()
        assert left == [(UUID(int=0),), (UUID(int=2),), (UUID(int=3),)]


async def test_other_names_of_runs_go_with_the_runs(connection: Connection) -> None:
    for name, age in (("old", LONG_AGO), ("new", MONTH)):
        await connection.execute(
            "INSERT INTO run_aliases (platform, alias, run_id) VALUES ('trigger', %s, %s)",
            (name, first_id_at(NOW - age)),
        )
    gone = await expire(connection, NOW, originals=MONTH, evidence=YEAR)
    assert gone.aliases == 1
    assert await (await connection.execute("SELECT alias FROM run_aliases")).fetchall() == [("new",)]


async def test_a_session_that_has_ended_goes_with_the_next_upkeep(database: Database, connection: Connection) -> None:
    for number, until in enumerate(("now() - interval '1 minute'", "now() + interval '1 hour'")):
        await connection.execute(
            f"INSERT INTO page_sessions (digest, token, expires_at) VALUES (%s, %s, {until})",
            (bytes([number]), UUID(int=number)),
        )
    await database.vault.start()
    await Upkeep(database).once(NOW)
    await database.vault.stop()
    assert await (await connection.execute("SELECT token FROM page_sessions")).fetchall() == [(UUID(int=1),)]
