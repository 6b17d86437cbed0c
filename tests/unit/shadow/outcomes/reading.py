"""Reading outcomes without a budget and without a database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from shadow.outcomes.outcome import RunOutcome
from shadow.outcomes.reader import Awaited, Reader
from shadow.platforms.throttle import Quota


class FreePermits:
    """A budget without bounds."""

    async def take(self) -> None:
        return

    def learn(self, quota: Quota | None) -> None:
        return


async def nobody(aliases: Collection[str]) -> dict[str, UUID]:
    """No run is known by a key."""
    return {}


async def read_all(reader: Reader, awaited: Sequence[Awaited]) -> list[RunOutcome]:
    return [outcome async for portion in reader.read(awaited, FreePermits(), nobody) for outcome in portion]
