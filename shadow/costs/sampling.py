"""How many executions a run on Inngest is: asked of the platform, for a few runs of each task.

Neither the end of a run nor the run API tells how many steps it had; its trace does (`GET /v2/runs/{id}/trace`). One
request a run would double what is asked there, and runs of a task are much alike: so a few are asked for, again and
again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import httpx
import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import InngestPlatform, Side
from shadow.platforms.client import TooLarge
from shadow.platforms.inngest_api import InngestApi, Json, Refused
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

EVERY = timedelta(minutes=1)
A_ROUND = 20
"""Runs that are asked for at once, on each platform."""
A_TASK = 2
"""Of them, of one task."""
A_DAY = 40
"""Of one task on one UTC day, by each process."""

_ENDED = b"""
SELECT id, task, platform_run_id FROM (
    SELECT id, task, platform_run_id, row_number() OVER (PARTITION BY task ORDER BY finished_at DESC) AS place
    FROM runs
    WHERE side = 'candidate' AND finished_at BETWEEN %(since)s AND %(until)s AND platform = %(platform)s
      AND state = 'finished' AND executions IS NULL AND platform_run_id IS NOT NULL AND task <> ALL(%(enough)s)
) AS ended
WHERE place <= %(each)s ORDER BY place, task LIMIT %(most)s
"""
_TELL = b"""
WITH told AS (
    UPDATE runs AS run SET executions = told.executions
    FROM unnest(%(ids)s::uuid[], %(executions)s::int[]) AS told (id, executions)
    WHERE run.id = told.id AND run.id = ANY(%(ids)s::uuid[]) AND run.executions IS NULL
    RETURNING run.event_id, run.task, run.side, run.platform, run.finished_at, run.executions
)
INSERT INTO cost_changes (event_id, task, side, platform, day, runs, priced, cents, told, executions)
SELECT event_id, task, side, platform, (COALESCE(finished_at, now()) AT TIME ZONE 'UTC')::date, 0, 0, 0, 1, executions
FROM told
"""
_LOCK = b"SELECT id FROM runs WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE"


def executions_of(root: Json) -> int:
    """Of a run with that root span: itself and each of its steps, however often that was tried."""
    return 1 + len(_steps(root))


def _steps(span: Json) -> set[str]:
    found = set()
    for child in span.get("children") or ():
        if isinstance(child, Mapping):
            if isinstance(child.get("stepId"), str):
                found.add(child["stepId"])
            found |= _steps(child)
    return found


@dataclass(frozen=True, slots=True)
class _Ended:
    id: UUID
    task: str
    name: str


class ExecutionSampler:
    """A loop; any number of processes may run it."""

    def __init__(
        self,
        database: Database,
        catalogue: ResolvedCatalogue,
        http: httpx.AsyncClient,
        *,
        every: timedelta = EVERY,
    ) -> None:
        self._database = database
        self._every = every
        self._apis = {
            name: InngestApi(platform, http)
            for name, platform in catalogue.platforms.items()
            if isinstance(platform, InngestPlatform) and platform.side is Side.CANDIDATE
        }
        self._asked: Counter[tuple[str, date]] = Counter()
        self._since = datetime.now(UTC)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._apis:
            self._task = asyncio.create_task(self._run(), name="executions")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def once(self, now: datetime | None = None) -> int:
        """Ask for some of the runs that have ended since the last time; of how many it is known now.

        Raises:
            psycopg.Error: the database is away.
        """
        until = now or datetime.now(UTC)
        since, self._since = self._since, until
        told = 0
        for name, api in self._apis.items():
            told += await self._sample(name, api, since, until)
        return told

    async def _sample(self, platform: str, api: InngestApi, since: datetime, until: datetime) -> int:
        today = until.date()
        enough = [task for (task, day), asked in self._asked.items() if day == today and asked >= A_DAY]
        async with self._database.connection(Work.CONTROL) as connection:
            cursor = await connection.execute(
                _ENDED,
                {
                    "since": since,
                    "until": until,
                    "platform": platform,
                    "enough": enough,
                    "each": A_TASK,
                    "most": A_ROUND,
                },
            )
            ended = [_Ended(*row) for row in await cursor.fetchall()]
        found: dict[UUID, int] = {}
        for run in ended:
            self._asked[run.task, today] += 1
            try:
                found[run.id] = executions_of(await api.trace(run.name))
            except Refused as error:
                if error.status in (404, 501):
                    continue  # no trace of it, or of any
                log.info("costs.untold", platform=platform, status=error.status)
                break
            except (httpx.HTTPError, TimeoutError, TooLarge) as error:
                log.info("costs.untold", platform=platform, error=type(error).__name__)
                break
        await self._tell(found)
        return len(found)

    async def _tell(self, found: Mapping[UUID, int]) -> None:
        if not found:
            return
        ids: Sequence[UUID] = sorted(found)
        async with self._database.connection(Work.CONTROL) as connection:
            await connection.execute(_LOCK, (ids,))
            await connection.execute(_TELL, {"ids": ids, "executions": [found[run] for run in ids]})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every.total_seconds())
            try:
                await self.once()
            except psycopg.OperationalError as error:
                log.warning("costs.unsampled", error=type(error).__name__)
            except Exception:
                log.exception("costs.unsampled")
