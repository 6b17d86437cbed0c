"""Where every route stands, as this process knows it: read at start, kept current by NOTIFY and each second."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.cutover.decision import Decision, Phase, decide
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0

_READ = "SELECT task, phase, previous, effective_at FROM phases"


@dataclass(frozen=True, slots=True)
class Standing:
    """A task's phase, and the one that holds until the move takes effect."""

    phase: Phase
    previous: Phase
    effective_at: datetime

    def at(self, moment: datetime) -> Phase:
        return self.phase if moment >= self.effective_at else self.previous


async def read_standings(connection: Connection) -> dict[str, Standing]:
    """Every task that was ever moved."""
    cursor = await connection.execute(_READ)
    return {
        task: Standing(Phase(phase), Phase(previous), effective_at)
        for task, phase, previous, effective_at in await cursor.fetchall()
    }


class Routing:
    """Answers, without I/O, which decision governs an event that is accepted now."""

    def __init__(self, catalogue: ResolvedCatalogue, database: Database) -> None:
        self._catalogue = catalogue
        self._database = database
        self._standings: dict[str, Standing] = {}
        self._decisions: dict[tuple[str, Phase], Decision] = {}
        self._current: dict[str, tuple[float, Decision]] = {}
        """Route -> until when (seconds since 1970) which decision holds, unless the standings change."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.refresh()
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def refresh(self) -> None:
        """Read the phases now."""
        async with self._database.connection(Work.CONTROL) as connection:
            self._learn(await read_standings(connection))

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

    def decision(self, route: str) -> Decision:
        """What governs an event of that route that is accepted now."""
        current = self._current.get(route)
        if current is not None and time.time() < current[0]:
            return current[1]
        now = datetime.now(UTC)
        phase = self.phase(route, now)
        found = self._decisions.get((route, phase))
        if found is None:
            found = self._decisions[route, phase] = decide(route, phase)
        self._current[route] = (self._next_change(route, now), found)
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
                        self._learn(await read_standings(connection))
                        async for _notice in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                            pass
            except psycopg.Error as error:
                log.warning("routing.unreachable", error=type(error).__name__)
                await asyncio.sleep(POLL_SECONDS)
