"""Children that legacy's tasks start inside Trigger.dev, where no door sees them: read from their parents' records and
from the run list, their payloads by retrieving them (reference 3.1, 7)."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import Side, TriggerPlatform
from shadow.causes.parents import Told, known_parent
from shadow.intake.storable import storable_or_none
from shadow.intake.trigger_arrival import mapped_payload
from shadow.model.json_text import write_json
from shadow.model.moments import moment
from shadow.outcomes.asking import Asking
from shadow.outcomes.found import FoundRun, at_the_door, decisions_now, known_runs, record_found
from shadow.outcomes.reader import AskedToWait, Permits
from shadow.outcomes.statuses import TRIGGER_DEV
from shadow.platforms import packets
from shadow.platforms.client import TooLarge
from shadow.platforms.throttle import quota
from shadow.platforms.trigger_api import Json, Refused, TriggerApi
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

_LOOK_BACK = timedelta(minutes=10)
"""How far back the run list is read: it lags, and a child may show late."""
_PAGES = 20
"""Pages at most in one sweep, which ends with the first that holds nothing unknown."""
_STRANGERS = 50_000
"""Runs that are remembered as nobody's children, so that they are not retrieved again."""
_TROUBLE_SECONDS = 10.0
_AT_ONCE = 8
_ENDED = 500
"""Children whose records are kept, as they had ended when they were found."""
_ENDED_SECONDS = 60.0
"""The addresses in a record are good for a few minutes."""


class TriggerChildren:
    """Finds the children of one environment's runs and writes them down."""

    def __init__(self, platform: str, api: TriggerApi, catalogue: ResolvedCatalogue, database: Database) -> None:
        self._platform = platform
        self._api = api
        self._catalogue = catalogue
        self._database = database
        self._strangers: OrderedDict[str, None] = OrderedDict()
        self._ended: OrderedDict[str, tuple[float, Json]] = OrderedDict()

    async def of(self, runs: Mapping[str, Json], permits: Permits) -> set[str]:
        """Write down the children of runs that have been retrieved, all at once.

        Returns:
            the runs of which not all children are known now: one could not be read yet.

        Raises:
            AskedToWait, httpx.HTTPError, TimeoutError, TooLarge: the platform could not be asked.
            psycopg.Error: the database is away.
        """
        parents = {child: name for name, run in runs.items() for child in self.named(run)}
        if not parents:
            return set()
        missing = await self._retrieve(await self._unknown(list(parents)), permits, parents)
        return {parents[child] for child in missing}

    def has_ended(self, name: str) -> bool:
        """Whether a child was read lately that had ended by then."""
        return name in self._ended and time.monotonic() < self._ended[name][0]

    def ended(self, name: str) -> Json | None:
        """The record of such a child, which needs no request any more; it is told once."""
        until, run = self._ended.pop(name, (0.0, None))
        return run if time.monotonic() < until else None

    def named(self, run: Json) -> list[str]:
        """The children of tasks of ours that its record names."""
        related = run.get("relatedRuns")
        children = related.get("children") if isinstance(related, Mapping) else None
        named = children if isinstance(children, list) else []
        return [
            str(child["id"])
            for child in named
            if isinstance(child, Mapping) and child.get("id") and self._task(child) is not None
        ]

    async def sweep(self, permits: Permits, now: datetime | None = None) -> int:
        """Look for children in the run list: those of runs whose own records nobody reads, or not yet.

        Returns:
            how many runs were retrieved.

        Raises:
            as `of`, and Refused.
        """
        tasks = [task.legacy.task for task in self._catalogue.tasks.values() if task.legacy.platform == self._platform]
        if not tasks:
            return 0
        since = (now or datetime.now(UTC)) - _LOOK_BACK
        retrieved = 0
        after: str | None = None
        for _page in range(_PAGES):
            await permits.take()
            page = await self._api.list(tasks=tasks, since=since, after=after)
            permits.learn(quota(page.answer.fields))
            # Only what another run started is of interest: of roots the doors know, or nobody does.
            listed = [str(run["id"]) for run in page.runs if run.get("depth") and run.get("id")]
            sought = await self._unknown([name for name in listed if name not in self._strangers])
            await self._retrieve(sought, permits)
            retrieved += len(sought)
            after = page.after
            if after is None or not sought:
                break
        return retrieved

    async def take_in(self, names: Sequence[str], permits: Permits) -> None:
        """Write down those of the runs that are children of ours; see `of`."""
        await self._retrieve(await self._unknown(names), permits)

    async def _unknown(self, names: Sequence[str]) -> list[str]:
        if not names:
            return []
        async with self._database.connection(Work.OUTCOMES) as conn:
            known = await known_runs(conn, self._platform, names)
        return [name for name in dict.fromkeys(names) if name not in known]

    async def _retrieve(
        self, unknown: Sequence[str], permits: Permits, parents: Mapping[str, str] | None = None
    ) -> set[str]:
        """Read these runs and write down the children among them.

        Args:
            parents: by child, where that is known.

        Returns:
            those that could not be read or written yet.
        """
        missing: set[str] = set()
        for start in range(0, len(unknown), _AT_ONCE):
            portion = unknown[start : start + _AT_ONCE]
            read = await asyncio.gather(*(self._read(name, permits) for name in portion))
            told = {name: run for name, run in zip(portion, read, strict=True) if run is not None}
            missing |= set(portion) - told.keys()
            missing |= await self._write(told, parents or {})
        return missing

    async def _read(self, name: str, permits: Permits) -> tuple[Json, object, str | None] | None:
        """The run, its payload and why that can't be read; None where it is not to be seen yet."""
        await permits.take()
        try:
            run, answer = await self._api.retrieve(name)
        except Refused as error:
            if error.answer.status == 429:
                raise AskedToWait(timedelta(seconds=10)) from None
            log.info("causes.child_unread", platform=self._platform, status=error.answer.status)
            return None
        permits.learn(quota(answer.fields))
        if str(run.get("status")) in TRIGGER_DEV:
            self._ended[name] = (time.monotonic() + _ENDED_SECONDS, run)
            while len(self._ended) > _ENDED:
                self._ended.popitem(last=False)
        url = run.get("payloadPresignedUrl")
        if not isinstance(url, str):
            return run, run.get("payload"), None
        try:
            return run, await packets.at(self._api, url), None
        except (Refused, httpx.HTTPError, TimeoutError, TooLarge) as error:
            log.info("causes.child_unread", platform=self._platform, error=type(error).__name__)
            return None
        except ValueError as error:
            return run, None, f"the payload cannot be read: {error}"[:300]

    async def _write(self, runs: Mapping[str, tuple[Json, object, str | None]], parents: Mapping[str, str]) -> set[str]:
        """Write down those whose parents are runs of ours; remember the others as nobody's.

        Returns:
            those that a door may be about to write down.
        """
        routing = await decisions_now(self._catalogue, self._database)
        async with self._database.connection(Work.OUTCOMES) as conn:
            found = []
            for name, (run, payload, problem) in runs.items():
                above, task = parents.get(name) or _parent_of(run), self._task(run)
                its = None
                if above is not None and task is not None:
                    its = await known_parent(conn, self._catalogue, Side.LEGACY, Told(above))
                if its is None or its.run_id is None or task is None:
                    self._forget(name, above)
                    continue
                mapped = mapped_payload(task, payload)
                data = write_json(mapped.data)
                found.append(
                    FoundRun(
                        platform=self._platform,
                        platform_run_id=name,
                        side=Side.LEGACY,
                        task=task,
                        parent=its,
                        is_alone=True,
                        data=data,
                        problem=problem or mapped.problem,
                        tenant=self._tenant(task, mapped.data),
                        occurred_at=moment(run.get("createdAt")),
                        scheduled_at=_later(moment(run.get("delayedUntil")), moment(run.get("createdAt"))),
                    )
                )
            above_all = [run.parent.run_id for run in found if run.parent.run_id is not None]
            coming = await at_the_door(conn, above_all)
            # In this order: what a door has written down since is known by now.
            known = await known_runs(conn, self._platform, list(runs))
            ours = [
                run
                for run in found
                if run.platform_run_id in known or (run.parent.run_id, run.task.event) not in coming
            ]
            await record_found(
                conn, self._catalogue, routing, [run for run in ours if run.platform_run_id not in known]
            )
        return {run.platform_run_id for run in found} - {run.platform_run_id for run in ours}

    def _forget(self, name: str, parent: str | None) -> None:
        """A child of a run that is none of ours; one whose parent may become known is looked at again."""
        if parent is None:
            self._strangers[name] = None
            while len(self._strangers) > _STRANGERS:
                self._strangers.popitem(last=False)

    def _task(self, run: Json) -> ResolvedTask | None:
        return self._catalogue.task_of_legacy(self._platform, str(run.get("taskIdentifier")))

    def _tenant(self, task: ResolvedTask, data: object) -> str | None:
        """As the sources that feed the task find it."""
        for source in task.sources:
            try:
                tenant = self._catalogue.tenant_of(source, data)
            except KeyError:  # a webhook, whose mapper says the tenant
                tenant = None
            if tenant is not None:
                return storable_or_none(tenant)
        return None


