"""Where calls are written: the database, and while that is away the spool."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import psycopg
import structlog

from shadow.egress.calls import Answered, Call, CallLog, Item, Overloaded
from shadow.egress.spooled import spool_item
from shadow.observe import metrics
from shadow.spool.spool import Spool
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

COMMIT_SECONDS = 3.0
"""How long a commit may take before the call is spooled. Should it succeed after all, writing twice is harmless."""
PROBE_SECONDS = 0.5
"""How often it is looked whether the database is back."""
CATCH_UP_SECONDS = 10.0
"""How long after that calls may still lie in the spool of another process."""


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

    async def stop(self) -> None:
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
        return self._spool.standing.items > 0 or time.monotonic() - self._back_at < CATCH_UP_SECONDS

    def found_away(self) -> None:
        """Somebody noticed that the database is away."""
        if self._probe is None:
            log.warning("egress.database_away")
            self._probe = asyncio.create_task(self._until_back(), name="egress-probe")

    async def write(self, item: Item) -> None:
        """Return once the item is durable.

        Raises:
            psycopg.DataError, psycopg.IntegrityError: the database will never take it.
            OSError: neither the database nor the disk took it.
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
