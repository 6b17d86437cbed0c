"""One drive through the loop: events at a fixed rate, what waits before each stage, what it costs, what came of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from benchmarks.loop.audit import Found, find, under_way
from benchmarks.loop.backlog import STAGES, Sample, growing, growth, look
from benchmarks.loop.costs import difference
from benchmarks.loop.pacing import Pace
from benchmarks.loop.profile import Profile
from benchmarks.loop.traffic import inngest_request, webhook_request
from benchmarks.loop.wire import Lines
from benchmarks.loop.world import World
from benchmarks.processes import HOST

ARRAY = 10
"""Events in one request to the Inngest door."""
WARM_SECONDS = 12.0
"""Until every stage has something to do: pairs settle for 5 seconds, and the gate waits for transactions under way."""
LOOK_SECONDS = 3.0
_CONNECTIONS = 32
_PATIENCE_SECONDS = 300.0
"""How long the last events may take to go all the way."""
_LATE_MS = 1000.0
"""A producer that is answered later than this would have gone away: that rate is not sustained."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent."""

    door: str
    rate: float
    """Events a second."""
    seconds: float
    """That are measured, after the loop is warm."""
    events: int | None = None
    """To send so many, however long that takes, and measure from the first to the last verdict."""

    @property
    def per_request(self) -> int:
        return ARRAY if self.door == "inngest" else 1

    def requests(self, start: int) -> list[bytes]:
        """Whole requests, made before the clock starts; events are numbered from `start`."""
        total = self.events or int(self.rate * (self.seconds + WARM_SECONDS + LOOK_SECONDS))
        salt, now = os.getpid(), time.time_ns() // 1_000_000
        if self.door == "webhook":
            return [webhook_request(number, salt) for number in range(start, start + total)]
        return [
            inngest_request(range(first, min(first + ARRAY, start + total)), salt, now)
            for first in range(start, start + total, ARRAY)
        ]


class Drive:
    """Drives one world; several loads may follow each other."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sent = 0
        self._connection = psycopg.connect(world.url, autocommit=True, application_name="bench")

    def close(self) -> None:
        self._connection.close()

    async def go(self, load: Load, profile: Profile | None = None) -> dict[str, Any]:
        """Send the load, wait until all of it has gone through; the figures, with `ok`.

        Args:
            profile: is taken while the load is measured.
        """
        lines = Lines(HOST, self._world.front, _CONNECTIONS)
        await lines.warm()
        pace = Pace(lines, load.requests(self._sent), load.rate / load.per_request)
        before = await asyncio.to_thread(find, self._connection)
        running = asyncio.create_task(pace.run())
        if load.events is None:
            await asyncio.sleep(WARM_SECONDS)
            pace.forget()
        samples, spent = await self._watch(load, running, profile)
        pace.stop()
        met = await running
        lines.close()
        acknowledged = met.answered * load.per_request if load.events is None else load.events
        self._sent += acknowledged
        drained = await self._drained()
        if load.events is not None:
            spent = self._spent(*spent[:3])
        found = await asyncio.to_thread(find, self._connection)
        start, cpu, pools, end, cpu_then, pools_then = spent
        thousands = (load.events or load.rate * (end - start)) / 1000
        grown = growing(samples, load.rate) if load.events is None else {}
        wrong = found.wrong(self._sent)
        ok = not (grown or wrong or met.failures) and (load.events is not None or met.percentile(0.99) < _LATE_MS)
        return {
            "ok": ok,
            "door": load.door,
            "events_per_second": round(load.rate if load.events is None else acknowledged / (end - start), 1),
            "seconds": round(end - start, 1),
            "events": acknowledged,
            "failures": met.failures,
            "accept_p50_ms": round(met.percentile(0.5), 2),
            "accept_p99_ms": round(met.percentile(0.99), 2),
            "cpu_seconds_per_1000_events": difference(cpu, cpu_then, thousands),
            "postgres_by_pool": difference(pools, pools_then, thousands),
            "cores_busy": round(sum(cpu_then[name] - cpu[name] for name in cpu) / (end - start), 2),
            "peak_memory_mib": self._world.meter.peaks(),
            "database_bytes_per_pair": _bytes_per_pair(before, found),
            "backlog_growing": grown,
            "backlog": {
                stage: {
                    "first": samples[0].waiting[stage],
                    "last": samples[-1].waiting[stage],
                    "per_second": round(growth(samples, stage), 1),
                }
                for stage in STAGES
            },
            "drained_seconds": round(drained, 1),
            "verdicts_match": found.matches,
            "wrong": wrong,
            "stand_ins": self._world.told(),
        }

    async def _watch(
        self, load: Load, running: asyncio.Task[Any], profile: Profile | None
    ) -> tuple[list[Sample], Sequence[Any]]:
        """Look at the backlogs until the measured time is over, or everything is sent."""
        start, cpu, pools = self._now()
        samples = [await asyncio.to_thread(look, self._connection, start)]
        profiling = (
            asyncio.create_task(profile.take(load.events / load.rate if load.events else load.seconds))
            if profile is not None
            else None
        )
        while not running.done() and (load.events is not None or time.perf_counter() - start < load.seconds):
            await asyncio.wait([running], timeout=LOOK_SECONDS)
            samples.append(await asyncio.to_thread(look, self._connection, time.perf_counter()))
            await asyncio.to_thread(self._world.meter.look_at_memory)
        spent = self._spent(start, cpu, pools)
        if profiling is not None:
            await profiling
        return samples, spent

    def _now(self) -> tuple[float, dict[str, float], dict[str, float]]:
        meter = self._world.meter
        return time.perf_counter(), meter.cpu(), meter.backends(self._connection)

    def _spent(self, start: float, cpu: dict[str, float], pools: dict[str, float]) -> Sequence[Any]:
        return start, cpu, pools, *self._now()

    async def _drained(self) -> float:
        """Wait until everything has gone all the way, or patience ends: the seconds."""
        begun = time.perf_counter()
        while (took := time.perf_counter() - begun) < _PATIENCE_SECONDS:
            if not await asyncio.to_thread(under_way, self._connection):
                break
            await asyncio.sleep(0.5)
        return took


def _bytes_per_pair(before: Found, after: Found) -> int | None:
    pairs = after.pairs - before.pairs
    return round((after.database_bytes - before.database_bytes) / pairs) if pairs else None
