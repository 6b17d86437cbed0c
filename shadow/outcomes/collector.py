"""The polling half of learning outcomes: a reconciler for each platform that can be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import InngestPlatform, Side, TriggerPlatform
from shadow.outcomes.inngest_reader import InngestReader
from shadow.outcomes.reader import Permits, Reader
from shadow.outcomes.reconciler import Reconciler
from shadow.outcomes.trigger_children import ChildSweep, TriggerChildren
from shadow.outcomes.trigger_reader import TriggerReader
from shadow.platforms.adapter import Adapter
from shadow.platforms.inngest import InngestEvents
from shadow.platforms.trigger_dev import TriggerDev
from shadow.store.database import Database

log = structlog.get_logger(__name__)

_SWEEP_EVERY = timedelta(seconds=5)
"""Between looks at the run list, which is one request in most cases."""


class Collector:
    """Starts and stops the reconcilers. Each platform has its own, so that a slow one delays no other."""

    def __init__(self, catalogue: ResolvedCatalogue, database: Database, adapters: Mapping[str, Adapter]) -> None:
        self.reconcilers: dict[str, Reconciler] = {}
        self.sweeps: dict[str, ChildSweep] = {}
        for name, platform in catalogue.platforms.items():
            adapter = adapters[name]
            children = None
            if isinstance(adapter, TriggerDev) and platform.side is Side.LEGACY:
                children = TriggerChildren(name, adapter.api, catalogue, database)
            reader = reader_of(name, adapter, catalogue, children)
            if reader is None or not isinstance(platform, TriggerPlatform | InngestPlatform):
                continue
            reconciler = self.reconcilers[name] = Reconciler(name, platform, reader, catalogue, database)
            if children is not None:
                every = max(platform.poll_every, _SWEEP_EVERY)
                self.sweeps[name] = ChildSweep(children, reconciler.permits, name, every)

    def permits(self, platform: str) -> Permits | None:
        """That platform's request budget, which all who ask it share; None where nobody does."""
        reconciler = self.reconcilers.get(platform)
        return reconciler.permits if reconciler is not None else None

    async def start(self) -> None:
        for reconciler in self.reconcilers.values():
            await reconciler.start()
        for sweep in self.sweeps.values():
            await sweep.start()
        log.info("outcomes.started", platforms=sorted(self.reconcilers))

    async def stop(self) -> None:
        await asyncio.gather(
            *(reconciler.stop() for reconciler in self.reconcilers.values()),
            *(sweep.stop() for sweep in self.sweeps.values()),
        )
        log.info("outcomes.stopped")


def reader_of(
    name: str, adapter: Adapter, catalogue: ResolvedCatalogue, children: TriggerChildren | None = None
) -> Reader | None:
    """What reads that platform's outcomes; None where they can only be reported.

    Args:
        children: of Trigger.dev: what finds the runs that its runs start.
    """
    match adapter:
        case TriggerDev():
            return TriggerReader(name, adapter.api, catalogue, children)
        case InngestEvents():
            return InngestReader(name, adapter, catalogue)
        case _:
            return None
