"""Retention: what is older than the catalogue allows is deleted, a little at a time.

Originals (sealed bodies) go first, evidence much later: whole months are dropped as partitions, the rest in pages. What
somebody still needs is kept: an event with a dispatch that is not done, and the originals of a pair without a verdict.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from psycopg import sql
from psycopg.errors import LockNotAvailable

from shadow.model.ids import first_id_at
from shadow.store.database import Connection
from shadow.store.tables import PARTITIONED, metadata

log = structlog.get_logger(__name__)

PAGE = 2000
"""Rows that one statement goes through."""
PAUSE_SECONDS = 0.02
"""Between two such statements; accepts come first."""

_MARK = "SELECT done_before FROM retention_marks WHERE what = 'originals'"
_SET_MARK = """
INSERT INTO retention_marks (what, done_before) VALUES ('originals', %s)
ON CONFLICT (what) DO UPDATE SET done_before = excluded.done_before
"""
# Rows of a page that are originals: by their part. `data` of an event is one, `data` of an effect is evidence.
_ORIGINALS = """
WITH page AS MATERIALIZED (
    SELECT id, part FROM bodies WHERE (id, part) > (%(id)s, %(part)s) AND id < %(until)s
    ORDER BY id, part LIMIT %(page)s
),
gone AS (
    DELETE FROM bodies USING page
    WHERE bodies.id = page.id AND bodies.part = page.part AND bodies.id >= %(id)s AND bodies.id < %(until)s
      AND (page.part IN ('request', 'headers', 'overlay', 'answer', 'answer_headers', 'pending', 'traits')
           OR (page.part = 'data' AND EXISTS (SELECT FROM events WHERE events.id = page.id)))
      AND NOT EXISTS (SELECT FROM dispatches WHERE dispatches.event_id = page.id)
      AND NOT EXISTS (SELECT FROM pairs WHERE pairs.event_id = page.id AND pairs.state <> 'judged')
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone), id, part FROM page ORDER BY id DESC, part DESC LIMIT 1
"""
_OLDEST_NEEDED = """
SELECT least(
    (SELECT event_id FROM dispatches WHERE event_id < %(until)s ORDER BY event_id LIMIT 1),
    (SELECT event_id FROM pairs WHERE event_id < %(until)s AND due_at IS NOT NULL ORDER BY event_id LIMIT 1))
"""
_PARTITIONS = """
SELECT child.relname, pg_get_expr(child.relpartbound, child.oid)
FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid JOIN pg_class AS parent ON parent.oid = inhparent
WHERE parent.relname = %s
"""
_NEEDED = "SELECT EXISTS (SELECT FROM dispatches WHERE event_id >= %s AND event_id < %s)"
_OLD = """
DELETE FROM {table} WHERE {id} IN (
    SELECT {id} FROM {table} WHERE {id} < %(until)s AND {id} >= %(after)s {kept} ORDER BY {id} LIMIT %(page)s)
  AND {id} < %(until)s AND {id} >= %(after)s
RETURNING {id}
"""
_KEPT = "AND NOT EXISTS (SELECT FROM dispatches WHERE dispatches.event_id = {table}.{id})"


def _partitioned_by(table: str) -> str:
    """The column by whose UUIDv7 a table is partitioned."""
    by: str = metadata.tables[table].dialect_options["postgresql"]["partition_by"]
    return by.removeprefix("RANGE (").removesuffix(")")


# Other names of runs: by place in the table, since nothing but this ever asks for them by age.
_ALIASES_SIZE = "SELECT pg_relation_size('run_aliases') / current_setting('block_size')::int"
_ALIASES = """
DELETE FROM run_aliases WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM run_aliases WHERE ctid >= {first}::tid AND ctid < {end}::tid AND run_id < {until}
    FOR UPDATE SKIP LOCKED))
