"""The loop that has the queues of draining tasks copied just before each of their ticks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import Side
from shadow.catalogue.schedule import Schedule
from shadow.causes.emissions import iso
from shadow.intake.trigger_arrival import mapped_payload
from shadow.store.database import Database, Work
from shadow.ticks.expecting import tenants_expected
from shadow.ticks.history import read_history
from shadow.world.copying import Worlds
from shadow.world.queues import Queues

log = structlog.get_logger(__name__)

LEAD = timedelta(milliseconds=500)
"""How long before the nominal time a queue is read: what comes between that and legacy's run spoils the copy."""
LATEST = timedelta(seconds=5)
"""After the nominal time, when it makes no sense any more to begin."""
_TROUBLE_SECONDS = 2.0
_LONGEST_SECONDS = 60.0


class QueueLoop:
    """Any number of processes may run it: the first copy of a tick counts."""

    def __init__(self, database: Database, catalogue: ResolvedCatalogue) -> None:
        self._database = database
        self._catalogue = catalogue
        self._worlds = Worlds(catalogue)
        self._queues = Queues(database, self._worlds)
        self._tasks = [task for task in catalogue.tasks.values() if task.cron is not None and task.cron.drains]
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._tasks:
            self._running = asyncio.create_task(self._run(), name="ticks-queues")

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None
        await self._worlds.close()

    async def once(self, now: datetime | None = None) -> datetime | None:
        """Copy the queues whose tick is at hand.

        Returns:
            when the next one is to be copied; None where there are no draining tasks.

        Raises:
            psycopg.Error: our database is away.
        """
        at = now or datetime.now(UTC)
        following: list[datetime] = []
        for task in self._tasks:
            nominal = _schedule(task).next_after(at - LATEST)
            if nominal - LEAD <= at:
                await self._copy(task, nominal)
                nominal = _schedule(task).next_after(nominal)
            following.append(nominal - LEAD)
        return min(following, default=None)

    async def _copy(self, task: ResolvedTask, nominal: datetime) -> None:
        assert task.cron is not None
        async with self._database.connection(Work.OUTCOMES) as conn:
            decision = (await read_history(conn, self._catalogue, [task.route])).decision(task.route, nominal)
            tenants = await tenants_expected(conn, task, nominal) if task.cron.tenants else [""]
        if Side.CANDIDATE not in decision.sides or decision.authority is not Side.LEGACY:
            return
        for tenant in tenants:
            mapped = mapped_payload(task, _payload(task, nominal, tenant))
            if mapped.problem is None:
                await self._queues.take(task, nominal, tenant or None, mapped.data)
            else:
                log.warning("ticks.queue_untaken", task=task.id, reason=mapped.problem)

    async def _run(self) -> None:
        while True:
            seconds = _TROUBLE_SECONDS
            try:
                following = await self.once()
                await self._queues.drop(datetime.now(UTC))
                if following is not None:
                    left = (following - datetime.now(UTC)).total_seconds()
                    seconds = min(max(left, 0.0), _LONGEST_SECONDS)
            except (psycopg.Error, TimeoutError) as error:
                log.warning("ticks.queues_unreachable", error=type(error).__name__)
            except Exception:
                log.exception("ticks.queues_failed")
            await asyncio.sleep(seconds)


def _schedule(task: ResolvedTask) -> Schedule:
    assert task.cron is not None
    return Schedule.parse(task.cron.expression, task.cron.timezone)


def _payload(task: ResolvedTask, nominal: datetime, tenant: str) -> dict[str, Any]:
    """What legacy's run will get, as far as it can be known before (reference 5)."""
    assert task.cron is not None
    known = {"timestamp": iso(nominal), "timezone": task.cron.timezone}
    return {**known, "externalId": tenant} if tenant else known
