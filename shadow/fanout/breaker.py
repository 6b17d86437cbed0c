"""A circuit breaker for one platform. Pure: time (seconds of any monotonic clock) is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Circuit(StrEnum):
    CLOSED = "closed"
    """Deliveries flow."""
    OPEN = "open"
    """Nothing is sent: the platform gets time to recover, and no dispatch spends an attempt."""
    HALF_OPEN = "half_open"
    """One delivery at a time is let through to find out."""


@dataclass(slots=True)
class Breaker:
    """Opens after `threshold` failures in a row; each time a trial fails it stays open twice as long.

    Args:
        threshold: failures in a row that open it.
        shortest: seconds it stays open at first.
        longest: seconds it stays open at most.
    """

    threshold: int = 5
    shortest: float = 1.0
    longest: float = 60.0
    _failures: int = 0
    _openings: int = 0
    _reopens_at: float | None = None
    _trial: bool = False

    def circuit(self, now: float) -> Circuit:
        if self._reopens_at is None:
            return Circuit.CLOSED
        return Circuit.OPEN if now < self._reopens_at else Circuit.HALF_OPEN

    def wait(self, now: float) -> float:
        """Seconds until a delivery may be tried; 0 when one may be tried now.

        While a trial is under way, nothing else is let through: the answer is `shortest`.
        """
        if self._reopens_at is None:
            return 0.0
        if now < self._reopens_at:
            return self._reopens_at - now
        return self.shortest if self._trial else 0.0

    def begin(self, now: float) -> None:
        """A delivery starts. In the half-open state it is the trial."""
        if self.circuit(now) is Circuit.HALF_OPEN:
            self._trial = True

    def release(self) -> None:
        """A delivery ended and said nothing about the platform's health."""
        self._trial = False

    def succeeded(self) -> None:
        """The platform answered as a healthy one does."""
        self._failures = 0
        self._openings = 0
        self._reopens_at = None
        self._trial = False

    def failed(self, now: float) -> None:
        """The platform failed to answer, or answered that it is broken."""
        trial, self._trial = self._trial, False
        self._failures += 1
        if not trial and self._failures < self.threshold:
            return
        if not trial and self._reopens_at is not None:
            return  # a delivery begun before it opened: already known
        self._reopens_at = now + min(self.shortest * 2.0**self._openings, self.longest)
        self._openings = min(self._openings + 1, 32)
