"""One side's delivery: a lane for each of its platforms, a pool of its own, woken by NOTIFY."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.fanout.lane import Lane, LaneState
from shadow.fanout.offloaded import OffloadedPayloads
from shadow.fanout.opening import Openings
from shadow.fanout.queue import Queue
from shadow.fanout.wake import Wake
from shadow.fanout.write_back import WriteBack
from shadow.platforms.adapter import Adapter
from shadow.store.database import Database

log = structlog.get_logger(__name__)

CHANNEL = "shadow_dispatches"


class DeliveryLoop:
    """Delivers what is due on one side. Any number of processes may run one; they share the queue.

    The sides have nothing in common but the database, and there not even the pool: a candidate that hangs
    can't slow legacy down.
    """

    def __init__(
        self,
        side: Side,
        catalogue: ResolvedCatalogue,
        database: Database,
        adapters: Mapping[str, Adapter],
        openings: Openings | None = None,
    ) -> None:
        """
        Args:
            openings: shared with the other side's loop, so that they open the runs and pairs of an event once.
        """
        self.side = side
        queue = Queue(database, catalogue, side, openings)
        self._wake = Wake(database, CHANNEL)
        self._write_back = WriteBack(queue)
        self._lanes = [
            Lane(
                queue,
                adapters[name],
                catalogue,
                self._write_back,
                self._wake.subscribe(),
                timeout=platform.timeout,
            )
            for name, platform in catalogue.platforms.items()
            if platform.side is side
        ]
        # Only the candidate has to wait for the data of an event; legacy gets the producer's own call.
        self._offloaded = (
            OffloadedPayloads(database, catalogue, adapters, self._wake.subscribe()) if side is Side.CANDIDATE else None
        )
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def states(self) -> list[LaneState]:
        """How each of the side's platforms stands."""
        return [lane.state for lane in self._lanes]

    async def start(self) -> None:
        await self._wake.start()
        await self._write_back.start()
        self._tasks = [asyncio.create_task(lane.run()) for lane in self._lanes]
        if self._offloaded is not None:
            self._tasks.append(asyncio.create_task(self._offloaded.run()))
        for task in self._tasks:
            task.add_done_callback(_report)
        log.info("fanout.started", side=self.side.value, lanes=len(self._lanes))

    async def stop(self) -> None:
        """Claim nothing more, let what is in flight end, and write its results."""
        for lane in self._lanes:
            lane.stop()
        if self._offloaded is not None:
            self._offloaded.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._write_back.stop()
        await self._wake.stop()
        log.info("fanout.stopped", side=self.side.value)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("fanout.lane_died", exc_info=error)
