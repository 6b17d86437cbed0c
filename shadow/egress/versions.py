"""Which version of its worker a call says that it comes from: noted beside the calls, which wait for none of it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from uuid import UUID

import psycopg
import structlog

from shadow.catalogue.model import Side
from shadow.containment.version import Sighting, saw_versions
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

EVERY_SECONDS = 1.0
_AGAIN_SECONDS = 5.0
"""A version that is still at work is told again after so long: of two at work, neither is forgotten."""
_REMEMBERED = 100_000
_WAITING = 10_000
"""Runs that wait to be told of while the database is away; which version is at work is never given up."""

_RUNS = """
UPDATE runs SET version = told.version
FROM unnest(%s::uuid[], %s::text[]) AS told (id, version)
WHERE runs.id = told.id AND runs.id = ANY(%s::uuid[]) AND runs.version IS NULL
"""


class Versions:
    """Notes versions by task, and with the runs that they are of."""

    def __init__(self, database: Database, *, every: float = EVERY_SECONDS) -> None:
        self._database = database
        self._every = every
        self._seen: dict[Sighting, float] = {}
        self._untold: set[Sighting] = set()
        self._runs: dict[UUID, str] = {}
        self._known: OrderedDict[UUID, None] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="egress-versions")

    async def stop(self) -> None:
        """Tell what is left."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        try:
            await self.tell()
        except (psycopg.Error, TimeoutError, OSError) as error:
            log.warning("egress.versions_untold", error=type(error).__name__)

    def note(self, task: str, side: Side, version: str | None, run: UUID | None) -> None:
        """A call came from that version."""
        if version is None:
            return
        sighting, now = Sighting(task, side, version), time.monotonic()
        if now - self._seen.get(sighting, -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
            self._seen[sighting] = now
            self._untold.add(sighting)
        if run is None or run in self._known or len(self._runs) >= _WAITING:
            return
        self._known[run] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        self._runs[run] = version

    async def tell(self) -> None:
        """Write down what was noted.

        Raises:
            psycopg.Error, TimeoutError, OSError: the database is away; it is told the next time.
        """
        sightings, runs = self._untold, self._runs
        self._untold, self._runs = set(), {}
        try:
            if sightings:
                async with self._database.connection(Work.EGRESS) as conn:
                    await saw_versions(conn, sightings)
                sightings = set()
            if runs:
                ids = sorted(runs)
                async with self._database.connection(Work.EGRESS) as conn:
                    await conn.execute(_RUNS.encode(), (ids, [runs[one] for one in ids], ids))
                runs = {}
        finally:
            self._untold |= sightings
            self._runs |= runs
        expired = time.monotonic() - _AGAIN_SECONDS
        self._seen = {one: at for one, at in self._seen.items() if at > expired}

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.tell()
            except (psycopg.Error, TimeoutError, OSError) as error:
                log.info("egress.versions_wait", error=type(error).__name__)
            except Exception:
                log.exception("egress.versions_failed")
