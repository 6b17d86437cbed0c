"""Asks one platform after the runs of which nothing was heard, within a request budget."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import InngestPlatform, Side, TriggerPlatform
from shadow.observe import metrics
from shadow.observe.fail_points import reach
from shadow.outcomes.budget import Budget
from shadow.outcomes.outcome import RunOutcome
from shadow.outcomes.reader import MOST, AskedToWait, Awaited, Reader
from shadow.outcomes.record import record_outcomes
from shadow.outcomes.spacing import spacing
from shadow.platforms import inngest_api, trigger_api
from shadow.platforms.client import TooLarge
from shadow.platforms.throttle import Quota
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

_IDLE_SECONDS = 0.5
"""Between looks at what is to be asked for."""
_TROUBLE_SECONDS = 5.0
"""After the platform could not be asked."""

_DUE = b"""
SELECT run.id, run.task, run.platform_run_id, run.polls, run.event_id, run.scheduled_at
FROM runs AS run WHERE platform = %s AND poll_at <= now()
ORDER BY poll_at LIMIT %s
FOR UPDATE SKIP LOCKED
"""
_EVENTS = b"""
SELECT id, delivery_id, name, upstream_id, accepted_at, scheduled_at FROM events WHERE id = ANY(%s::uuid[])
"""
_NEXT = b"""
UPDATE runs AS run SET polls = run.polls + 1, poll_at = now() + next.wait
FROM unnest(%s::uuid[], %s::interval[]) AS next (id, wait)
WHERE run.id = next.id AND run.id = ANY(%s::uuid[])
"""
_NAMED = b"SELECT alias, run_id FROM run_aliases WHERE platform = %s AND alias = ANY(%s::text[])"


class _Permits:
    """The budget, waited for."""

    def __init__(self, side: Side, platform: str, budget: Budget) -> None:
        self.budget = budget
        self._whose = (side.value, platform)
        metrics.budget_left(*self._whose, 1.0)

    async def take(self) -> None:
        now = time.time()
        wait = self.budget.wait(now)
        self.budget.spend(now)  # at once: who asks meanwhile waits longer
        metrics.budget_left(*self._whose, self.budget.left(now))
        if wait > 0:
            await asyncio.sleep(wait)

    def room(self, within: float) -> int:
        return self.budget.room(time.time(), within)

    def learn(self, quota: Quota | None) -> None:
        if quota is not None:
            self.budget.quota(quota.limit, quota.remaining, quota.resets_at.timestamp())
            metrics.quota_left(*self._whose, quota.remaining / quota.limit if quota.limit > 0 else 0.0)


class Reconciler:
    """One platform's. Any number of processes may run one: each run is claimed by pushing its next poll ahead."""

    def __init__(
        self,
        name: str,
        platform: TriggerPlatform | InngestPlatform,
        reader: Reader,
        catalogue: ResolvedCatalogue,
        database: Database,
    ) -> None:
        self._name = name
        self._side = platform.side
        self._every = platform.poll_every
        self._reader = reader
        self._catalogue = catalogue
        self._database = database
        self.permits = _Permits(platform.side, name, Budget.of(platform.budget, time.time()))
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"reconciler-{self._name}")

    async def stop(self) -> None:
        """Ends at once; what was being asked for is asked for again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def poll(self) -> int:
        """Ask once for what is due.

        Returns:
            how many runs were asked for.

        Raises:
            AskedToWait, httpx.HTTPError, TimeoutError, TooLarge, Refused: the platform could not be asked for all.
            psycopg.Error: the database is away.
        """
        awaited = await self._claim()
        if awaited:
            async for outcomes in self._reader.read(awaited, self.permits, self._named):
                await self._record(outcomes)
        return len(awaited)

    async def _run(self) -> None:
        while True:
            try:
                asked = await self.poll()
            except AskedToWait as error:
                log.info("outcomes.throttled", platform=self._name, seconds=error.wait.total_seconds())
                self.permits.budget.hold(time.time() + error.wait.total_seconds())
            except (
                httpx.HTTPError,
                TimeoutError,
                TooLarge,
                psycopg.Error,
                trigger_api.Refused,
                inngest_api.Refused,
            ) as error:
                log.warning("outcomes.poll_failed", platform=self._name, error=type(error).__name__)
                await asyncio.sleep(_TROUBLE_SECONDS)
            except Exception:
                log.exception("outcomes.poll_failed", platform=self._name)
                await asyncio.sleep(_TROUBLE_SECONDS)
            else:
                if asked < MOST:
                    await asyncio.sleep(_IDLE_SECONDS)

    async def _claim(self) -> list[Awaited]:
        """Runs that are to be asked for now; their next time is set before anything is asked."""
        now = datetime.now(UTC)
        async with self._database.connection(Work.OUTCOMES) as conn:
            cursor = await conn.execute(_DUE, (self._name, MOST))
            runs = await cursor.fetchall()
            if not runs:
                return []
            cursor = await conn.execute(_EVENTS, ([row[4] for row in runs if row[4] is not None],))
            events = {row[0]: row[1:] for row in await cursor.fetchall()}
            awaited = []
            waits: dict[UUID, timedelta | None] = {}
            for run_id, task, platform_run_id, polls, event_id, scheduled_at in runs:
                event = events.get(event_id)
                if event is None:
                    waits[run_id] = None  # its event was dropped by age
                    continue
                delivery_id, name, upstream_id, accepted_at, planned_at = event
                starts_at = scheduled_at or planned_at or accepted_at
                waits[run_id] = spacing(self._every, polls + 1, now - starts_at)
                awaited.append(
                    Awaited(
                        run_id,
                        task,
                        platform_run_id,
                        polls,
                        delivery_id,
                        name,
                        upstream_id,
                        accepted_at,
                        starts_at,
                    )
                )
            await conn.execute(_NEXT, (list(waits), list(waits.values()), sorted(waits)))
        return awaited

    async def _named(self, aliases: Collection[str]) -> Mapping[str, UUID]:
        async with self._database.connection(Work.OUTCOMES) as conn:
            cursor = await conn.execute(_NAMED, (self._name, list(aliases)))
            return dict(await cursor.fetchall())

    async def _record(self, outcomes: Sequence[RunOutcome]) -> None:
        if not outcomes:
            return
        async with self._database.connection(Work.OUTCOMES) as conn:
            kept = await record_outcomes(conn, self._catalogue, outcomes)
        reach("outcomes.recorded")
        metrics.learned(self._side.value, "poll", kept)
