"""Routes that move together, because runs of one start runs of another past every door.

What passes a door is decided there, wherever its route stands. What a run starts on its own platform has begun before
anybody can decide: if its route were the other side's by then, it would have begun on the wrong one.
"""

from __future__ import annotations

from collections.abc import Iterable

from shadow.catalogue import ResolvedCatalogue, Route
from shadow.store.database import Connection

_LATEST = 20_000
"""Emissions past the doors that are looked at, the newest of all."""
_EMITTED = b"""
SELECT DISTINCT parent.task, found.name FROM (
    SELECT name, parent_run FROM events
    WHERE door = 'platform' AND parent_run IS NOT NULL AND purpose = 'live' ORDER BY id DESC LIMIT %s) AS found
JOIN runs AS parent ON parent.id = found.parent_run
"""


async def joined_with(connection: Connection, catalogue: ResolvedCatalogue, route: Route) -> tuple[Route, ...]:
    """The other routes that move with this one, as recorded emissions show: over any number of steps, either way."""
    cursor = await connection.execute(_EMITTED, (_LATEST,))
    steps = [
        (catalogue.tasks[task].route, started.route)
        for task, name in await cursor.fetchall()
        if task in catalogue.tasks
        for started in catalogue.tasks_of_event(name)
    ]
    return tuple(catalogue.routes[name] for name in sorted(reached(route.name, steps) - {route.name}))


def reached(start: str, steps: Iterable[tuple[str, str]]) -> set[str]:
    """All that hangs together with `start`, whichever way the steps go."""
    beside: dict[str, set[str]] = {}
    for one, other in steps:
        beside.setdefault(one, set()).add(other)
        beside.setdefault(other, set()).add(one)
    found, ahead = {start}, [start]
    while ahead:
        fresh = beside.get(ahead.pop(), set()) - found
        found |= fresh
        ahead.extend(fresh)
    return found
