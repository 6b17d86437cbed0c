"""Where calls are written: the database, while that is away the spool, and what neither takes when it can be."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from uuid import UUID

import psycopg
import structlog

from shadow.egress.calls import Answered, Call, CallLog, Item, Overloaded
from shadow.egress.spooled import spool_item
from shadow.observe import metrics
from shadow.spool.spool import MIB, NotSpooled, Spool
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

COMMIT_SECONDS = 3.0
"""How long a commit may take before the call is spooled. Should it succeed after all, writing twice is harmless."""
PROBE_SECONDS = 0.5
"""How often it is looked whether the database is back."""
CATCH_UP_SECONDS = 10.0
"""How long after that calls may still lie in the spool of another process."""
_LATE_BYTES = 64 * MIB
"""Of what neither the database nor the disk took, and what may wait for them in memory."""


class Journal:
    """Makes calls durable one way or the other, and knows whether the database is away.

    Once it is, nobody waits for it any more: calls are spooled at once until a probe has been answered.
    """

    def __init__(self, database: Database, calls: CallLog, spool: Spool, *, probe: float = PROBE_SECONDS) -> None:
        self._database = database
        self._calls = calls
        self._spool = spool
        self._every = probe
        self._probe: asyncio.Task[None] | None = None
        self._back_at = -CATCH_UP_SECONDS
        self._spooled: set[UUID] = set()
        """Calls whose answers have to follow them into the spool."""
        self._late: deque[Item] = deque()
        self._late_bytes = 0
        self._writes_late: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        if self._writes_late is not None:
            self._writes_late.cancel()
            await asyncio.gather(self._writes_late, return_exceptions=True)
            self._writes_late = None
        if not await self._caught_up():
            log.error("egress.lost", calls=len(self._late))
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
            self._probe = None

    @property
    def away(self) -> bool:
        """Whether the database is away, as far as is known."""
        return self._probe is not None

    @property
    def catches_up(self) -> bool:
        """Whether calls that were made while the database was away may not be in it yet."""
        waits = self._spool.standing.items > 0 or bool(self._late)
        return waits or time.monotonic() - self._back_at < CATCH_UP_SECONDS

    @property
    def is_behind(self) -> bool:
        """Whether the database may not tell all that was started or done: it is away, or it catches up."""
        return self.away or self.catches_up

    def found_away(self) -> None:
        """Somebody noticed that the database is away."""
        if self._probe is None:
            log.warning("egress.database_away")
            self._probe = asyncio.create_task(self._until_back(), name="egress-probe")

    async def write(self, item: Item) -> None:
        """Return once the item is durable.

        Raises:
            psycopg.DataError, psycopg.IntegrityError: the database will never take it.
            NotSpooled: neither the database nor the disk took it.
        """
        follows = isinstance(item, Answered) and item.id in self._spooled
        if not follows and not self.away:
            try:
                async with asyncio.timeout(COMMIT_SECONDS):
                    await self._calls.write(item)
                return
            except (psycopg.DataError, psycopg.IntegrityError):
                raise
            except Overloaded as error:
                log.warning("egress.spooled", error=type(error).__name__)
            except (psycopg.Error, TimeoutError, OSError) as error:
                log.warning("egress.spooled", error=type(error).__name__)
                self.found_away()
        await spool_item(self._spool, item)
        metrics.egress_spooled()
        if isinstance(item, Call) and item.status is None:
            self._spooled.add(item.id)
        else:
            self._spooled.discard(item.id)

    async def write_done(self, item: Item) -> None:
        """Write what has happened already: where neither the database nor the disk takes it now, it waits in memory
        until either does.

        Raises:
            psycopg.DataError, psycopg.IntegrityError: the database will never take it.
        """
        try:
            await self.write(item)
        except NotSpooled as error:
            size = _size(item)
            if self._late_bytes + size > _LATE_BYTES:
                log.error("egress.lost", calls=1, error=str(error))
                return
            log.warning("egress.kept_in_memory", error=str(error))
            self._late.append(item)
            self._late_bytes += size
            if self._writes_late is None:
                self._writes_late = asyncio.create_task(self._write_late(), name="egress-late")

    async def _write_late(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            if await self._caught_up():
                log.info("egress.caught_up")
                self._writes_late = None
                return

    async def _caught_up(self) -> bool:
        """Whether nothing is left that waits in memory, having tried to write it."""
        while self._late:
            try:
                await self.write(self._late[0])
            except NotSpooled:
                return False
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                log.error("egress.lost", calls=1, error=type(error).__name__)
            self._late_bytes -= _size(self._late.popleft())
        return True

    async def _until_back(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                async with asyncio.timeout(COMMIT_SECONDS):
                    async with self._database.connection(Work.CALLS) as conn:
                        await conn.execute(b"SELECT 1")
                    for work in (Work.CALLS, Work.SEALING):
                        await self._database.look_over(work)
            except (psycopg.Error, TimeoutError, OSError):
                continue
            log.info("egress.database_back")
            self._back_at = time.monotonic()
            self._probe = None
            return


def _size(item: Item) -> int:
    """Bytes, about, that it takes in memory."""
    return sum(len(part) for part in (item.answer, item.answer_headers, item.document) if part is not None)
