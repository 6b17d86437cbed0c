"""How many requests may be spent on asking a platform. Pure: time in seconds is an argument."""

from __future__ import annotations

from dataclasses import dataclass

from shadow.catalogue.values import RateBudget

_RESERVE = 0.2
"""Share of the platform's own quota that is left to the producers."""


@dataclass(slots=True)
class Budget:
    """A token bucket, further held back by what the platform says is left of its quota.

    The bucket is this process's; the platform's own count (`x-ratelimit-remaining`) covers all that share the
    environment's quota, producers and other processes included.
    """

    per_second: float
    burst: float
    _tokens: float
    _at: float
    _held_until: float = 0.0

    @classmethod
    def of(cls, budget: RateBudget, now: float) -> Budget:
        """A full bucket."""
        return cls(budget.requests_per_minute / 60, float(budget.burst), float(budget.burst), now)

    def wait(self, now: float) -> float:
        """Seconds until a request may be made; 0 when one may be made now."""
        self._refill(now)
        lacking = max(0.0, 1.0 - self._tokens) / self.per_second
        return max(lacking, self._held_until - now, 0.0)

    def room(self, now: float, within: float) -> int:
        """How many requests may be made within so many seconds."""
        self._refill(now)
        held = max(self._held_until - now, 0.0)
        return 0 if held >= within else max(int(self._tokens + (within - held) * self.per_second), 0)

    def left(self, now: float) -> float:
        """The share of the bucket that is left, from 0 to 1; 0 while the platform wants no requests."""
        self._refill(now)
        return 0.0 if self._held_until > now else max(self._tokens, 0.0) / self.burst

    def spend(self, now: float) -> None:
        """One request is made."""
        self._refill(now)
        self._tokens -= 1.0

    def hold(self, until: float) -> None:
        """No request before that moment: the platform said so."""
        self._held_until = max(self._held_until, until)

    def quota(self, limit: int, remaining: int, resets_at: float) -> None:
        """What the platform said of its quota: asking stops while less than a fifth is left."""
        if remaining < limit * _RESERVE:
            self.hold(resets_at)

    def _refill(self, now: float) -> None:
        if now < self._at:
            # The clock was set back. Whatever was to be waited for takes as long as before, and not that much longer.
            self._held_until -= self._at - now
            self._at = now
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.per_second)
        self._at = now
