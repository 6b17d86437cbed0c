"""Calls that name no run: known by Inngest's trace or by a business key (shadow/effects/correlation.py)."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.effects.correlation import CallTraits, Correlator
from shadow.effects.record import AttributedBy
from shadow.egress.runs import Clues
from shadow.store.database import Connection


class ByTraits:
    """What else a call carries, in the order of trust."""

    def __init__(self, catalogue: ResolvedCatalogue) -> None:
        self._correlator = Correlator(catalogue)

    async def run_of(self, conn: Connection, side: Side, clues: Clues) -> tuple[UUID, AttributedBy] | None:
        """The run; None for a call that fits none, or several."""
        call = CallTraits.of(clues.headers, clues.document)
        found = await self._correlator.whose(conn, side, call, datetime.now(UTC))
        return None if found.run is None or found.by is None else (found.run.id, found.by)
