"""Ends proofs whose candidate runs in another version than they were made with."""

from __future__ import annotations

import asyncio

import psycopg
import structlog

from shadow.containment.record import end_outdated
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0


class ContainmentWatch:
    """A loop; any number of processes may run it."""

    def __init__(self, database: Database, *, every: float = EVERY_SECONDS) -> None:
        self._database = database
        self._every = every
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def once(self) -> list[str]:
        """The tasks whose proofs were ended."""
        async with self._database.connection(Work.CONTROL) as connection:
            return await end_outdated(connection)

    async def _run(self) -> None:
        while True:
            try:
                await self.once()
            except psycopg.OperationalError as error:
                log.warning("containment.unwatched", error=type(error).__name__)
            except Exception:
                log.exception("containment.unwatched")
            await asyncio.sleep(self._every)
