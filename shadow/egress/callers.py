"""Who makes a call, whether the database is there to say so or not. Asked of calls and of mail alike."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import structlog

from shadow.catalogue.model import Side
from shadow.effects.correlation import CallTraits
from shadow.egress.contained import ContainedLegacy
from shadow.egress.incidents import Incident, IncidentKind, Incidents
from shadow.egress.journal import Journal
from shadow.egress.runs import KnownRun, Runs, Told, Unknown, WrongSide

log = structlog.get_logger(__name__)

_LOOKS = 2
"""One may fail at a connection that broke, of a database that is back."""


class Callers:
    """Finds the run that makes a call; of one that is of the other side it notes an incident."""

    def __init__(self, runs: Runs, contained_legacy: ContainedLegacy, journal: Journal, incidents: Incidents) -> None:
        self._runs = runs
        self._contained_legacy = contained_legacy
        self._journal = journal
        self._incidents = incidents

    async def run(
        self, side: Side, told: Told, carries: Callable[[], CallTraits], *, target: str, operation: str
    ) -> KnownRun:
        """The run that makes the call: while the database is away, as it was last known.

        Args:
            carries: tells what else the call carries.

        Raises:
            Unknown: nobody knows.
            WrongSide: it is of the other side.
        """
        try:
            run = await self._last_known(side, told) if self._journal.away else None
            looks = 0
            while run is None:  # the database answers, and does not know it: it is waited for as ever
                try:
                    run = await self._runs.find(side, told, carries)
                except (psycopg.Error, TimeoutError, OSError) as error:
                    log.warning("egress.run_unlooked", error=type(error).__name__)
                    self._journal.found_away()
                    run = await self._last_known(side, told)
                    looks += 1
                    if run is None and looks == _LOOKS:
                        raise Unknown("the database was away, and does not know this run") from None
            return run
        except WrongSide as error:
            await self._incidents.note_if_possible(
                Incident(
                    IncidentKind.WRONG_SIDE,
                    str(error),
                    task=error.run.task,
                    side=side,
                    run_id=error.run.id,
                    target=target,
                    operation=operation,
                    tenant=error.run.tenant,
                )
            )
            raise

    async def _last_known(self, side: Side, told: Told) -> KnownRun | None:
        return await self._runs.last_known(side, told, contained_legacy=self._contained_legacy.under_way)
