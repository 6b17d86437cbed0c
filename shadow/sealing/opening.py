"""Opening the originals of an event for a person. It is on record, durably, before anything is shown."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import structlog

from shadow.model.ids import new_id
from shadow.sealing.vault import Forgotten
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

LONGEST_REASON = 2000
PARTS = ("data", "request", "headers")
"""Of an event: its data, and the producer's own request with its headers where it was kept."""

_EVENT = b"""
SELECT tenant, ARRAY(SELECT DISTINCT pairs.task FROM pairs WHERE pairs.event_id = events.id ORDER BY 1)
FROM events WHERE id = %s
"""
_BODIES = b"SELECT id, part, content FROM bodies WHERE id = %s AND part = ANY(%s::text[]) ORDER BY part"
_RECORD = b"""
INSERT INTO raw_reads (id, read_at, actor, reason, event_id, tenant, tasks, parts)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""


class UnknownEvent(LookupError):
    """There is no such event, or it is another tenant's."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An event's originals, and the record of their being read."""

    read: UUID
    read_at: datetime
    event: UUID
    tenant: str | None
    parts: dict[str, bytes]
    """Empty when they are gone."""
    forgotten: bool
    """Whether they can't be opened any more, since the tenant was forgotten."""


async def open_originals(
    database: Database,
    event: UUID,
    *,
    actor: str,
    reason: str,
    tenants: Collection[str] | None = None,
    work: Work = Work.CONTROL,
) -> Opened:
    """What an event came with, as it came. A read of what is gone is on record, too: somebody wanted to see it.

    Args:
        reason: why, for whoever reads the audit later.
        tenants: only an event of these; None: of anybody.

    Raises:
        UnknownEvent: there is none.
        ValueError: no reason, or one that is too long.
    """
    if not reason.strip():
        raise ValueError("reason: found none, expected why the originals are read, for whoever reads the audit later")
    if len(reason) > LONGEST_REASON:
        raise ValueError(f"reason: found {len(reason)} characters, expected at most {LONGEST_REASON}")
    async with database.connection(work) as connection:
        found = await (await connection.execute(_EVENT, (event,))).fetchone()
        if found is None or (tenants is not None and found[0] not in tenants):
            raise UnknownEvent(f"there is no event {event}")
        tenant, tasks = found
        stored = await (await connection.execute(_BODIES, (event, list(PARTS)))).fetchall()
        read, now = new_id(), datetime.now(UTC)
        names = [part for _, part, _ in stored]
        await connection.execute(_RECORD, (read, now, actor, reason.strip(), event, tenant, tasks, names))
    log.info("originals.read", event_id=str(event), actor=actor, parts=names)
    parts: dict[str, bytes] = {}
    forgotten = False
    for part, content in zip(names, await database.vault.open(stored), strict=True):
        if isinstance(content, Forgotten):
            forgotten = True
        else:
            parts[part] = content
    return Opened(read, now, event, tenant, parts, forgotten)
