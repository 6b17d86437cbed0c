"""What the control listener needs from the process that serves it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncEngine

from shadow.access.rates import Rates
from shadow.catalogue import ResolvedCatalogue
from shadow.judge.rulebook import Rulebook
from shadow.proving import Proofs
from shadow.reports.figures import FigureReader
from shadow.store.database import Database


@dataclass
class ControlServices:
    """The parts of a process that operators reach."""

    database: Database
    catalogue: ResolvedCatalogue
    metrics_open: bool = False
    """Whether metrics need no token: right while only this machine can reach the listener."""
    names: Collection[str] = ()
    """By which whoever needs no token may call the listener, beside addresses and `localhost`."""
    draining: bool = False
    """Whether the process has been told to stop: it is alive then, and not ready."""
    waiting: bool = False
    """Whether the database has been away since the process started: it is alive then, and not ready."""
    rates: Rates | None = field(init=False)
    """How often each token may ask, in this process; None: as often as it likes."""
    sign_ins: Rates = field(init=False)
    """How often each address may try a token at the pages."""
    figures: FigureReader = field(init=False)
    rulebook: Rulebook = field(init=False)
    proofs: Proofs = field(init=False)
    """Stopped by whoever made the services."""

    def __post_init__(self) -> None:
        a_minute = self.catalogue.limits.sign_ins_per_minute
        self.sign_ins = Rates(a_minute / 60, burst=a_minute)
        self.rates = Rates.of(self.catalogue.limits.control_requests_per_second)
        self.figures = FigureReader(self.database.engine, self.catalogue)
        self.rulebook = Rulebook(self.catalogue)
        self.proofs = Proofs(self.database, self.catalogue)

    @property
    def engine(self) -> AsyncEngine:
        return self.database.engine


def services_of(request: Request) -> ControlServices:
    """The services of the app that serves this request."""
    services = request.app.state.services
    assert isinstance(services, ControlServices)
    return services
