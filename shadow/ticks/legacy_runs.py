"""The runs that legacy's scheduler starts inside Trigger.dev, where no door sees them: found in its run list, or when
one of them calls the gateway. Their payload names the nominal time (reference 5).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import Side, TriggerPlatform
from shadow.intake.trigger_arrival import mapped_payload
from shadow.model.json_text import write_json
from shadow.model.moments import moment
from shadow.observe.fail_points import reach
from shadow.outcomes.asking import Asking
from shadow.outcomes.collector import Collector
from shadow.outcomes.found import known_runs
from shadow.outcomes.reader import AskedToWait, Permits
from shadow.platforms import packets
from shadow.platforms.adapter import Adapter
from shadow.platforms.client import TooLarge
from shadow.platforms.throttle import quota
from shadow.platforms.trigger_api import Json, Refused, TriggerApi
from shadow.platforms.trigger_dev import TriggerDev
from shadow.store.database import Database, Work
from shadow.ticks.record import ClockRun, record_clock_runs
from shadow.ticks.tick import of_payload

log = structlog.get_logger(__name__)

LOOK_BACK = timedelta(minutes=10)
"""How far back the run list is read in any case. A scheduled run is listed at its nominal time (reference 5)."""
LONGEST_LOOK_BACK = timedelta(days=1)
"""How far back the list is asked for a tick of which no run is known: one may come late, or have come while nobody
looked."""
WAITED_EVERY = timedelta(seconds=15)
"""How often it is asked for those."""
_WAITED = 10
"""Of how many nominal times at once, the newest first; on the next occasion the older ones."""
_AROUND = timedelta(seconds=1)
SWEEP_EVERY = timedelta(seconds=5)
"""Between looks at the run list, which is one request in most cases."""
_PAGES = 50
_AT_ONCE = 8
_OTHERS = 50_000
"""Runs that are remembered as no scheduler's, so that they are not retrieved again."""
_TROUBLE_SECONDS = 10.0
_SCHEDULED = "SCHEDULED"
"""The list's `taskKind` of such a run; a server that tells none has all roots retrieved."""

_WAITED_FOR = b"""
SELECT DISTINCT nominal_at FROM ticks
WHERE task = ANY(%(tasks)s::text[]) AND event_id IS NULL AND legacy_runs = 0 AND authority = 'legacy'
  AND nominal_at > %(since)s AND nominal_at < %(until)s
ORDER BY nominal_at DESC LIMIT %(most)s
"""


