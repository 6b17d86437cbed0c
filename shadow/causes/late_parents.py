"""Parents that became known after their children had been accepted: a run may call out before the answer that started
it is written down.

What was decided for the child stands; with its parent it gets the pair and the place among its parent's effects that it
would have had, and the key that its own children are decided by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.causes.authority import ParentAuthority
from shadow.causes.parents import Told, known_parents
from shadow.platforms.event import EventRow
from shadow.store.database import Connection

_FOUND = b"""
UPDATE events AS event
SET parent_run = found.parent_run, ramp_key = COALESCE(NULLIF(found.ramp_key, event.tenant), event.ramp_key)
FROM unnest(%s::uuid[], %s::uuid[], %s::text[]) AS found (id, parent_run, ramp_key)
WHERE event.id = found.id AND event.id = ANY(%s::uuid[]) AND event.parent_run IS NULL
"""


async def with_parents(
    conn: Connection, catalogue: ResolvedCatalogue, events: Sequence[EventRow], said: Mapping[UUID, str]
) -> list[EventRow]:
    """The events, those without a parent with the one that they were said to have, where it is known by now.

    Args:
        said: by event, the platform's id of the run that emitted it.
    """
    orphans = [event for event in events if event.parent_run is None and event.id in said]
    if not orphans:
        return list(events)
    told = [(Side(event.origin), Told(said[event.id])) for event in orphans]
    known = await known_parents(conn, catalogue, told)
    parents = {
        event.id: parent
        for event, parent in zip(orphans, known, strict=True)
        if parent is not None
        and parent.run_id is not None
        and (parent.authority is ParentAuthority.REAL) is (event.authority == event.origin)
    }
    if parents:
        runs, keys = [found.run_id for found in parents.values()], [found.ramp_key for found in parents.values()]
        await conn.execute(_FOUND, (list(parents), runs, keys, sorted(parents)))
    return [replace(event, parent_run=parents[event.id].run_id) if event.id in parents else event for event in events]
