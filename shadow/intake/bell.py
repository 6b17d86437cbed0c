"""The bell: tells the delivery loops of every process that something is due, apart from what made it so.

A transaction that NOTIFYs holds a lock of the whole server until its commit is on disk, so that such commits queue up
behind each other. Events are committed without it, and this connection rings afterwards, without waiting for the disk:
there is nothing to keep. A ring that is lost costs little: the loops look by themselves now and then.
"""

from __future__ import annotations

import asyncio

import psycopg
import structlog

from shadow.store.database import Database, Work
from shadow.store.lane import Lane, Statement

PAUSE = 0.02
"""Seconds between two rings; what comes meanwhile shares the next."""

_PATIENCE_SECONDS = 5.0
_RING = Statement(
    "shadow_ring",
    b"SELECT set_config('synchronous_commit', 'off', true), pg_notify('shadow_dispatches', '')",
    {},
)

log = structlog.get_logger(__name__)


class Bell:
    """Rings at once when it was quiet, and at most every `PAUSE` seconds."""

    def __init__(self, database: Database) -> None:
        self._lane = Lane(database, Work.BELL, _RING, within=_PATIENCE_SECONDS)
        self._due = False
        self._stopping = False
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._stopping = False
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ring for what is still to be told, then end."""
        if self._task is None:
            return
        # Not cancelled: on Python 3.11 a pool may swallow that.
        self._stopping = True
        self._woken.set()
        await self._task
        self._task = None
        await self._lane.close()

    def ring(self) -> None:
        """Something is due."""
        self._due = True
        self._woken.set()

    async def _run(self) -> None:
        while not self._stopping:
            await self._woken.wait()
            self._woken.clear()
            if self._due:
                self._due = False
                await self._notify()
                await asyncio.sleep(PAUSE)
        if self._due:
            await self._notify()

    async def _notify(self) -> None:
        try:
            await self._lane.execute(())
        except psycopg.Error as error:
            log.warning("intake.not_rung", error=type(error).__name__)
