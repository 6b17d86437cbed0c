"""How long a failed dispatch waits, and when it is given up. Pure: chance and time are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """Full jitter: a wait is drawn evenly from nothing up to a ceiling that doubles with each attempt.

    Spreading over the whole interval keeps many dispatches that failed together from coming back together.
    """

    base: timedelta = timedelta(seconds=0.5)
    factor: float = 2.0
    cap: timedelta = timedelta(minutes=5)
    max_attempts: int = 20
    """About half an hour at the least; an outage spends none of them, since the breaker is open meanwhile."""

    def ceiling(self, attempts: int) -> timedelta:
        """The longest wait after that many attempts (from 1)."""
        doublings = min(max(attempts - 1, 0), 64)  # beyond it the cap holds anyway, and floats stay finite
        seconds = self.base.total_seconds() * self.factor**doublings
        return timedelta(seconds=min(seconds, self.cap.total_seconds()))

    def wait(self, attempts: int, chance: float, *, asked: timedelta | None = None) -> timedelta:
        """The wait after that many attempts.

        Args:
            attempts: deliveries tried so far, from 1.
            chance: evenly distributed in [0, 1).
            asked: what the platform asked for (`Retry-After`): at least that long, jittered upwards.
        """
        jittered = self.ceiling(attempts) * chance
        return jittered if asked is None else asked + min(jittered, asked / 2)

    def exhausted(self, attempts: int) -> bool:
        """Whether the dispatch becomes a dead letter instead of being tried again."""
        return attempts >= self.max_attempts