"""
_ALIAS_PAGES = 512
_NOTICES = """
WITH old AS (
    DELETE FROM notices WHERE id IN (
        SELECT id FROM notices
        WHERE made_at < %(before)s AND fanned_at IS NOT NULL
          AND NOT EXISTS (SELECT FROM notice_deliveries WHERE notice = notices.id AND due_at IS NOT NULL)
        ORDER BY made_at LIMIT %(page)s)
    RETURNING id
),
deliveries AS (DELETE FROM notice_deliveries USING old WHERE notice = old.id)
SELECT count(*) FROM old
"""


@dataclass(frozen=True, slots=True)
class Deleted:
    """What one round of retention deleted."""

    originals: int = 0
    """Bodies."""
    partitions: int = 0
    rows: int = 0
    """Of evidence, outside the dropped partitions."""
    aliases: int = 0
    """Other names of runs that are gone."""


async def expire(
    connection: Connection, now: datetime, *, originals: timedelta, evidence: timedelta, page: int = PAGE
) -> Deleted:
    """Delete what is too old at `now`.

    Args:
        connection: in autocommit mode, so that each page is a transaction of its own.
        originals: how long sealed bodies are kept.
        evidence: how long all else about an event is kept, at least as long as its originals.
    """
    bodies = await _expire_originals(connection, first_id_at(_before(now, originals)), page)
    until = first_id_at(_before(now, max(evidence, originals)))
    partitions = 0
    for table in PARTITIONED:
        partitions += await _drop_months(connection, table, until)
    rows = 0
    for table in PARTITIONED:
        rows += await _delete_rows(connection, table, until, page)
    return Deleted(bodies, partitions, rows, await _delete_aliases(connection, until))


async def expire_notices(connection: Connection, now: datetime, kept: timedelta, *, page: int = PAGE) -> int:
    """Delete what people were told longer ago than that, unless a channel still has to take it; how many there were.

    Args:
        connection: in autocommit mode, so that each page is a transaction of its own.
    """
    deleted = 0
    while True:
        cursor = await connection.execute(_NOTICES, {"before": _before(now, kept), "page": page})
        row = await cursor.fetchone()
        if row is None or row[0] == 0:
            return deleted
        deleted += row[0]
        await asyncio.sleep(PAUSE_SECONDS)


async def _delete_aliases(connection: Connection, until: UUID) -> int:
    row = await (await connection.execute(_ALIASES_SIZE)).fetchone()
    deleted = 0
    for first in range(0, row[0] if row else 0, _ALIAS_PAGES):
        statement = sql.SQL(_ALIASES).format(
            first=sql.Literal(f"({first},0)"), end=sql.Literal(f"({first + _ALIAS_PAGES},0)"), until=sql.Literal(until)
        )
        deleted += (await connection.execute(statement)).rowcount
        await asyncio.sleep(PAUSE_SECONDS)
    return deleted


async def _expire_originals(connection: Connection, until: UUID, page: int) -> int:
    row = await (await connection.execute(_MARK)).fetchone()
    place: tuple[UUID, str] = (row[0] if row else UUID(int=0), "")
    deleted = 0
    while True:
        cursor = await connection.execute(_ORIGINALS, {"id": place[0], "part": place[1], "until": until, "page": page})
        found = await cursor.fetchone()
        if found is None:
            break
        deleted += found[0]
        place = (found[1], found[2])
        await asyncio.sleep(PAUSE_SECONDS)
    # What is kept for somebody's sake has to be looked at again.
    cursor = await connection.execute(_OLDEST_NEEDED, {"until": until})
    needed = await cursor.fetchone()
    await connection.execute(_SET_MARK, (needed[0] if needed and needed[0] else until,))
    return deleted


async def _drop_months(connection: Connection, table: str, until: UUID) -> int:
    """Drop the partitions that end before `until`, unless an event in them is still to be delivered."""
    dropped = 0
    cursor = await connection.execute(_PARTITIONS, (table,))
    for name, bound in await cursor.fetchall():
        span = _span(bound)
        if span is None or span[1] > until:
            continue
        needed = await (await connection.execute(_NEEDED, span)).fetchone()
        if needed is None or needed[0]:
            continue
        try:
            await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
        except LockNotAvailable:
            log.warning("retention.partition_in_use", partition=name)
            continue
        log.info("retention.partition_dropped", partition=name)
        dropped += 1
    return dropped


def _span(bound: str) -> tuple[UUID, UUID] | None:
    """First id, and the one after the last, of a partition's bound as PostgreSQL shows it; None of the default's."""
    quoted = bound.split("'")
    return (UUID(quoted[1]), UUID(quoted[3])) if len(quoted) == 5 else None


async def _delete_rows(connection: Connection, table: str, until: UUID, page: int) -> int:
    """Delete what lies in no whole month that is over."""
    column = sql.Identifier(_partitioned_by(table))
    kept = (
        sql.SQL(_KEPT).format(table=sql.Identifier(table), id=column) if table in ("events", "bodies") else sql.SQL("")
    )
    statement = sql.SQL(_OLD).format(table=sql.Identifier(table), id=column, kept=kept)
    after, deleted = UUID(int=0), 0
    while True:
        cursor = await connection.execute(statement, {"until": until, "after": after, "page": page})
        ids = [row[0] for row in await cursor.fetchall()]
        deleted += len(ids)
        if not ids:
            return deleted
        after = max(ids)
        await asyncio.sleep(PAUSE_SECONDS)


def _before(now: datetime, age: timedelta) -> datetime:
    """The moment that lies so far back; never one before ids began."""
    return max(now - age, datetime(1970, 1, 1, tzinfo=UTC))
