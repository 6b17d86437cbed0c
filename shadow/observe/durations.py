"""A histogram of seconds that costs next to nothing to add to: prometheus-client's takes a lock twice and walks its
buckets, which for each of thousands of events a second is felt. Here they are noted, and counted a thousand at a time.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

MOST_NOTED = 1000
"""After which they are counted."""


class Durations(Collector):
    """Seconds by one label, for one thread, which is also the one that asks for them."""

    def __init__(
        self, name: str, documentation: str, label: str, *, buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        """
        Args:
            buckets: their upper bounds, ascending and above 0; one without bound is added.
        """
        self.name = name
        self._documentation = documentation
        self.label = label
        self._bounds = [*map(float, buckets), math.inf]
        self._names = [floatToGoString(bound) for bound in self._bounds]  # type: ignore[no-untyped-call]
        self._noted: defaultdict[str, list[float]] = defaultdict(list)
        self._within: dict[str, list[int]] = {}
        """For each label's value, how many took no longer than each bound."""
        self._sums: defaultdict[str, float] = defaultdict(float)
        registry.register(self)

    def observe(self, of: str, seconds: float) -> None:
        """Add one."""
        noted = self._noted[of]
        noted.append(seconds)
        if len(noted) >= MOST_NOTED:
            self._count(of, noted)

    def _count(self, of: str, noted: list[float]) -> None:
        noted.sort()
        before = self._within.get(of) or [0] * len(self._bounds)
        self._within[of] = [
            known + bisect_right(noted, bound) for known, bound in zip(before, self._bounds, strict=True)
        ]
        self._sums[of] += sum(noted)
        noted.clear()

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """As prometheus-client's own shows itself."""
        family = HistogramMetricFamily(self.name, self._documentation, labels=[self.label])
        for of, noted in self._noted.items():
            self._count(of, noted)
            counts = zip(self._names, self._within[of], strict=True)
            family.add_metric([str(of)], list(counts), self._sums[of])
        yield family
