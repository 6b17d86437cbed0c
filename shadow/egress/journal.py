"""Where calls are written: the database, and while that is away the spool."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import psycopg
import structlog

from shadow.egress.calls import Answered, Call, CallLog, Item, Overloaded
from shadow.egress.spool import Spool
from shadow.observe import metrics

log = structlog.get_logger(__name__)

COMMIT_SECONDS = 3.0
"""How long a commit may take before the call is spooled. Should it succeed after all, writing twice is harmless."""
AWAY_SECONDS = 1.0
"""How long the database counts as away after it failed: nobody waits for it meanwhile."""


class Journal:
    """Makes calls durable one way or the other."""

    def __init__(self, calls: CallLog, spool: Spool) -> None:
        self._calls = calls
        self._spool = spool
        self._away_until = 0.0
        self._spooled: set[UUID] = set()
        """Calls whose answers have to follow them into the spool."""

    @property
    def away(self) -> bool:
        """Whether the database was away a moment ago."""
        return time.monotonic() < self._away_until

    def found_away(self) -> None:
        """Somebody else noticed that the database is away."""
        self._away_until = time.monotonic() + AWAY_SECONDS

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
            except (psycopg.Error, TimeoutError, Overloaded, OSError) as error:
                log.warning("egress.spooled", error=type(error).__name__)
                self.found_away()
        await self._spool.append(item)
        metrics.egress_spooled()
        if isinstance(item, Call) and item.status is None:
            self._spooled.add(item.id)
        else:
            self._spooled.discard(item.id)
