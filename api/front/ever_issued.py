"""Whether a run was ever issued: until then Trigger.dev answers for everything, and afterwards some keys stand for runs
that it does not know, whoever has authority by then."""

from __future__ import annotations

import time

from api.front.services import FrontServices
from shadow.fanout.issued_list import any_issued
from shadow.store.database import Work

_SECONDS = 1.0
"""How long none is taken for none: less than it takes to move a task forth and back (`shadow/cutover/moves.py`)."""


class EverIssued:
    """Asks the database, until one was."""

    def __init__(self, services: FrontServices) -> None:
        self._services = services
        self._found = False
        self._asked_at = float("-inf")

    async def look(self) -> bool:
        """
        Raises:
            psycopg.Error: the database is away.
        """
        now = time.monotonic()
        if not self._found and now - self._asked_at > _SECONDS:
            async with self._services.database.connection(Work.CAUSES) as connection:
                self._found = await any_issued(connection)
            self._asked_at = now
        return self._found
