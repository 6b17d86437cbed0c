"""How fast one tenant's events may be delivered. Pure: time in seconds is an argument."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

_PRUNE_FROM = 10_000
"""Buckets from which those that are full again are forgotten."""


@dataclass(slots=True)
class TenantRates:
    """Token buckets, one a key, that give out times instead of refusals.

    A bucket is kept as the moment at which its last token is back, so that one number says it all. `reserve`
    answers when the caller may go; callers that must wait get different moments, so that a backlog comes back
    spread out and not all at once.

    Args:
        burst_seconds: how many seconds' worth of deliveries may go at once; at least one delivery always.
    """

    burst_seconds: float = 1.0
    _full_at: dict[Hashable, float] = field(default_factory=dict)

    def reserve(self, key: Hashable, per_second: float, now: float) -> float:
        """Take the next token of that key's bucket and say when it is there: `now`, or later."""
        interval = 1.0 / per_second
        depth = max(self.burst_seconds, interval)
        full_at = max(self._full_at.get(key, now), now) + interval
        self._full_at[key] = full_at
        if len(self._full_at) > _PRUNE_FROM:
            self._full_at = {known: at for known, at in self._full_at.items() if at > now}
        return max(now, full_at - depth)

    def __len__(self) -> int:
        return len(self._full_at)
