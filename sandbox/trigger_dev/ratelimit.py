"""The rate limiters: a token bucket per environment or token, and one for batches (reference 1.7, 2.3)."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class RateLimit:
    """A token bucket: `burst` tokens at most, `refill` more every `interval` seconds."""

    burst: int = 750
    refill: int = 250
    interval: float = 10.0


API_LIMIT = RateLimit()
PUBLIC_TOKEN_LIMIT = RateLimit(burst=60, refill=60, interval=60.0)
BATCH_LIMIT = RateLimit(burst=5_000, refill=500, interval=5.0)


@dataclass(frozen=True)
class Grant:
    """The limiter's decision. `remaining` is -1 when refused; `reset_ms` is the next refill, epoch
    milliseconds.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_ms: int

    def headers(self) -> dict[str, str]:
        """The three headers every limited answer carries."""
        return {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(max(0, self.remaining)),
            "x-ratelimit-reset": str(self.reset_ms),
        }


@dataclass
class _Bucket:
    tokens: int
    refilled_at: float


class RateLimiter:
    """Buckets by key. The time of a refill is fixed by the bucket's first request."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, RateLimit], _Bucket] = {}

    def take(self, key: str, limit: RateLimit, tokens: int = 1, at: float | None = None) -> Grant:
        """Take tokens from the bucket of `key`, or refuse when too few are left. `at` is epoch seconds."""
        moment = time.time() if at is None else at
        bucket = self._buckets.setdefault((key, limit), _Bucket(limit.burst, moment))
        intervals = int((moment - bucket.refilled_at) // limit.interval)
        if intervals > 0:
            bucket.tokens = min(limit.burst, bucket.tokens + intervals * limit.refill)
            bucket.refilled_at += intervals * limit.interval
        reset_ms = int((bucket.refilled_at + limit.interval) * 1000)
        if bucket.tokens < tokens:
            return Grant(False, limit.burst, -1, reset_ms)
        bucket.tokens -= tokens
        return Grant(True, limit.burst, bucket.tokens, reset_ms)
