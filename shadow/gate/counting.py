"""The loop that begins epochs and counts their pairs. Any number of processes may run it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.gate import epochs
from shadow.gate.beginning import Beginnings, others_go_on
from shadow.gate.epoch_counts import Asked, correct, count, to_correct
from shadow.gate.frontier import Frontiers, frontiers
from shadow.gate.order import UNDER_WAY
from shadow.gate.process import alpha_of
from shadow.gate.standing import Test
from shadow.observe import fail_points
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

BATCH = 1000
"""Pairs counted in one transaction."""
POLL_SECONDS = 1.0
LOOK_SECONDS = 5.0
"""How old may be what is known of versions."""
_RULES = 6
"""So many times older what is known of rules: judges look for them as seldom."""
_SHARE = 0.1
"""Of the time, which a loop may spend: where one turn takes long, the next waits."""
_FRONTIER_SHARE = 0.05
"""Of the time, which looking for the frontier may take: where many dispatches are queued it takes long."""
_FRONTIER_SECONDS = 5.0
"""How old it may get."""

# The oldest pair that was not counted yet says whether there is anything to do.
_DUE = """
SELECT epoch.task FROM epochs AS epoch, LATERAL (
    SELECT verdict IS NOT NULL AND due_at IS NULL AS resolved FROM pairs
    WHERE pairs.task = epoch.task AND counted IS NULL AND starts_at >= epoch.started_at
      AND starts_at < coalesce(%s::timestamptz, clock_timestamp()) - %s
    ORDER BY starts_at, id LIMIT 1) AS oldest
WHERE epoch.ended_at IS NULL AND epoch.task = ANY(%s) AND oldest.resolved ORDER BY epoch.task
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did."""

    begun: int = 0
    """Epochs."""
    counted: int = 0
    """Pairs that were counted or left out."""
    corrected: int = 0
    """Pairs that count otherwise."""
    more: bool = False
    """Whether another turn has something to do at once."""


def test_of(catalogue: ResolvedCatalogue, task: str, epoch_number: int) -> Test:
    """What is asked of the statistic of a task in its epoch of that number.

    Raises:
        KeyError: the catalogue has no such task.
    """
    settings = catalogue.tasks[task].gate
    assert settings.budget is not None, "resolved"
    alpha = alpha_of(settings, catalogue.catalogue.gate, len(catalogue.tasks), epoch_number)
    return Test(settings.budget, alpha, 1 - settings.regress_confidence)


class CountingLoop:
    """Begins epochs and counts pairs until it is stopped.

    Raises:
        ValueError: (when made) the catalogue holds rules that the comparators refuse.
    """

    def __init__(
        self,
        database: Database,
        catalogue: ResolvedCatalogue,
        *,
        batch: int = BATCH,
        poll_seconds: float = POLL_SECONDS,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._database = database
        self._catalogue = catalogue
        self._batch = batch
        self._poll_seconds = poll_seconds
        self._look_seconds = look_seconds
        self._beginnings = Beginnings(database, catalogue, look_seconds * _RULES)
        self._looked: float | None = None
        self._reach: tuple[float, Frontiers] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def once(self, now: datetime | None = None) -> Turn:
        """Begin what is to begin; correct what was judged again, and count a batch of every task.

        Args:
            now: the time; the database's own clock by default.
        """
        begun = 0
        if self._looked is None or time.monotonic() - self._looked >= self._look_seconds:
            begun = await self._beginnings.look()
            self._looked = time.monotonic()
        async with self._database.connection(Work.GATE) as connection:
            wrong = await to_correct(connection, self._batch)
            due = await self._due(connection, now)
            known = await epochs.asked_before(connection, self._catalogue.tasks)
            changed = [
                task
                for task, (number, test) in known.items()
                if test not in (None, test_of(self._catalogue, task, number))
            ]
            if not (wrong or due or changed):
                return Turn(begun)
            reach = await self._frontiers(connection, now)
        corrected = counted = most = 0
        declared = self._catalogue.tasks
        for task, pairs in wrong.items():
            with others_go_on(task):
                async with self._database.connection(Work.GATE) as connection:
                    asked = self._asked(task)
                    corrected += await correct(connection, declared.get(task or ""), pairs, asked, reach.now)
        for task in sorted({*due, *changed}):
            with others_go_on(task):
                async with self._database.connection(Work.GATE) as connection:
                    asked = self._asked(task)
                    done = await count(connection, declared[task], asked, reach.of(task), limit=self._batch)
                if done:
                    fail_points.reach("gate.counted")
                counted, most = counted + done, max(most, done)
        return Turn(begun, counted, corrected, more=most == self._batch)

    async def _frontiers(self, connection: Connection, now: datetime | None) -> Frontiers:
        """How far one may count. What was found out a little earlier holds, but reaches less far."""
        started = time.monotonic()
        if now is None and self._reach is not None and started < self._reach[0]:
            return self._reach[1]
        found = await frontiers(connection, self._catalogue, now)
        took = time.monotonic() - started
        self._reach = (started + took + min(took / _FRONTIER_SHARE, _FRONTIER_SECONDS), found) if now is None else None
        return found

    def _asked(self, task: str | None) -> Asked:
        return lambda number: test_of(self._catalogue, task or "", number)

    async def _due(self, connection: Connection, now: datetime | None) -> list[str]:
        """The tasks whose oldest uncounted pair is resolved."""
        cursor = await connection.execute(_DUE, (now, UNDER_WAY, list(self._catalogue.tasks)))
        return [row[0] for row in await cursor.fetchall()]

    async def _run(self) -> None:
        while True:
            started = time.monotonic()
            try:
                done = await self.once()
            except psycopg.OperationalError as error:
                log.warning("gate.unreachable", error=type(error).__name__)
                done = Turn()
            except Exception as error:
                log.exception("gate.counting_failed", error=type(error).__name__)
                done = Turn()
            took = time.monotonic() - started
            await asyncio.sleep(took if done.more else max(self._poll_seconds, took / _SHARE))
