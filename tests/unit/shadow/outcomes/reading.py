"""Reading outcomes without a budget and without a database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from shadow.outcomes.outcome import RunOutcome
from shadow.outcomes.reader import Awaited, Reader
from shadow.platforms.throttle import Quota


class FreePermits:
    """A budget without bounds, or of so many requests."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.left = room

    async def take(self) -> None:
        self.left -= 1

    def room(self, within: float) -> int:
        return max(self.left, 0)

    def learn(self, quota: Quota | None) -> None:
        return


async def nobody(aliases: Collection[str]) -> dict[str, UUID]:
    """No run is known by a key."""
    return {}


async def read_all(reader: Reader, awaited: Sequence[Awaited], room: int = 1_000_000) -> list[RunOutcome]:
    return [outcome async for portion in reader.read(awaited, FreePermits(room), nobody) for outcome in portion]
