"""What runs that do not name themselves keep a route from: theirs would be left undone after a move, or done twice.

While legacy has all of a route, a run of which nothing is known is taken for what legacy has always done. From `ramp`
on it may be of either side's share, so it has no authority (`Decision.whole`), and what it was to do is left undone.
Once the candidate has all of the route, what an unknown run of its emits has authority; and one that began without, in
`shadow`, may go on long after the move.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from shadow.catalogue import Route
from shadow.catalogue.model import Side
from shadow.model.ids import first_id_at
from shadow.store.database import Connection

_SPAN = timedelta(days=1)
_MOST_NAMED = 5

_EMITTED = b"""
SELECT count(*) FROM events
WHERE id >= %s AND route = %s AND origin = %s AND parent_run IS NULL AND purpose = 'live'
"""
# One that was made from a run of ours, by a producer's replay say, passes a door after the switch too.
_OUTSIDE = b"""
SELECT count(*), (array_agg(DISTINCT task))[:%s] FROM runs
WHERE id >= %s AND task = ANY(%s) AND side = 'legacy' AND event_id IS NULL AND parent_run IS NULL
  AND authority = 'real'
"""


async def why_undone(connection: Connection, route: Route, now: datetime | None = None) -> str:
    """What of the last day would have been left undone; empty where nothing."""
    first = first_id_at((now or datetime.now(UTC)) - _SPAN)
    emitted = await _emitted(connection, route, Side.LEGACY, first)
    cursor = await connection.execute(_OUTSIDE, (_MOST_NAMED, first, list(route.tasks)))
    outside, tasks = (await cursor.fetchall())[0]
    said = []
    if emitted:
        said.append(
            f"{emitted} events of {route.name!r} in the last day came from legacy runs that did not say which they are;"
            " such have no authority any more, so have the workers name their runs first"
        )
    if outside:
        said.append(
            f"legacy ran {', '.join(tasks)} {outside} times in the last day without Shadow having started it; such runs"
            " have no authority any more, so point what starts them at Shadow first"
        )
    return ". ".join(said)


async def why_twice(connection: Connection, route: Route, now: datetime | None = None) -> str:
    """Why what runs of the candidate without authority emit would have some; empty where all are known."""
    first = first_id_at((now or datetime.now(UTC)) - _SPAN)
    emitted = await _emitted(connection, route, Side.CANDIDATE, first)
    if not emitted:
        return ""
    return (
        f"{emitted} events of {route.name!r} in the last day came from candidate runs that did not say which they are;"
        " what such a run emits that began without authority would be taken for the work of one with authority, so have"
        " the workers name their runs first"
    )


async def _emitted(connection: Connection, route: Route, side: Side, first: UUID) -> int:
    """How many of the route's events are of runs of that side that nobody knows."""
    cursor = await connection.execute(_EMITTED, (first, route.name, side.value))
    number: int = (await cursor.fetchall())[0][0]
    return number
