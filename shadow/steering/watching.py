"""Watches routes in `ramp` and `live`, and moves them back by itself when what is seen since says so."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue, Route
from shadow.containment.record import uncontained
from shadow.cutover.back import go_back
from shadow.cutover.decision import Phase
from shadow.cutover.joined import joined_with
from shadow.cutover.moves import Move, hold, stand_of
from shadow.cutover.routing import read_standings
from shadow.cutover.standing import Standing
from shadow.observe.fail_points import reach
from shadow.steering.evidence import Why, back_to, sentence, why_back
from shadow.steering.looking_back import Watched, entered, look
from shadow.store.database import Connection, Database, Work
from shadow.store.recurring import Recurring

log = structlog.get_logger(__name__)

EVERY_SECONDS = 1.0
_WATCHED = (Phase.RAMP, Phase.LIVE)
_MOVED_FOR = "UPDATE incidents SET moved_back = true WHERE id = ANY(%s::uuid[])"


class CutoverWatch(Recurring):
    """A loop; any number of processes may run it. What it finds is held against where the route stands once more under
    the lock of moves, so that one of them moves it, and only for what was seen since it came there."""

    def __init__(self, database: Database, catalogue: ResolvedCatalogue, *, every: float = EVERY_SECONDS) -> None:
        super().__init__("cutover-watch", "cutover.unwatched", rest_after_failure=every)
        self._database = database
        self._catalogue = catalogue
        self._every = every

    async def once(self) -> list[Move]:
        """Look at every route in `ramp` or `live`; the moves that were made."""
        async with self._database.connection(Work.CONTROL) as connection:
            watched = await self._watched(connection)
            if not watched:
                return []
            seen = await look(connection, self._catalogue, list(watched.values()), datetime.now(UTC))
        made = []
        for name, one in watched.items():
            whys = [why for task in one.tasks for why in why_back(seen[task], self._catalogue.tasks[task].cutover)]
            if not whys:
                continue
            try:
                moved = await self._moved(name, one, whys)
            except psycopg.OperationalError:
                raise
            except Exception:
                log.exception("cutover.not_moved_back", route=name)  # the others have to go back all the same
                continue
            if moved is not None:
                made.append(moved)
        return made

    async def _watched(self, connection: Connection) -> dict[str, Watched]:
        standings = await read_standings(connection)
        routes = {
            route.name: route.tasks
            for route in self._catalogue.routes.values()
            if _is_watched([standings.get(task) for task in route.tasks])
        }
        return await entered(connection, routes, datetime.now(UTC))

    async def _moved(self, name: str, seen_of: Watched, whys: list[Why]) -> Move | None:
        route = self._catalogue.routes[name]
        async with self._database.connection(Work.CONTROL) as connection:
            await hold(connection)
            # Whoever moved it meanwhile has begun anew: what was seen before says nothing of that.
            if (await self._watched(connection)).get(name) != seen_of:
                return None
            phase, contained = await self._standing(connection, route)
            to = back_to(phase, whys, contained=contained)
            reason = sentence(whys)
            if to is Phase.LEGACY and not contained:
                reason += "; to legacy, as the candidate is not contained"
            moved = await go_back(
                connection,
                self._catalogue,
                route,
                to,
                reason=reason,
                evidence={"automatic": [why.facts for why in whys]},
            )
            if moved is not None:
                incidents = [why.facts["incident"] for why in whys if why.reason == "leak"]
                await connection.execute(_MOVED_FOR, (incidents,))
        if moved is not None:
            reach("moves.written")
            log.error("cutover.moved_back", route=name, to=to.value, reasons=[why.reason for why in whys])
        return moved

    async def _standing(self, connection: Connection, route: Route) -> tuple[Phase, bool]:
        """The phase farthest from legacy of all that moves back with a route, itself included, and whether all of that
        is contained: what goes back together must be able to stand where it goes to."""
        found: list[Phase] = []
        tasks: list[str] = []
        for one in (route, *await joined_with(connection, self._catalogue, route)):
            current, _coming, _at = await stand_of(connection, one, datetime.now(UTC))
            if one == route or current.phase in _WATCHED:
                found.append(current.phase)
                tasks.extend(one.tasks)
        return max(found, key=list(Phase).index), not await uncontained(connection, tasks)

    async def turn(self) -> float:
        await self.once()
        return self._every


def _is_watched(standings: list[Standing | None]) -> bool:
    """Whether the candidate has authority over a share of the route, or is about to: all its tasks stand so. (Of tasks
    that a changed catalogue has joined the one nearest to legacy counts.)"""
    return all(one is not None and one.phase in _WATCHED for one in standings)