class LegacyClock:
    """Finds the scheduled runs of one environment and writes them down."""

    def __init__(self, platform: str, api: TriggerApi, catalogue: ResolvedCatalogue, database: Database) -> None:
        self._platform = platform
        self._api = api
        self._catalogue = catalogue
        self._database = database
        self._others: OrderedDict[str, None] = OrderedDict()
        self._waited_at: datetime | None = None
        self._waited_until: datetime | None = None
        self.tasks = {
            task.legacy.task: task
            for task in catalogue.tasks.values()
            if task.cron is not None and task.legacy.platform == platform
        }

    async def sweep(self, permits: Permits, now: datetime | None = None) -> int:
        """Look through the run list.

        Returns:
            how many runs were retrieved.

        Raises:
            AskedToWait, httpx.HTTPError, TimeoutError, TooLarge, Refused: the platform could not be asked.
            psycopg.Error: the database is away.
        """
        if not self.tasks:
            return 0
        at = now or datetime.now(UTC)
        retrieved = await self._listed(at - LOOK_BACK, None, permits)
        for nominal in await self._waited_for(at):
            retrieved += await self._listed(nominal - _AROUND, nominal + _AROUND, permits)
        return retrieved

    async def _listed(self, since: datetime, until: datetime | None, permits: Permits) -> int:
        retrieved = 0
        after: str | None = None
        for _page in range(_PAGES):
            await permits.take()
            page = await self._api.list(tasks=list(self.tasks), since=since, until=until, after=after)
            permits.learn(quota(page.answer.fields))
            roots = [
                str(run["id"])
                for run in page.runs
                if run.get("id") and not run.get("depth") and run.get("taskKind") in (None, _SCHEDULED)
            ]
            retrieved += await self.take_in(roots, permits)
            # Not ended by a page of known ones: a late run is listed at its nominal time, below others.
            after = page.after
            if after is None:
                break
        return retrieved

    async def take_in(self, names: Sequence[str], permits: Permits) -> int:
        """Write down those of the runs that a scheduler started; raises as `sweep`.

        Returns:
            how many were not known yet, and retrieved.
        """
        names = [name for name in dict.fromkeys(names) if name not in self._others]
        if not names:
            return 0
        async with self._database.connection(Work.OUTCOMES) as conn:
            known = await known_runs(conn, self._platform, names)
        unknown = [name for name in names if name not in known]
        for start in range(0, len(unknown), _AT_ONCE):
            portion = unknown[start : start + _AT_ONCE]
            read = await asyncio.gather(*(self._read(name, permits) for name in portion))
            found = [run for run in read if run is not None]
            if found:
                async with self._database.connection(Work.OUTCOMES) as conn:
                    await record_clock_runs(conn, self._catalogue, found)
                    reach("ticks.recording")
                reach("ticks.recorded")
        return len(unknown)

    async def _waited_for(self, now: datetime) -> list[datetime]:
        """Nominal times, before the stretch that is read anyway, of which legacy's run is not known; now and then."""
        if self._waited_at is not None and now - self._waited_at < WAITED_EVERY:
            return []
        self._waited_at = now
        newest = now - LOOK_BACK
        parameters = {
            "tasks": [task.id for task in self.tasks.values()],
            "since": now - LONGEST_LOOK_BACK,
            "until": min(newest, self._waited_until or newest),
            "most": _WAITED,
        }
        async with self._database.connection(Work.OUTCOMES) as conn:
            found = [row[0] for row in await (await conn.execute(_WAITED_FOR, parameters)).fetchall()]
        # Those that are older still come next; after the oldest the newest again.
        self._waited_until = found[-1] if len(found) == _WAITED else None
        return found

    async def _read(self, name: str, permits: Permits) -> ClockRun | None:
        """The run, where a scheduler started it and its payload names its tick."""
        await permits.take()
        try:
            run, answer = await self._api.retrieve(name)
        except Refused as error:
            if error.answer.status == 429:
                raise AskedToWait(timedelta(seconds=10)) from None
            log.info("ticks.run_unread", platform=self._platform, status=error.answer.status)
            return None
        permits.learn(quota(answer.fields))
        task = self.tasks.get(str(run.get("taskIdentifier")))
        if task is None or not isinstance(run.get("schedule"), Mapping):
            self._remember(name)
            return None
        payload = run.get("payload")
        if isinstance(url := run.get("payloadPresignedUrl"), str):
            try:
                payload = await packets.at(self._api, url)
            except (Refused, httpx.HTTPError, TimeoutError, TooLarge) as error:
                log.info("ticks.run_unread", platform=self._platform, error=type(error).__name__)
                return None
            except ValueError:
                payload = None
        return self._clock_run(name, task, run, payload)

    def _clock_run(self, name: str, task: ResolvedTask, run: Json, payload: object) -> ClockRun | None:
        assert task.cron is not None
        tick = of_payload(task.id, payload, tenants=task.cron.tenants)
        if tick is None:
            log.warning("ticks.unnamed", task=task.id, run=name)
            self._remember(name)
            return None
        mapped = mapped_payload(task, payload)
        return ClockRun(
            platform=self._platform,
            name=name,
            side=Side.LEGACY,
            task=task,
            tick=tick,
            data=write_json(mapped.data),
            problem=mapped.problem,
            tenant=tick.external_id or None,
            began_at=moment(run.get("startedAt")),
        )

    def _remember(self, name: str) -> None:
        self._others[name] = None
        while len(self._others) > _OTHERS:
            self._others.popitem(last=False)


class LegacyTicks(Asking):
    """Finds one scheduled run: the legacy run of that id as one of a tick."""

    def __init__(self, catalogue: ResolvedCatalogue, database: Database, http: httpx.AsyncClient) -> None:
        clocks = {
            name: LegacyClock(name, TriggerApi(platform, http), catalogue, database)
            for name, platform in catalogue.platforms.items()
            if isinstance(platform, TriggerPlatform) and platform.side is Side.LEGACY
        }
        super().__init__(database, {name: clock for name, clock in clocks.items() if clock.tasks}, "ticks.undiscovered")


class TickSweep:
    """Looks through every environment's run list from time to time."""

    def __init__(self, clocks: Mapping[str, tuple[LegacyClock, Permits]], every: timedelta) -> None:
        self._clocks = clocks
        self._every = every.total_seconds()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._run(name, clock, permits), name=f"ticks-{name}")
            for name, (clock, permits) in self._clocks.items()
            if clock.tasks
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _run(self, name: str, clock: LegacyClock, permits: Permits) -> None:
        while True:
            wait = self._every
            try:
                await clock.sweep(permits)
            except AskedToWait as error:
                wait = max(error.wait.total_seconds(), wait)
            except (httpx.HTTPError, TimeoutError, TooLarge, Refused, psycopg.Error) as error:
                log.info("ticks.sweep_failed", platform=name, error=type(error).__name__)
                wait = max(_TROUBLE_SECONDS, wait)
            except Exception:
                log.exception("ticks.sweep_failed", platform=name)
                wait = max(_TROUBLE_SECONDS, wait)
            await asyncio.sleep(wait)


def tick_sweep(
    catalogue: ResolvedCatalogue, database: Database, adapters: Mapping[str, Adapter], collector: Collector
) -> TickSweep:
    """Of every Trigger.dev environment of the legacy side, within the budget that its reconciler spends too."""
    clocks: dict[str, tuple[LegacyClock, Permits]] = {}
    for name, platform in catalogue.platforms.items():
        adapter, permits = adapters[name], collector.permits(name)
        if isinstance(adapter, TriggerDev) and platform.side is Side.LEGACY and permits is not None:
            clocks[name] = (LegacyClock(name, adapter.api, catalogue, database), permits)
    return TickSweep(clocks, SWEEP_EVERY)
