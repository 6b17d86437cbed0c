"""Writing results back in batches: all that came in while a transaction was under way share the next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import psycopg
import structlog

from shadow.fanout.queue import Claimed, Fate, Queue
from shadow.observe.fail_points import reach

log = structlog.get_logger(__name__)

_MOST = 500
_GATHER_SECONDS = 0.02
"""After a batch the next one waits that long: under load it is then larger, and costs little more."""
_RETRY_SECONDS = 0.5
_GIVE_UP_SECONDS = 120.0
"""By then the lease is lost, the result void, and the dispatch delivered again under the same key."""


class WriteBack:
    """One side's results on their way to the database."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._pending: list[tuple[float, Claimed, Fate]] = []
        self._some = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._stopping = False
        self._task = asyncio.create_task(self._run(), name="write-back")

    async def stop(self) -> None:
        """Write what is there, then end."""
        self._stopping = True
        self._some.set()
        if self._task is not None:
            await self._task
            self._task = None

    def add(self, fates: Sequence[tuple[Claimed, Fate]]) -> None:
        """Results to be written soon."""
        now = time.monotonic()
        self._pending.extend((now, claimed, fate) for claimed, fate in fates)
        self._some.set()

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            while self._pending:
                batch, self._pending = self._pending[:_MOST], self._pending[_MOST:]
                if not await self._write([(claimed, fate) for _at, claimed, fate in batch]):
                    oldest = time.monotonic() - _GIVE_UP_SECONDS
                    self._pending = [item for item in batch if item[0] > oldest] + self._pending
                    if self._stopping:
                        return  # the leases run out, and another process takes over
                    await asyncio.sleep(_RETRY_SECONDS)
                elif not self._stopping:
                    await asyncio.sleep(_GATHER_SECONDS)
            if self._stopping:
                return

    async def _write(self, fates: Sequence[tuple[Claimed, Fate]]) -> bool:
        """Whether the results are dealt with; False when the database should be tried again."""
        try:
            await self._queue.write_back(fates)
            reach("fanout.written_back")
        except psycopg.OperationalError as error:
            log.warning("fanout.write_back_failed", error=type(error).__name__, results=len(fates))
            return False
        except Exception as error:
            if len(fates) == 1:
                log.exception("fanout.result_lost", dispatch=str(fates[0][0].id), error=type(error).__name__)
                return True
            # One of them cannot be written: the others shall not suffer for it.
            outcomes = [await self._write([item]) for item in fates]
            return all(outcomes)
        return True
