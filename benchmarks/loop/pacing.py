"""Open-loop load: requests at fixed moments, whether or not the answers to the earlier ones have come.

Latency counts from the moment at which a request was to be sent. A server that stalls for a second is charged with all
that was due in that second; a load that waits for answers would have asked it once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.loop.wire import Lines

_TICK_SECONDS = 0.001


@dataclass(slots=True)
class Paced:
    """What a paced load met with."""

    sent: int = 0
    answered: int = 0
    failures: int = 0
    latencies: list[float] = field(default_factory=list, repr=False)
    """Seconds from the moment at which each answered request was due, in the order of the answers."""

    def percentile(self, share: float) -> float:
        """Milliseconds below which that share of the answers came."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else float("inf")


class Pace:
    """Sends prepared requests at a fixed rate until it is told to stop, or there are no more."""

    def __init__(self, lines: Lines, requests: Sequence[bytes], per_second: float) -> None:
        """
        Args:
            requests: whole HTTP requests.
            per_second: how many of them.
        """
        self._lines = lines
        self._requests = requests
        self._interval = 1 / per_second
        self._stopped = False
        self._all = asyncio.Event()
        self.met = Paced()

    def stop(self) -> None:
        self._stopped = True

    def forget(self) -> None:
        """Leave out of the latencies what was answered until now."""
        self.met.latencies.clear()

    async def run(self) -> Paced:
        """Returns once everything that was sent is answered."""
        begun = time.perf_counter()
        left = iter(self._requests)
        while not self._stopped and self._due(left, begun):  # noqa: ASYNC110 (it is a clock, and waits for nobody)
            await asyncio.sleep(_TICK_SECONDS)
        self._stopped = True
        self._look()
        await self._all.wait()
        return self.met

    def _due(self, left: Iterator[bytes], begun: float) -> bool:
        """Send what is due by now; False when nothing is left."""
        until = time.perf_counter()
        while (due := begun + self.met.sent * self._interval) <= until:
            request = next(left, None)
            if request is None:
                return False
            self.met.sent += 1
            self._lines.send(request, self._answered(due))
        return True

    def _answered(self, due: float) -> Callable[[int, bytes], None]:
        def note(status: int, _body: bytes) -> None:
            if status in (200, 202):
                self.met.answered += 1
                self.met.latencies.append(time.perf_counter() - due)
            else:
                self.met.failures += 1
            self._look()

        return note

    def _look(self) -> None:
        """Whether it is over."""
        if self._stopped and self.met.answered + self.met.failures == self.met.sent:
            self._all.set()
