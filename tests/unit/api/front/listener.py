"""The front listener with doubles around it: an intake that remembers, a routing that is told, an upstream that
is scripted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg

from api.front.application import FrontApp
from api.front.services import FrontServices
from shadow.catalogue import ResolvedCatalogue
from shadow.cutover.decision import Decision, Phase, Ramp, decide
from shadow.intake.arrival import Arrival, Receipt
from shadow.model.ids import Seed, new_id
from shadow.store.database import Connection, Database, Work
from tests.unit.shadow.catalogues import small

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
NOWHERE = "postgresql://127.0.0.1:9/nothing"


@dataclass
class RememberingIntake:
    """Accepts everything and dedupes as the real one does; or fails, when told to."""

    accepted: list[Arrival] = field(default_factory=list)
    failing: bool = False
    breaking: bool = False
    """Raises what no door foresees."""
    _receipts: dict[tuple[str, str], Receipt] = field(default_factory=dict)

    async def accept(self, arrivals: Sequence[Arrival]) -> list[Receipt]:
        return self._receipts_of(arrivals)

    def hand_in(self, arrivals: Sequence[Arrival], settle: Callable[[Sequence[Receipt] | Exception], None]) -> None:
        try:
            receipts = self._receipts_of(arrivals)
        except Exception as error:
            settle(error)
        else:
            settle(receipts)

    def _receipts_of(self, arrivals: Sequence[Arrival]) -> list[Receipt]:
        if self.failing:
            raise psycopg.OperationalError("the database is away")
        if self.breaking:
            raise OverflowError("date value out of range")
        seed = Seed.new()
        receipts = []
        for position, arrival in enumerate(arrivals):
            key = (arrival.dedupe.scope, arrival.dedupe.key) if arrival.dedupe else None
            if key in self._receipts:
                first = self._receipts[key]
                receipts.append(Receipt(first.event, first.upstream_id, True))
                continue
            receipt = Receipt(new_id().bytes, seed.ulid(position), False)
            if key is not None:
                self._receipts[key] = receipt
            self.accepted.append(arrival)
            receipts.append(receipt)
        return receipts


@dataclass
class ToldRouting:
    """Every route stands in the phase it was told."""

    phase: Phase = Phase.SHADOW
    ramp: Ramp = field(default_factory=Ramp)

    def decision(self, route: str, key: str | None = None) -> Decision:
        return decide(route, self.phase, candidate=self.ramp.takes(key))

    def decisions(self, route: str) -> list[Decision]:
        return [decide(route, self.phase, candidate=candidate) for candidate in (False, True)]


class AwayDatabase(Database):
    """A database that cannot be reached, and says so at once."""

    @asynccontextmanager
    async def connection(self, work: Work) -> AsyncIterator[Connection]:
        yield await Connection.connect(self.url)


Upstream = Callable[[httpx.Request], httpx.Response]


class Listener:
    """Calls the front listener in-process."""

    def __init__(
        self,
        catalogue: ResolvedCatalogue | None = None,
        upstream: Upstream | None = None,
        phase: Phase = Phase.SHADOW,
        **services: Any,
    ) -> None:
        self.intake = RememberingIntake()
        self.routing = ToldRouting(phase)
        self.requests: list[httpx.Request] = []

        async def answer(request: httpx.Request) -> httpx.Response:
            await request.aread()
            self.requests.append(request)
            if upstream is None:
                raise httpx.ConnectError("nobody listens")
            made = upstream(request)
            # As it comes from a network: not read yet.
            return httpx.Response(made.status_code, headers=made.headers, stream=httpx.ByteStream(made.content))

        http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        self.services = FrontServices(
            catalogue=catalogue or small(),
            intake=self.intake,
            routing=self.routing,
            database=AwayDatabase(NOWHERE),
            http=http,
            clock=lambda: NOW,
            **services,
        )
        self.app = FrontApp(self.services)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://front")

    @property
    def accepted(self) -> list[Arrival]:
        return self.intake.accepted