def _parent_of(run: Json) -> str | None:
    related = run.get("relatedRuns")
    parent = related.get("parent") if isinstance(related, Mapping) else None
    name = parent.get("id") if isinstance(parent, Mapping) else None
    return name if isinstance(name, str) else None


def _later(at: datetime | None, than: datetime | None) -> datetime | None:
    return at if at is not None and (than is None or at > than) else None


class Discovery(Asking):
    """Finds one child: the legacy run of that id as a child of a run of ours."""

    def __init__(self, catalogue: ResolvedCatalogue, database: Database, http: httpx.AsyncClient) -> None:
        children = {
            name: TriggerChildren(name, TriggerApi(platform, http), catalogue, database)
            for name, platform in catalogue.platforms.items()
            if isinstance(platform, TriggerPlatform) and platform.side is Side.LEGACY
        }
        super().__init__(database, children, "causes.undiscovered")


class ChildSweep:
    """Reads the run list from time to time."""

    def __init__(self, children: TriggerChildren, permits: Permits, platform: str, every: timedelta) -> None:
        self._children = children
        self._permits = permits
        self._platform = platform
        self._every = every.total_seconds()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"children-{self._platform}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            wait = self._every
            try:
                await self._children.sweep(self._permits)
            except (AskedToWait, httpx.HTTPError, TimeoutError, TooLarge, Refused, psycopg.Error) as error:
                log.info("causes.sweep_failed", platform=self._platform, error=type(error).__name__)
                wait = _TROUBLE_SECONDS
            except Exception:
                log.exception("causes.sweep_failed", platform=self._platform)
                wait = _TROUBLE_SECONDS
            await asyncio.sleep(wait)
