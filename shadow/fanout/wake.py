"""Being woken by NOTIFY: one connection listens, any number of waiters are told."""

from __future__ import annotations

import asyncio

import psycopg
import structlog
from psycopg import sql

from shadow.store.database import Database

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 1.0


class Wake:
    """Listens on a channel. A waiter that is not woken in time goes on anyway: a notice may always be lost."""

    def __init__(self, database: Database, channel: str) -> None:
        self._database = database
        self._channel = channel
        self._waiting: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._listen(), name=f"wake-{self._channel}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def subscribe(self) -> asyncio.Event:
        """An event that is set by each notice; its waiter clears it."""
        event = asyncio.Event()
        self._waiting.add(event)
        return event

    def unsubscribe(self, event: asyncio.Event) -> None:
        self._waiting.discard(event)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._database.direct() as connection:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
                    self._tell()  # what was said before we listened
                    async for _notice in connection.notifies():
                        self._tell()
            except psycopg.Error as error:
                log.warning("wake.unreachable", channel=self._channel, error=type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)

    def _tell(self) -> None:
        for event in self._waiting:
            event.set()


async def pause(woken: asyncio.Event, seconds: float) -> None:
    """Wait until woken, or for so long."""
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await woken.wait()
    except TimeoutError:
        return
