"""Reports that came while the database was away: spooled, and written down after the events that they are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.effects.record import SeenEffect, record_effects
from shadow.model.ids import derived_id, new_id
from shadow.outcomes.record import record_outcomes
from shadow.outcomes.reported import effects_of, runs_of
from shadow.spool.encoding import decode, encode
from shadow.spool.presence import Presence
from shadow.spool.spool import Kind, NotSpooled, Spool
from shadow.store.away import is_away
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SpooledReport:
    """A report as it came."""

    id: UUID
    side: Side
    body: bytes


def named(report: UUID, effects: Sequence[SeenEffect]) -> None:
    """Name the effects of a report by it, so that writing them twice is harmless: of a commit whose answer was lost
    nobody knows whether it was one."""
    for place, effect in enumerate(effects):
        effect.id = derived_id(report, str(place))


class SpooledReports:
    """Keeps reports on the local disk while the database is away."""

    def __init__(self, catalogue: ResolvedCatalogue, database: Database, spool: Spool) -> None:
        self._catalogue = catalogue
        self._database = database
        self._spool = spool
        self._presence = Presence(database, Work.OUTCOMES)
        spool.writers[Kind.EFFECTS] = self._write_effects
        spool.writers[Kind.RUNS] = self._write_runs

    @property
    def away(self) -> bool:
        """Whether the database is known to be away, so that nobody need wait for it."""
        return self._presence.away

    async def stop(self) -> None:
        await self._presence.stop()

    async def keep(
        self, kind: Kind, side: Side, body: bytes, error: psycopg.Error | None = None, report: UUID | None = None
    ) -> bool:
        """Whether the report is on disk now.

        Args:
            error: what the database said; only where it is away there is a reason to spool.
            report: by which its effects were `named`, where it may have been written down already.
        """
        if error is not None:
            if not is_away(error):
                return False
            self._presence.found_away()
        try:
            await self._spool.append(kind, encode(SpooledReport(report or new_id(), side, body)))
        except NotSpooled as why:
            log.error("reports.not_spooled", what=kind.value, error=str(why))
            return False
        return True

    async def _write_effects(self, bodies: Sequence[bytes]) -> None:
        for body in bodies:
            report = decode(SpooledReport, body)
            effects = effects_of(report.body)
            named(report.id, effects)
            async with self._database.connection(Work.OUTCOMES) as connection:
                await record_effects(connection, report.side, effects)

    async def _write_runs(self, bodies: Sequence[bytes]) -> None:
        for body in bodies:
            report = decode(SpooledReport, body)
            async with self._database.connection(Work.OUTCOMES) as connection:
                await record_outcomes(connection, self._catalogue, runs_of(report.body, report.side, self._catalogue))
