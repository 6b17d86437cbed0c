"""The runs with authority that a sequenced dispatch waits for.

Of an event that both sides got they are that event's. A child's twin is another event, which the parent's twin emits:
until it is there, the parent's twin stands for it, since once that has settled it emits nothing any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.causes.children import Child, place
from shadow.platforms.event import EventRow
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

_PAIRS = b"""
SELECT pair.id, twin.id FROM pairs AS pair
JOIN runs AS twin ON twin.id IN (pair.legacy_run, pair.candidate_run) AND twin.authority = 'real'
WHERE pair.id = ANY(%s::uuid[])
"""
_PARENTS = b"""
SELECT parent.id, twin.id FROM runs AS parent JOIN pairs AS pair ON pair.id = parent.pair_id
JOIN runs AS twin ON twin.id IN (pair.legacy_run, pair.candidate_run) AND twin.id <> parent.id
WHERE parent.id = ANY(%s::uuid[])
"""


async def places(database: Database, catalogue: ResolvedCatalogue, events: Sequence[EventRow]) -> Mapping[UUID, Child]:
    """Those of the events that are children with a pair. One that can't be placed waits for nothing."""
    if not any(event.parent_run is not None for event in events):
        return {}
    try:
        async with database.connection(Work.WORLD) as conn:
            return await place(conn, catalogue, events)
    except psycopg.OperationalError:
        raise
    except Exception as error:
        log.exception("sequencing.unplaced", events=len(events), error=type(error).__name__)
        return {}


async def twins_of_children(
    conn: Connection, children: Mapping[UUID, UUID], parents: Mapping[UUID, UUID]
) -> dict[UUID, UUID]:
    """By the key of a child, the run that is to settle before it.

    Args:
        children: by key, the pair of the child.
        parents: by key, the run that emitted it.
    """
    known = dict(await (await conn.execute(_PAIRS, (sorted(set(children.values())),))).fetchall())
    rest = {key: parent for key, parent in parents.items() if children[key] not in known}
    standing: dict[UUID, UUID] = {}
    if rest:
        standing = dict(await (await conn.execute(_PARENTS, (sorted(set(rest.values())),))).fetchall())
    found = {key: known[pair] for key, pair in children.items() if pair in known}
    return found | {key: standing[parent] for key, parent in rest.items() if parent in standing}
