"""Whether the database is there, as far as this process knows."""

from __future__ import annotations

import asyncio

import structlog

from shadow.store.away import is_away
from shadow.store.database import Database, Work
from shadow.store.patience import patience

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 3.0
"""How long a producer waits for the database before what it brings is spooled."""
PROBE_SECONDS = 0.5
"""How often it is looked whether the database is back."""


class Presence:
    """Once the database is known to be away, nobody waits for it any more until a probe has been answered."""

    def __init__(self, database: Database, work: Work, *, probe: float = PROBE_SECONDS) -> None:
        """
        Args:
            work: whose connections are to be there again.
        """
        self._database = database
        self._work = work
        self._every = probe
        self._probe: asyncio.Task[None] | None = None

    @property
    def away(self) -> bool:
        return self._probe is not None

    def found_away(self) -> None:
        """Somebody noticed that it is away."""
        if self._probe is None:
            log.warning("database.away", work=self._work.value)
            self._probe = asyncio.create_task(self._until_back(), name="database-probe")

    async def stop(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
            self._probe = None

    async def _until_back(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                async with self._database.connection(self._work) as connection, patience(connection, PATIENCE_SECONDS):
                    cursor = await connection.execute(b"SELECT current_setting('transaction_read_only')")
                    row = await cursor.fetchone()
            except Exception as error:
                if not is_away(error):
                    log.exception("database.probe_failed")
                continue
            if row is None or row[0] != "off":
                continue
            log.info("database.back", work=self._work.value)
            self._probe = None
            return
