"""The moves of routes, read for deciding whose a tick is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from shadow.catalogue import ResolvedCatalogue
from shadow.cutover.decision import Decision, Phase
from shadow.store.database import Connection
from shadow.ticks.whose import Moved, Stand, decided

_MOVES = b"""
SELECT task, decided_at, effective_at, from_phase, from_share, to_phase, to_share
FROM moves, unnest(moves.tasks) AS task WHERE tasks && %(tasks)s::text[] AND task = ANY(%(tasks)s::text[])
ORDER BY decided_at, id
"""
_STANDINGS = b"""
SELECT task, effective_at, previous, previous_share, phase, share FROM phases WHERE task = ANY(%s::text[])
"""


class History:
    """What was decided of some routes, as it stood when it was read."""

    def __init__(self, catalogue: ResolvedCatalogue, moves: Mapping[str, list[Moved]]) -> None:
        self._catalogue = catalogue
        self._moves = moves

    def decision(self, route: str, nominal_at: datetime) -> Decision:
        """What governs the route's tick of that nominal time."""
        tasks = self._catalogue.routes[route].tasks
        return decided(route, {task: self._moves.get(task, []) for task in tasks}, nominal_at)


async def read_history(conn: Connection, catalogue: ResolvedCatalogue, routes: Iterable[str]) -> History:
    """The moves of those routes, from the first on."""
    tasks = sorted({task for route in routes for task in catalogue.routes[route].tasks})
    moves: dict[str, list[Moved]] = {}
    cursor = await conn.execute(_MOVES, {"tasks": tasks})
    for task, decided_at, effective_at, source, source_share, to, to_share in await cursor.fetchall():
        move = Moved(decided_at, effective_at, Stand(Phase(source), source_share), Stand(Phase(to), to_share))
        moves.setdefault(task, []).append(move)
    cursor = await conn.execute(_STANDINGS, (tasks,))
    for task, effective_at, previous, previous_share, phase, share in await cursor.fetchall():
        known = moves.setdefault(task, [])
        if not known or known[-1].effective_at != effective_at:  # its moves are on record in every other case
            stands = Stand(Phase(previous), previous_share), Stand(Phase(phase), share)
            known.append(Moved(effective_at, effective_at, *stands))
    return History(catalogue, moves)
