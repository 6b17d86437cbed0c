"""Whether legacy runs without authority are under way: known before the database may be away, and remembered.

While it is away, a legacy run of which nothing is known is let through if legacy has authority for its route. It could
be a run that Shadow has legacy repeat, or a child of one: then it must not be. So as long as any such run is under
way, or was a moment ago, unknown ones stay here. Their dispatches rest until every gateway has read of them
(intake/plan.py).
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import psycopg
import structlog

from shadow.model.ids import first_id_at
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

EVERY_SECONDS = 0.5
"""How often it is read: well within the rest of such a dispatch."""
LINGERS_SECONDS = 600.0
"""How long after the last such run has ended its worker may still be at work."""
_OLDEST = timedelta(days=7)

_UNDER_WAY = b"""
SELECT EXISTS (
    SELECT FROM runs WHERE side = 'legacy' AND authority = 'none' AND state <> 'finished' AND id >= %(first)s
) OR EXISTS (
    SELECT FROM dispatches AS dispatch JOIN events AS event ON event.id = dispatch.event_id
    WHERE dispatch.side = 'legacy' AND dispatch.stage = 'deliver' AND event.route IS NOT NULL
      AND event.authority IS DISTINCT FROM 'legacy')
"""


class ContainedLegacy:
    """Reads it again and again."""

    def __init__(self, database: Database, *, every: float = EVERY_SECONDS, lingers: float = LINGERS_SECONDS) -> None:
        self._database = database
        self._every = every
        self._lingers = lingers
        self._until = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        """Whether there may be one now."""
        return time.monotonic() < self._until

    async def start(self) -> None:
        await self.refresh()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="egress-contained-legacy")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def refresh(self) -> None:
        """Read it now.

        Raises:
            psycopg.Error: the database is away.
        """
        async with self._database.connection(Work.EGRESS) as conn:
            cursor = await conn.execute(_UNDER_WAY, {"first": first_id_at(datetime.now(UTC) - _OLDEST)})
            row = await cursor.fetchone()
        if row is not None and row[0]:
            self._until = time.monotonic() + self._lingers

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.refresh()
            except (psycopg.Error, TimeoutError, OSError) as error:
                log.warning("egress.contained_unread", error=type(error).__name__)
            except Exception:
                log.exception("egress.contained_unread")
