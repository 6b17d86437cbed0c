"""Reading events back, with or without their bodies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from shadow.platforms.event import EventRow
from shadow.sealing.vault import Forgotten
from shadow.store.database import Connection

_COLUMNS = (
    "id, source, door, origin, name, tenant, external_id, delivery_id, upstream_id, "
    "occurred_at, scheduled_at, accepted_at, route, phase, authority, purpose, parent_run, sides, child_key, task, "
    "ramp_key, decided"
)
_EVENTS = f"SELECT {_COLUMNS} FROM events WHERE id = ANY(%s::uuid[])".encode()  # noqa: S608 (constant)
_BODIES = b"""
SELECT id, part, CASE WHEN part <> 'evidence' THEN content END FROM bodies
WHERE id = ANY(%s::uuid[]) AND part = ANY(%s::text[])
"""
_DELIVERED = ("data", "request", "headers", "evidence")


async def load_events(conn: Connection, ids: Iterable[UUID]) -> list[EventRow]:
    """The events with those ids, in no order; those that are gone are left out."""
    cursor = await conn.execute(_EVENTS, (list(ids),))
    return [EventRow(*row) for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Originals:
    """What an event was delivered with, opened."""

    parts: dict[str, bytes] = field(default_factory=dict)
    forgotten: Forgotten | None = None
    """Why there are none: they can't be opened any more."""
    has_evidence: bool = False
    """Whether a redacted copy of the data is kept already."""


async def load_originals(
    conn: Connection, ids: Iterable[UUID], parts: Sequence[str] = _DELIVERED
) -> dict[UUID, Originals]:
    """What the events came with: data, and where it is kept the producer's request with its headers. Events whose
    originals have been deleted are left out.

    Args:
        parts: of their bodies, those that are wanted.
    """
    cursor = await conn.execute(_BODIES, (list(ids), list(parts)))
    rows = await cursor.fetchall()
    stored = [row for row in rows if row[1] != "evidence"]
    redacted = {row[0] for row in rows if row[1] == "evidence"}
    originals: dict[UUID, Originals] = {}
    for (event_id, part, _sealed), content in zip(stored, await conn.vault.open(stored), strict=True):
        if isinstance(content, Forgotten):
            originals[event_id] = Originals(forgotten=content)
        else:
            found = originals.setdefault(event_id, Originals(has_evidence=event_id in redacted))
            found.parts[part] = content
    return originals
