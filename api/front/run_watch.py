"""Waiting for issued runs to change: one look for all that wait, a few times a second, while anybody does."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any
from uuid import UUID

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.model.ids import derived_id
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

_SECONDS = 0.3
_LOOK = b"""
SELECT event.id, event.scheduled_at, run.state, run.status, overlay.content
FROM unnest(%(events)s::uuid[], %(runs)s::uuid[]) AS watched (event, run)
JOIN events AS event ON event.id = watched.event
LEFT JOIN runs AS run ON run.id = watched.run
LEFT JOIN bodies AS overlay ON overlay.id = event.id AND overlay.part = 'overlay'
WHERE event.id = ANY(%(events)s::uuid[])
"""


class RunWatch:
    """Tells those who wait that something of their runs has changed."""

    def __init__(self, database: Database, catalogue: ResolvedCatalogue) -> None:
        self._database = database
        self._catalogue = catalogue
        self._waiting: dict[UUID, dict[asyncio.Event, str]] = {}
        """Who waits for an event's run, and its task."""
        self._known: dict[UUID, Any] = {}
        self._task: asyncio.Task[None] | None = None

    async def changed(self, runs: Collection[tuple[UUID, str]], seconds: float) -> bool:
        """Wait for a change of one of those runs (event and task); False when the time is over.

        What changes right before the first look is not seen: whoever waits looks again from time to time.
        """
        woken = asyncio.Event()
        for event, task in runs:
            self._waiting.setdefault(event, {})[woken] = task
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name="run-watch")
        try:
            await asyncio.wait_for(woken.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            for event, _task in runs:
                waiting = self._waiting[event]
                del waiting[woken]
                if not waiting:
                    del self._waiting[event]
                    self._known.pop(event, None)
        return True

    async def _follow(self) -> None:
        try:
            while self._waiting:
                try:
                    await self._look()
                except psycopg.Error as error:
                    log.warning("front.watch_failed", error=type(error).__name__)
                await asyncio.sleep(_SECONDS)
        finally:
            self._task = None

    async def _look(self) -> None:
        watched = {event: next(iter(waiting.values())) for event, waiting in self._waiting.items()}
        runs = [derived_id(event, task, Side.CANDIDATE) for event, task in watched.items()]
        async with self._database.connection(Work.CAUSES) as connection:
            rows = await (await connection.execute(_LOOK, {"events": list(watched), "runs": runs})).fetchall()
        for event, *state in rows:
            before = self._known.get(event)
            if event in self._waiting:
                self._known[event] = state
            if before is not None and before != state:
                for woken in self._waiting.get(event, ()):
                    woken.set()
