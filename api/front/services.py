"""What the doors work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Protocol
from uuid import UUID

import httpx
from starlette.types import ASGIApp

from api.front.afterwards import Afterwards
from api.front.straight import Straight
from shadow.catalogue import ResolvedCatalogue
from shadow.cutover.decision import Decision
from shadow.egress.gateway import Gateway
from shadow.intake.arrival import Arrival, Receipt
from shadow.store.database import Database


class Accepts(Protocol):
    """The intake, as far as doors know it."""

    async def accept(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]: ...

    def hand_in(self, arrivals: Sequence[Arrival], settle: Callable[[Sequence[Receipt] | Exception], None]) -> None: ...


class Decides(Protocol):
    """The routing, as far as doors know it."""

    def decision(self, route: str, key: str | None = None) -> Decision: ...

    def decisions(self, route: str) -> Sequence[Decision]: ...


_now = partial(datetime.now, UTC)


@dataclass(frozen=True)
class FrontServices:
    """Made once a process; the doors hold nothing else."""

    catalogue: ResolvedCatalogue
    intake: Accepts
    routing: Decides
    database: Database
    http: httpx.AsyncClient
    """Made by `shadow.platforms.client.carrying_client`: it carries others' requests."""
    discover: Callable[[str], Awaitable[UUID | None]] | None = None
    """Finds a legacy run that another run of ours started on its platform, by its id there."""
    identify: Callable[[str], Awaitable[UUID | None]] | None = None
    """Finds the run of ours that the candidate's platform calls so, by asking it."""
    gateway: Gateway | None = None
    """None where no target is declared."""
    clock: Callable[[], datetime] = _now
    straight: Straight | None = None
    """Hands spooled events over; None where nothing is spooled."""
    afterwards: Afterwards = field(default_factory=Afterwards)
    """What is still to be done of calls that were answered; let it finish before the others are stopped."""
    extra: Sequence[tuple[str, ASGIApp]] = ()
    """More of the front listener, each mounted at its prefix: the watcher's app, the reports."""
