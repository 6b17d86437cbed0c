"""The assembly of a prover: what a containment proof needs of rooms that are built upon containment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.causes.authority import Purpose
from shadow.causes.repeats import repeat
from shadow.containment.proof import Progress, Prover, Silent
from shadow.containment.record import Containment
from shadow.egress.reading import TargetReads
from shadow.egress.recorded import RecordedBodies
from shadow.store.database import Database

log = structlog.get_logger(__name__)


@asynccontextmanager
async def proving(
    database: Database,
    catalogue: ResolvedCatalogue,
    *,
    progress: Progress | None = None,
    patience: timedelta | None = None,
) -> AsyncIterator[Prover]:
    """A prover that repeats events as canaries and reads at the targets themselves."""

    async def canary(event: UUID, /) -> UUID:
        return await repeat(database, catalogue, event, Purpose.CANARY)

    reads = TargetReads(catalogue)
    try:
        yield Prover(database, catalogue, reads, canary, RecordedBodies(database), progress or Silent(), patience)
    finally:
        await reads.close()


class Proofs:
    """Proofs that nobody waits for: begun by a request, carried on behind it."""

    def __init__(self, database: Database, catalogue: ResolvedCatalogue) -> None:
        self._database = database
        self._catalogue = catalogue
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def begin(self, task: str, *, actor: str) -> Containment | None:
        """Begin one; None when one of that task is under way here already."""
        running = self._under_way.get(task)
        if running is not None and not running.done():
            return None
        begun: asyncio.Future[Containment] = asyncio.get_running_loop().create_future()
        self._under_way[task] = asyncio.create_task(self._carry_out(task, actor, begun), name=f"proof-{task}")
        return await begun

    async def stop(self) -> None:
        """Break off what is under way; it is kept as failed."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        self._under_way.clear()

    async def _carry_out(self, task: str, actor: str, begun: asyncio.Future[Containment]) -> None:
        try:
            async with proving(self._database, self._catalogue) as prover:
                proof = await prover.begin(task, actor=actor)
                begun.set_result(proof)
                await prover.carry_out(proof)
        except Exception as error:
            if begun.done():
                log.exception("containment.proof_failed", task=task)
            else:
                begun.set_exception(error)
