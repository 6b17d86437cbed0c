"""Runs that were issued: what the candidate's run of a bridged call has become, for the run of legacy that asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.fanout.stored_events import load_originals
from shadow.model.ids import derived_id
from shadow.store.database import Connection

_EVENT = b"""
SELECT task, accepted_at, scheduled_at, external_id FROM events
WHERE id = %s AND door = 'trigger.dev' AND sides = ARRAY['candidate']
"""
_RUN = b"""
SELECT state, status, platform, platform_run_id, started_at, finished_at, attempts, error_name, error_message
FROM runs WHERE id = %s
"""


@dataclass(frozen=True, slots=True)
class IssuedRun:
    """A run of the candidate under the name that legacy's run knows."""

    event: UUID
    legacy_task: str
    accepted_at: datetime
    scheduled_at: datetime | None
    key: str | None
    """The idempotency key, as the run that asked chose it."""
    request: bytes | None
    """The body of the call; None where it is not kept any more."""
    state: str = "expected"
    status: str | None = None
    platform: str | None = None
    platform_run: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: int | None = None
    error_name: str | None = None
    error_message: str | None = None


async def issued_run_of(conn: Connection, catalogue: ResolvedCatalogue, event: UUID) -> IssuedRun | None:
    """The run that was issued for that event; None where none was."""
    row = await (await conn.execute(_EVENT, (event,))).fetchone()
    task = catalogue.tasks.get(row[0]) if row is not None and row[0] is not None else None
    if row is None or task is None:
        return None
    originals = (await load_originals(conn, [event])).get(event)
    request = originals.parts.get("request") if originals is not None else None
    cursor = await conn.execute(_RUN, (derived_id(event, task.id, Side.CANDIDATE),))
    run = await cursor.fetchone()
    return IssuedRun(event, task.legacy.task, row[1], row[2], row[3], request, *(run or ()))
