"""Something that is done again and again until it is stopped, whatever goes wrong meanwhile."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

import psycopg
import structlog

from shadow.store.away import is_away

log = structlog.get_logger(__name__)


class Recurring(ABC):
    """A loop over the database. Any number of processes may run one of a kind: what it does is harmless to repeat."""

    def __init__(self, name: str, failed: str, *, rest_after_failure: float) -> None:
        """
        Args:
            name: of the task that runs it.
            failed: the event that is logged when a turn fails; the next one comes all the same.
            rest_after_failure: seconds until then.
        """
        self._name = name
        self._failed = failed
        self._rest_after_failure = rest_after_failure
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._running = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None

    @abstractmethod
    async def turn(self) -> float:
        """Do it once; returns for how many seconds to rest then."""

    async def _run(self) -> None:
        while True:
            rest = self._rest_after_failure
            try:
                rest = await self.turn()
            except Exception as error:
                if isinstance(error, psycopg.Error) and is_away(error):
                    log.warning(self._failed, error=type(error).__name__)
                else:
                    log.exception(self._failed)
            await asyncio.sleep(rest)
