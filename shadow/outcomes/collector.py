"""The polling half of learning outcomes: a reconciler for each platform that can be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import InngestPlatform, TriggerPlatform
from shadow.outcomes.inngest_reader import InngestReader
from shadow.outcomes.reader import Reader
from shadow.outcomes.reconciler import Reconciler
from shadow.outcomes.trigger_reader import TriggerReader
from shadow.platforms.adapter import Adapter
from shadow.platforms.inngest import InngestEvents
from shadow.platforms.trigger_dev import TriggerDev
from shadow.store.database import Database

log = structlog.get_logger(__name__)


class Collector:
    """Starts and stops the reconcilers. Each platform has its own, so that a slow one delays no other."""

    def __init__(self, catalogue: ResolvedCatalogue, database: Database, adapters: Mapping[str, Adapter]) -> None:
        self.reconcilers: dict[str, Reconciler] = {}
        for name, platform in catalogue.platforms.items():
            reader = reader_of(name, adapters[name], catalogue)
            if reader is not None and isinstance(platform, TriggerPlatform | InngestPlatform):
                self.reconcilers[name] = Reconciler(name, platform, reader, catalogue, database)

    async def start(self) -> None:
        for reconciler in self.reconcilers.values():
            await reconciler.start()
        log.info("outcomes.started", platforms=sorted(self.reconcilers))

    async def stop(self) -> None:
        await asyncio.gather(*(reconciler.stop() for reconciler in self.reconcilers.values()))
        log.info("outcomes.stopped")


def reader_of(name: str, adapter: Adapter, catalogue: ResolvedCatalogue) -> Reader | None:
    """What reads that platform's outcomes; None where they can only be reported."""
    match adapter:
        case TriggerDev():
            return TriggerReader(name, adapter.api, catalogue)
        case InngestEvents():
            return InngestReader(name, adapter, catalogue)
        case _:
            return None
