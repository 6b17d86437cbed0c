"""Ends proofs whose candidate runs in another version than they were made with."""

from __future__ import annotations

from shadow.containment.record import end_outdated
from shadow.store.database import Database, Work
from shadow.store.recurring import Recurring

EVERY_SECONDS = 5.0


class ContainmentWatch(Recurring):
    """A loop; any number of processes may run it."""

    def __init__(self, database: Database, *, every: float = EVERY_SECONDS) -> None:
        super().__init__("containment-watch", "containment.unwatched", rest_after_failure=every)
        self._database = database
        self._every = every

    async def once(self) -> list[str]:
        """The tasks whose proofs were ended."""
        async with self._database.connection(Work.CONTROL) as connection:
            return await end_outdated(connection)

    async def turn(self) -> float:
        await self.once()
        return self._every
