"""What every platform's outcomes look like to the reconciler: awaited runs in, outcomes out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from shadow.outcomes.outcome import RunOutcome
from shadow.platforms.throttle import Quota

MOST = 500
"""Runs that are asked for at once: what a list costs is shared by them."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """A run that is under way, as far as the database knows."""

    id: UUID
    task: str
    platform_run_id: str | None
    """None where the platform has not been heard to name it."""
    polls: int
    """How often it was asked for before."""
    event_id: str
    """As candidate runs carry it."""
    event_name: str
    upstream_id: str | None
    accepted_at: datetime
    starts_at: datetime
    """When it may start: the scheduled start, or the acceptance."""


class AskedToWait(Exception):
    """The platform answered 429."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__(f"asked to wait {wait}")
        self.wait = wait


class Permits(Protocol):
    """The request budget."""

    async def take(self) -> None:
        """Wait until one more request may be made."""

    def room(self, within: float) -> int:
        """How many requests may be made within so many seconds."""

    def learn(self, quota: Quota | None) -> None:
        """What the platform says is left."""


Named = Callable[[Collection[str]], Awaitable[Mapping[str, UUID]]]
"""Which runs the aliases (`key:TASK:KEY`) stand for."""


class Reader(Protocol):
    """Asks one platform how runs ended."""

    def read(self, awaited: Sequence[Awaited], permits: Permits, named: Named) -> AsyncIterator[Sequence[RunOutcome]]:
        """The outcomes of those that have ended, in portions as they are learned.

        Raises:
            AskedToWait: the platform wants to be left alone for a while.
            httpx.HTTPError, TimeoutError, TooLarge, Refused: it could not be asked.
        """
