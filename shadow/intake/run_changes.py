"""What a producer does to a run after it was started: cancel, reschedule, replay."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from shadow.catalogue import ResolvedCatalogue
from shadow.model.ids import new_id
from shadow.model.reasons import CHANGED_BY_PRODUCER
from shadow.store.database import Connection

_FIND = b"""
SELECT run.id, run.event_id, run.pair_id, run.task, run.state
FROM run_aliases AS known JOIN runs AS run ON run.id = known.run_id
WHERE known.platform = %s AND known.alias = %s
"""
_CANCEL = b"""
INSERT INTO dispatches (id, event_id, side, stage, platform, task)
SELECT %(id)s, %(event)s, 'candidate', 'cancel', %(platform)s, %(task)s
WHERE NOT EXISTS (SELECT FROM dispatches WHERE event_id = %(event)s AND stage = 'cancel' AND task = %(task)s)
"""
_INCOMPARABLE = b"""
UPDATE pairs SET incomparable = %s, due_at = now()
WHERE id = %s AND verdict IS NULL AND incomparable IS NULL
"""
_UNSOLICITED = b"""
INSERT INTO runs (id, task, side, platform, platform_run_id, authority, state)
VALUES (%s, %s, 'legacy', %s, %s, 'real', 'sent')
"""
_ALIAS = b"""
INSERT INTO run_aliases (platform, alias, run_id) VALUES (%s, %s, %s)
ON CONFLICT (platform, alias) DO NOTHING RETURNING run_id
"""


@dataclass(frozen=True, slots=True)
class _Known:
    id: UUID
    event_id: UUID | None
    pair_id: UUID | None
    task: str
    state: str


async def cancelled(conn: Connection, catalogue: ResolvedCatalogue, platform: str, run: str) -> None:
    """The producer cancelled a legacy run: its twin is to be cancelled, and the pair says why it is no evidence.

    Cancelling a run that has finished changes nothing, here as upstream.
    """
    known = await _find(conn, platform, run)
    if known is None or known.pair_id is None or known.state == "finished":
        return
    task = catalogue.tasks.get(known.task)
    if task is not None:
        parameters = {"id": new_id(), "event": known.event_id, "platform": task.candidate.platform, "task": known.task}
        await conn.execute(_CANCEL, parameters)
        await conn.execute(b"NOTIFY shadow_dispatches")
    await _incomparable(conn, known.pair_id)


async def rescheduled(conn: Connection, platform: str, run: str) -> None:
    """The producer moved a delayed legacy run: its twin keeps the old time, so the pair is no evidence."""
    known = await _find(conn, platform, run)
    if known is not None and known.pair_id is not None and known.state != "finished":
        await _incomparable(conn, known.pair_id)


async def replayed(conn: Connection, platform: str, run: str, new_run: str) -> None:
    """The producer replayed a legacy run: the new one is known, but belongs to no event (unsolicited)."""
    known = await _find(conn, platform, run)
    if known is None:
        return
    identifier = new_id()
    cursor = await conn.execute(_ALIAS, (platform, new_run, identifier))
    if await cursor.fetchone() is not None:
        await conn.execute(_UNSOLICITED, (identifier, known.task, platform, new_run))


async def _find(conn: Connection, platform: str, run: str) -> _Known | None:
    row = await (await conn.execute(_FIND, (platform, run))).fetchone()
    return _Known(*row) if row is not None else None


async def _incomparable(conn: Connection, pair_id: UUID) -> None:
    cursor = await conn.execute(_INCOMPARABLE, (CHANGED_BY_PRODUCER, pair_id))
    if cursor.rowcount:
        await conn.execute(b"NOTIFY shadow_pairs")
