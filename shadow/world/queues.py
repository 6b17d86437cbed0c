"""Queues that a tick works off: the candidate gets the rows as they were just before legacy's run took them.

A copy made after that run would show what it has left. So the rows are read at the tick's nominal time, before the run,
and kept (sealed) until the candidate's turn. Whether that copy is what legacy found is then told by legacy's own
effects: a row that it took and that is not in the copy came between the two, and the pair is no evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import psycopg
import structlog

from shadow.catalogue import ResolvedTask
from shadow.catalogue.model import Side
from shadow.effects.evidence import redactor
from shadow.model.ids import new_id
from shadow.model.world import STALE
from shadow.observe import metrics
from shadow.platforms.event import EventRow
from shadow.sealing.vault import Forgotten
from shadow.store.database import Connection, Database, Work
from shadow.world.copying import CannotCopy, Worlds

log = structlog.get_logger(__name__)

KEPT = timedelta(days=2)
"""How long a copy is kept: the longest that a run of its tick may come late."""
_PART = "queue"

_KEEP = b"""
INSERT INTO queue_copies (id, task, nominal_at, external_id, taken_at, content) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (task, nominal_at, external_id) DO NOTHING RETURNING id
"""
_KNOWN = b"SELECT EXISTS (SELECT FROM queue_copies WHERE task = %s AND nominal_at = %s AND external_id = %s)"
_FIND = b"SELECT id, taken_at, content FROM queue_copies WHERE task = %s AND nominal_at = %s AND external_id = %s"
_DROP = b"DELETE FROM queue_copies WHERE taken_at < %s"
_TOUCHED = b"""
SELECT effect.operation, effect.identity, COALESCE(effect.occurred_at, effect.received_at) FROM effects AS effect
WHERE effect.run_id = %(run)s AND effect.kind = 'sql'
UNION ALL
SELECT effect.operation, effect.identity, COALESCE(effect.occurred_at, effect.received_at) FROM runs AS run
JOIN effects AS effect ON effect.platform_run_id = run.platform_run_id AND effect.side = run.side
    AND effect.run_id IS NULL
WHERE run.id = %(run)s AND effect.kind = 'sql'
"""


@dataclass(frozen=True, slots=True)
class _Copy:
    taken_at: datetime
    tables: Sequence[Mapping[str, Any]]
    """As `Rows.stored` gave them, with `table` and `identities`."""


class Queues:
    """Takes copies, and puts them into the candidate's database."""

    def __init__(self, database: Database, worlds: Worlds) -> None:
        self._database = database
        self._worlds = worlds

    async def take(self, task: ResolvedTask, nominal_at: datetime, tenant: str | None, data: Any) -> bool:
        """Read the queue now, for that tick; False where it can't be. Of several who do, the first one's counts.

        Args:
            data: of the event that the tick will be.

        Raises:
            psycopg.Error: our own database is away.
        """
        key = (task.id, nominal_at, tenant or "")
        async with self._database.connection(Work.WORLD) as conn:
            row = await (await conn.execute(_KNOWN, key)).fetchone()
            if row is not None and row[0]:
                return True
        try:
            taken_at, found = await self._worlds.taken(task, data, Side.LEGACY)
        except (CannotCopy, psycopg.Error, TimeoutError) as error:
            metrics.queue_copied(task.id, "failed")
            log.error("world.queue_untaken", task=task.id, error=type(error).__name__)
            return False
        tables = [{**rows.stored(), "table": rows.table, "identities": rows.identities} for rows in found]
        identifier = new_id()
        async with self._database.connection(Work.WORLD) as conn:
            await conn.vault.ready([tenant])
            content = conn.vault.seal(tenant, identifier.bytes, _PART, orjson.dumps(tables))
            cursor = await conn.execute(_KEEP, (identifier, *key, taken_at, content))
            if await cursor.fetchone() is not None:
                metrics.queue_copied(task.id, "taken")
        return True

    async def put(self, task: ResolvedTask, event: EventRow, data: Any, twin: UUID) -> str:
        """Have the candidate's queue be as legacy's was at the event's tick.

        Args:
            twin: legacy's run, which has settled.

        Returns:
            what became of it, for `runs.world`.

        Raises:
            psycopg.OperationalError, TimeoutError: a database cannot be reached; to be tried again.
        """
        async with self._database.connection(Work.WORLD) as conn:
            copy = await _find(conn, task, event)
            if copy is None:
                return f"{STALE}: no copy of its queue was taken before the tick"
            reason = await _other_than_found(conn, copy, event.tenant, twin)
        if reason is None:
            reason = await self._unseen(task, data, copy, twin)
        if reason is not None:
            return f"{STALE}: {reason}"
        return await self._worlds.put(task, data, copy.tables, Side.LEGACY, Side.CANDIDATE)

    async def _unseen(self, task: ResolvedTask, data: Any, copy: _Copy, twin: UUID) -> str | None:
        """Why it can't be told which rows legacy took: nobody saw it take any, and yet they have changed."""
        async with self._database.connection(Work.WORLD) as conn:
            touched = await (await conn.execute(_TOUCHED, {"run": twin})).fetchall()
        tables = {kept["table"] for kept in copy.tables}
        if any(_table_of(operation) in tables for operation, _identity, _at in touched):
            return None
        try:
            _at, now = await self._worlds.taken(task, data, Side.LEGACY)
        except CannotCopy as error:
            return str(error)
        same = [
            rows.stored()["rows"] == [tuple(row) for row in kept["rows"]]
            for rows, kept in zip(now, copy.tables, strict=True)
        ]
        return None if all(same) else "the queue changed, and no effect tells which rows legacy's run took"

    async def drop(self, now: datetime) -> None:
        """Forget copies that nobody will ask for any more."""
        async with self._database.connection(Work.WORLD) as conn:
            await conn.execute(_DROP, (now - KEPT,))


async def _find(conn: Connection, task: ResolvedTask, event: EventRow) -> _Copy | None:
    row = await (await conn.execute(_FIND, (task.id, event.occurred_at, event.tenant or ""))).fetchone()
    if row is None:
        return None
    (opened,) = await conn.vault.open([(row[0], _PART, row[2])])
    return None if isinstance(opened, Forgotten) else _Copy(row[1], orjson.loads(opened))


async def _other_than_found(conn: Connection, copy: _Copy, tenant: str | None, twin: UUID) -> str | None:
    """Why the copy is not what legacy's run found, as far as its effects tell."""
    await conn.vault.ready([tenant])
    by = redactor(conn.vault, tenant)
    known = {kept["table"]: {by.text(one) for one in kept["identities"]} for kept in copy.tables}
    cursor = await conn.execute(_TOUCHED, {"run": twin})
    for operation, identity, at in await cursor.fetchall():
        rows = known.get(_table_of(operation))
        if rows is None:
            continue
        if identity is None:
            return f"nobody can name the rows of {_table_of(operation)} that legacy's run changed"
        if identity not in rows:
            return f"legacy's run took a row of {_table_of(operation)} that came after the copy"
        if at <= copy.taken_at:
            return "legacy's run had begun before the copy was taken"
    return None


def _table_of(operation: str) -> str:
    """Of an effect of kind `sql`: `update webhook_queue`."""
    return operation.partition(" ")[2]
