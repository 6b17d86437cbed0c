"""Parents that became known after their children had been accepted: a run may call out before the answer that started
it is written down.

What was decided for the child stands; with its parent it gets the pair and the place among its parent's effects that it
would have had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import orjson

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Origin, Side
from shadow.causes.authority import ParentAuthority
from shadow.causes.parents import Told, known_parents
from shadow.intake.storable import storable_or_none
from shadow.platforms.event import EventRow
from shadow.store import codec
from shadow.store.database import Connection

_CALLS = b"SELECT id, content FROM bodies WHERE id = ANY(%s::uuid[]) AND part = 'request'"
_FOUND = b"""
UPDATE events AS event SET parent_run = found.parent_run
FROM unnest(%s::uuid[], %s::uuid[]) AS found (id, parent_run)
WHERE event.id = found.id AND event.id = ANY(%s::uuid[]) AND event.parent_run IS NULL
"""


async def with_parents(
    conn: Connection, catalogue: ResolvedCatalogue, events: Sequence[EventRow]
) -> tuple[list[EventRow], dict[UUID, str]]:
    """The events, those of Trigger.dev calls with the parents that their calls name, where those are known by now.

    Returns:
        the events, and the names of the parents that are still unknown, by event.
    """
    orphans = [
        event
        for event in events
        if event.parent_run is None and event.origin != Origin.PRODUCER and event.door == "trigger.dev"
    ]
    if not orphans:
        return list(events), {}
    cursor = await conn.execute(_CALLS, ([event.id for event in orphans],))
    named = {owner: name for owner, content in await cursor.fetchall() if (name := _named(codec.decode(content)))}
    said = [event for event in orphans if event.id in named]
    if not said:
        return list(events), {}
    told = [(Side(event.origin), Told(named[event.id])) for event in said]
    known = await known_parents(conn, catalogue, told)
    parents = {
        event.id: parent.run_id
        for event, parent in zip(said, known, strict=True)
        if parent is not None
        and parent.run_id is not None
        and (parent.authority is ParentAuthority.REAL) is (event.authority == event.origin)
    }
    if parents:
        await conn.execute(_FOUND, (list(parents), list(parents.values()), sorted(parents)))
    return (
        [replace(event, parent_run=parents[event.id]) if event.id in parents else event for event in events],
        {event: name for event, name in named.items() if event not in parents},
    )


def _named(call: bytes) -> str | None:
    """The run that makes a call, as the SDK says in its options."""
    try:
        options = orjson.loads(call).get("options")
    except (orjson.JSONDecodeError, AttributeError):
        return None
    name = options.get("parentRunId") if isinstance(options, dict) else None
    return storable_or_none(name) if isinstance(name, str) else None
