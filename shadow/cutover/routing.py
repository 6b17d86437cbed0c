"""Where every route stands, as this process knows it: read at start, kept current by NOTIFY and each second."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.cutover.decision import Decision, Phase, Ramp, decide
from shadow.cutover.last_known import Kept, LastKnown
from shadow.cutover.standing import Standing
from shadow.observe import metrics
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
_PATIENCE_SECONDS = 5.0
"""After which a connection that does not answer is given up: a move must not be missed because of it."""

_READ = """
SELECT task, phase, previous, effective_at, share, allow, deny, previous_share, previous_allow, previous_deny,
       reverse
FROM phases
"""


async def read_standings(connection: Connection) -> dict[str, Standing]:
    """Every task that was ever moved."""
    cursor = await connection.execute(_READ)
    return {
        task: Standing(Phase(phase), Phase(previous), effective_at, _ramp(*ramps[:3]), _ramp(*ramps[3:]), reverse)
        for task, phase, previous, effective_at, *ramps, reverse in await cursor.fetchall()
    }


def _ramp(share: int, allow: list[str], deny: list[str]) -> Ramp:
    return Ramp(share, frozenset(allow), frozenset(deny))


@dataclass(frozen=True, slots=True)
class _Current:
    """What governs a route, until something changes."""

    until: float
    """Seconds since 1970."""
    decision: Decision
    """For every key that no ramp takes."""
    taken: Decision
    ramps: tuple[Ramp, ...] = ()
    """Of its tasks; empty where it is not in `ramp`."""


class Routing:
    """Answers, without I/O, which decision governs an event that is accepted now."""

    def __init__(self, catalogue: ResolvedCatalogue, database: Database, last_known: LastKnown | None = None) -> None:
        """
        Args:
            last_known: where the phases are kept for a process that starts while the database is away.
        """
        self._catalogue = catalogue
        self._database = database
        self._last_known = last_known
        self._read_at = time.monotonic()
        self._standings: dict[str, Standing] = {}
        self._decisions: dict[tuple[str, Phase, bool, bool], Decision] = {}
        self._current: dict[str, _Current] = {}
        """By route, unless the standings change."""
        self._task: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.refresh()
        if self._task is None:
            self._task = asyncio.create_task(self._follow())

    async def start_from(self, kept: Kept) -> None:
        """Start without the database, by what another process knew before."""
        self._learn(dict(kept.standings))
        self._read_at = time.monotonic() - (datetime.now(UTC) - kept.looked_at).total_seconds()
        log.warning("routing.from_last_known", looked_at=kept.looked_at.isoformat(), read_at=kept.read_at.isoformat())
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._keeping is not None:
            await asyncio.wait([self._keeping], timeout=_PATIENCE_SECONDS)

    async def refresh(self) -> None:
        """Read the phases now."""
        async with self._database.connection(Work.CONTROL) as connection:
            self._heard(await read_standings(connection))
        if self._keeping is not None:
            await self._keeping

    def _heard(self, standings: dict[str, Standing]) -> None:
        """They were read."""
        self._learn(standings)
        self._read_at = time.monotonic()
        metrics.phases_age(0.0)
        if self._last_known is not None:
            self._keep(partial(self._last_known.keep, standings, datetime.now(UTC)))

    def _unheard(self) -> None:
        """They could not be read: what is known goes on to hold."""
        metrics.phases_age(time.monotonic() - self._read_at)
        if self._last_known is not None:
            self._keep(partial(self._last_known.look, datetime.now(UTC)))

    def _keep(self, keep: Callable[[], None]) -> None:
        """Begin it, unless the last time is under way still: a disk that hangs keeps nobody from hearing of moves, and
        in a second is the next time."""
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._kept(keep))

    async def _kept(self, keep: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(keep)
        except OSError as error:
            log.warning("routing.not_kept", error=type(error).__name__)

    def _learn(self, standings: dict[str, Standing]) -> None:
        if standings != self._standings:
            self._standings = standings
            self._current.clear()

    def phase(self, route: str, now: datetime | None = None) -> Phase:
        """The phase of a route; `legacy` when it was never moved.

        A route's tasks move together, so any of them tells. Should the catalogue have joined tasks that stand
        differently, the one nearest to legacy wins: it is the one that can do no harm.
        """
        moment = now or datetime.now(UTC)
        order = list(Phase)
        return min(
            (self._phase_of(task, moment) for task in self._catalogue.routes[route].tasks),
            key=order.index,
        )

    def _phase_of(self, task: str, moment: datetime) -> Phase:
        standing = self._standings.get(task)
        return standing.at(moment) if standing else Phase.LEGACY

    def steady(self, route: str, within: timedelta) -> bool:
        """Whether no move of that route has taken effect within that time."""
        since = datetime.now(UTC) - within
        standings = (self._standings.get(task) for task in self._catalogue.routes[route].tasks)
        return all(standing is None or standing.effective_at < since for standing in standings)

    def decision(self, route: str, key: str | None = None) -> Decision:
        """What governs an event of that route that is accepted now: the same object for all that are decided alike.

        Args:
            key: by which a ramp decides: its root's, else its tenant, else the route's declared entity.
        """
        current = self._current.get(route)
        if current is None or time.time() >= current.until:
            current = self._current[route] = self._work_out(route)
        if current.ramps and all(ramp.takes(key) for ramp in current.ramps):
            return current.taken
        return current.decision

    def decisions(self, route: str) -> tuple[Decision, ...]:
        """All that may govern an event of that route that is accepted now, whatever its key."""
        without = self.decision(route)
        current = self._current[route]
        return (current.decision, current.taken) if current.ramps else (without,)

    def _work_out(self, route: str) -> _Current:
        now = datetime.now(UTC)
        phase = self.phase(route, now)
        known = self._catalogue.routes[route]
        standings = [self._standings[task] for task in known.tasks if task in self._standings]
        ramps: tuple[Ramp, ...] = ()
        if phase is Phase.RAMP:
            # Should its tasks stand differently: those that are further have every key.
            ramps = tuple({standing.ramp_at(now): None for standing in standings if standing.at(now) is Phase.RAMP})
        # Declared, and shown when it was moved: the catalogue alone may have changed since.
        reverse = known.reverse and all(standing.reverse for standing in standings)
        until = self._next_change(route, now)
        return _Current(
            until, self._decided(route, phase, False, reverse), self._decided(route, phase, True, reverse), ramps
        )

    def _decided(self, route: str, phase: Phase, candidate: bool, reverse: bool) -> Decision:
        """One object for each: doors and the intake tell decisions apart by identity."""
        found = self._decisions.get((route, phase, candidate, reverse))
        if found is None:
            found = decide(route, phase, candidate=candidate, reverse=reverse)
            self._decisions[route, phase, candidate, reverse] = found
        return found

    def _next_change(self, route: str, now: datetime) -> float:
        """When a move of that route takes effect that has not yet; infinite when there is none."""
        standings = (self._standings.get(task) for task in self._catalogue.routes[route].tasks)
        coming = (
            standing.effective_at.timestamp()
            for standing in standings
            if standing is not None and standing.effective_at > now
        )
        return min(coming, default=math.inf)

    async def _follow(self) -> None:
        while True:
            try:
                async with self._database.direct() as connection:
                    await connection.execute("LISTEN shadow_routing")
                    while True:
                        async with asyncio.timeout(_PATIENCE_SECONDS):
                            standings = await read_standings(connection)
                        self._heard(standings)
                        async for _notice in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                            pass
            except (psycopg.Error, TimeoutError, OSError) as error:
                log.warning("routing.unreachable", error=type(error).__name__)
                self._unheard()
                await asyncio.sleep(POLL_SECONDS)
