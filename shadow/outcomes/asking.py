"""Finding one run inside a platform when somebody asks for it: a worker that calls before the sweep has come by."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

import httpx
import structlog

from shadow.outcomes.reader import AskedToWait, Permits
from shadow.platforms.client import TooLarge
from shadow.platforms.throttle import Quota
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

_PATIENCE_SECONDS = 2.0
"""How long a worker's call waits for the platform to say whose it is."""

_BY_NAME = b"""
SELECT run.id FROM run_aliases AS known JOIN runs AS run ON run.id = known.run_id
WHERE known.platform = %s AND known.alias = %s AND run.event_id IS NOT NULL
"""


class Finder(Protocol):
    """What retrieves runs of a platform by their names, and writes down those that it is about."""

    async def take_in(self, names: Sequence[str], permits: Permits) -> object: ...


class Asking:
    """Has a run taken in now, and says which of ours it is."""

    def __init__(self, database: Database, finders: Mapping[str, Finder], undiscovered: str) -> None:
        """
        Args:
            finders: by platform.
            undiscovered: the event that is logged where a platform does not tell in time.
        """
        self._database = database
        self._finders = finders
        self._undiscovered = undiscovered

    async def discover(self, run: str) -> UUID | None:
        """The run of that id, written down by now; None where it is none that the finders are about.

        Raises:
            psycopg.Error: the database is away.
        """
        for platform, finder in self._finders.items():
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await finder.take_in([run], _Unlimited())
            except (AskedToWait, httpx.HTTPError, TimeoutError, TooLarge) as error:
                log.info(self._undiscovered, platform=platform, error=type(error).__name__)
                continue
            async with self._database.connection(Work.ACCEPT) as conn:
                row = await (await conn.execute(_BY_NAME, (platform, run))).fetchone()
            if row is not None:
                return UUID(str(row[0]))
        return None


class _Unlimited:
    """One request now and then needs no budget."""

    async def take(self) -> None:
        return

    def room(self, within: float) -> int:
        return 1

    def learn(self, quota: Quota | None) -> None:
        return
