"""What may be spent at a target. Pure: time in seconds is an argument."""

from __future__ import annotations

from dataclasses import dataclass

from shadow.catalogue.outside import Target
from shadow.catalogue.values import RateBudget

_RESERVE = 0.2
"""Share of a target's burst that the reads of runs without authority leave to the others."""


@dataclass(slots=True)
class Bucket:
    """A token bucket that may be overdrawn: who comes later waits longer, in order."""

    per_second: float
    burst: float
    _tokens: float
    _at: float

    @classmethod
    def of(cls, budget: RateBudget, now: float) -> Bucket:
        """A full bucket."""
        return cls(budget.requests_per_minute / 60, float(budget.burst), float(budget.burst), now)

    def take(self, now: float, most: float) -> float:
        """Seconds to wait before the request may be made; at most `most`, then it is made all the same."""
        self._refill(now)
        wait = max(0.0, 1.0 - self._tokens) / self.per_second
        self._tokens -= 1.0
        # Requests that don't wait their whole turn leave no debt that grows without end.
        self._tokens = max(self._tokens, -most * self.per_second)
        return min(wait, most)

    def lacking(self, now: float, reserve: float = 0.0) -> float:
        """Seconds until there is a token beyond that reserve; 0 when there is one. Nothing is taken."""
        self._refill(now)
        return max(0.0, 1.0 + reserve - self._tokens) / self.per_second

    def _refill(self, now: float) -> None:
        self._tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.per_second)
        self._at = max(self._at, now)


@dataclass(slots=True)
class Quota:
    """A target's: all that this process sends there, and the share of reads that are no run's with authority."""

    everything: Bucket | None
    reads: Bucket

    @classmethod
    def of(cls, target: Target, now: float) -> Quota:
        everything = None if target.quota is None else Bucket.of(target.quota, now)
        return cls(everything, Bucket.of(target.reads_quota, now))

    def real(self, now: float, most: float) -> float:
        """A call with authority: how long it waits, at most so long. It is never refused."""
        return 0.0 if self.everything is None else self.everything.take(now, most)

    def shadow_read(self, now: float) -> float:
        """A read without authority: 0 when it may be made now and is counted, else the seconds to come back after."""
        wait = self.reads.lacking(now)
        if self.everything is not None:
            # One token is kept in any case, of a burst of one as well.
            reserve = min(self.everything.burst * _RESERVE, self.everything.burst - 1.0)
            wait = max(wait, self.everything.lacking(now, reserve))
        if wait > 0.0:
            return wait
        self.reads.take(now, 0.0)
        if self.everything is not None:
            self.everything.take(now, 0.0)
        return 0.0
