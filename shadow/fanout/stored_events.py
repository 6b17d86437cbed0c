"""Reading events back, with or without their bodies."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from shadow.platforms.event import EventRow
from shadow.store import codec
from shadow.store.database import Connection

_COLUMNS = (
    "id, source, door, origin, name, tenant, external_id, delivery_id, upstream_id, "
    "occurred_at, scheduled_at, accepted_at, route, phase, authority, purpose, parent_run, sides, child_key, task"
)
_EVENTS = f"SELECT {_COLUMNS} FROM events WHERE id = ANY(%s::uuid[])".encode()  # noqa: S608 (constant)
_BODIES = b"SELECT id, part, content FROM bodies WHERE id = ANY(%s::uuid[]) AND part IN ('data', 'request', 'headers')"


async def load_events(conn: Connection, ids: Iterable[UUID]) -> list[EventRow]:
    """The events with those ids, in no order; those that are gone are left out."""
    cursor = await conn.execute(_EVENTS, (list(ids),))
    return [EventRow(*row) for row in await cursor.fetchall()]


async def load_bodies(conn: Connection, ids: Iterable[UUID]) -> dict[UUID, dict[str, bytes]]:
    """What the events were delivered with: part -> content."""
    cursor = await conn.execute(_BODIES, (list(ids),))
    bodies: dict[UUID, dict[str, bytes]] = {}
    for event_id, part, content in await cursor.fetchall():
        bodies.setdefault(event_id, {})[part] = codec.decode(content)
    return bodies
