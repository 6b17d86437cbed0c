"""Which run of ours a run of Inngest is: asked of the platform, for a worker that says no more than the run's name, or
whose name may be that of a rerun.

An event's first run of a function is the one that was expected of it. A later one is somebody's rerun, with whose
authority nobody reckoned; that it is another's is all that can be said of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import httpx
import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import InngestPlatform, Side
from shadow.fanout.adoption import Link, disturb, link
from shadow.model.ids import derived_id
from shadow.model.json_text import write_json
from shadow.model.moments import moment
from shadow.outcomes.straight import Begun, take_in
from shadow.platforms.client import TooLarge
from shadow.platforms.inngest import InngestEvents
from shadow.platforms.inngest_api import Json, Refused
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

_PATIENCE_SECONDS = 2.0
"""How long a worker's call waits for the platform to say whose it is."""
_DEEPEST = 8
"""Of invocations within invocations that are gone through at once."""

_EVENTS = b"SELECT id FROM events WHERE delivery_id = %s AND name = %s ORDER BY id DESC LIMIT 20"
_EXPECTED = b"SELECT id, pair_id FROM runs WHERE id = ANY(%s::uuid[]) ORDER BY id DESC LIMIT 1"
_NAME = b"UPDATE runs SET platform_run_id = %s WHERE id = %s AND platform_run_id IS NULL"
_BY_NAME = b"""
SELECT run.id FROM run_aliases AS known JOIN runs AS run ON run.id = known.run_id
WHERE known.platform = %s AND known.alias = %s AND run.event_id IS NOT NULL
"""


class InngestRuns:
    """Asks every Inngest environment of the candidate."""

    def __init__(
        self,
        catalogue: ResolvedCatalogue,
        database: Database,
        http: httpx.AsyncClient,
        take_ticks: Callable[[Sequence[Begun]], Awaitable[None]] | None = None,
    ) -> None:
        """
        Args:
            take_ticks: writes down those of the runs that the platform's own scheduler has started.
        """
        self._take_ticks = take_ticks
        self._catalogue = catalogue
        self._database = database
        self._adapters = {
            name: InngestEvents(name, platform, http)
            for name, platform in catalogue.platforms.items()
            if isinstance(platform, InngestPlatform) and platform.side is Side.CANDIDATE
        }

    async def identify(self, run: str) -> UUID | None:
        """The run of ours that the platform calls so, known by that name from now on.

        None where it is none: a rerun, one that nothing of ours started, one that the platform does not know (yet).

        Raises:
            psycopg.Error: the database is away.
        """
        return await self._identified(run, _DEEPEST)

    async def _identified(self, run: str, depth: int) -> UUID | None:
        for name, adapter in self._adapters.items():
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    found = await self._read(name, adapter, run)
            except (Refused, httpx.HTTPError, TimeoutError, TooLarge, ValueError) as error:
                log.info("causes.run_unidentified", platform=name, run=run, error=type(error).__name__)
                continue
            if found is None:
                continue
            begun, task, is_first = found
            if not is_first:
                log.warning("causes.rerun", platform=name, run=run, task=task.id)
                return None
            return await self._known(begun, task, depth)
        return None

    async def _read(self, name: str, adapter: InngestEvents, run: str) -> tuple[Begun, ResolvedTask, bool] | None:
        """The run with its task, and whether it is the first of its event; None where it is of no task of ours."""
        told = await adapter.api.run(run)
        slug = await adapter.slug(str(told.get("function_id")))
        task = self._catalogue.task_of_function(slug) if slug is not None else None
        internal = told.get("event_id")
        if slug is None or task is None or not isinstance(internal, str):
            return None
        event, listed = await asyncio.gather(adapter.api.event(internal), adapter.api.event_runs(internal))
        data = event.get("data")
        begun = Begun(
            platform=name,
            run=run,
            function=slug,
            event_id=str(event.get("id") or internal),
            event_name=str(event.get("name")),
            event_data=write_json(data if isinstance(data, dict) else {}),
            sent_at=moment(event.get("received_at")),
            upstream_id=internal,
        )
        return begun, task, _is_first(run, told, listed)

    async def _known(self, begun: Begun, task: ResolvedTask, depth: int) -> UUID | None:
        async with self._database.connection(Work.CAUSES) as conn:
            named = await self._named(conn, begun, task)
        if named is not None or depth <= 0:
            return named
        if self._take_ticks is not None:
            await self._take_ticks([begun])
        await take_in(self._database, self._catalogue, [begun], lambda run: self._identified(run, depth - 1))
        async with self._database.connection(Work.CAUSES) as conn:
            cursor = await conn.execute(_BY_NAME, (begun.platform, begun.run))
            row = await cursor.fetchone()
        return UUID(str(row[0])) if row is not None else None

    async def _named(self, conn: Connection, begun: Begun, task: ResolvedTask) -> UUID | None:
        """The run that was expected of the event, which has this name from now on."""
        cursor = await conn.execute(_EVENTS, (begun.event_id, begun.event_name))
        runs = [derived_id(event, task.id, Side.CANDIDATE) for (event,) in await cursor.fetchall()]
        row = await (await conn.execute(_EXPECTED, (runs,))).fetchone()
        if row is None:
            return None
        run_id, pair_id = row
        await conn.execute(_NAME, (begun.run, run_id))
        disturbed = await link(conn, [Link(begun.platform, begun.run, run_id, pair_id)])
        await disturb(conn, disturbed)
        return UUID(str(run_id))


def _is_first(run: str, told: Json, listed: Sequence[Json]) -> bool:
    """Whether no run of that function was made before it for the same event. Ids sort by time (reference 2.3)."""
    if told.get("original_run_id"):
        return False
    alike = [str(one.get("run_id")) for one in listed if one.get("function_id") == told.get("function_id")]
    return all(run <= other for other in alike)
