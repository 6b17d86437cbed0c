"""How long a platform asks us to wait, read from its headers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_MILLISECONDS_FROM = 100_000_000_000
"""An epoch number from here on counts milliseconds: as seconds it would lie in the year 5138."""
_LONGEST = timedelta(hours=1)
"""A wait that is longer is a mistake of somebody's clock."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left of a request quota (`x-ratelimit-*`)."""

    limit: int
    remaining: int
    resets_at: datetime


def quota(headers: Mapping[str, str]) -> Quota | None:
    """The quota that the answer tells of; None when it tells none, or nonsense.

    Trigger.dev's `x-ratelimit-reset` is in epoch milliseconds on every route but the creation of batches, where
    it is in seconds (reference 1.7, 2.3).
    """
    try:
        reset = int(headers["x-ratelimit-reset"])
        seconds = reset / 1000 if reset >= _MILLISECONDS_FROM else reset
        return Quota(
            int(headers["x-ratelimit-limit"]),
            int(headers["x-ratelimit-remaining"]),
            datetime.fromtimestamp(seconds, UTC),
        )
    except (KeyError, ValueError, OverflowError, OSError):
        return None


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """The wait that the answer asks for: `Retry-After` (seconds or a date), else the reset of the quota."""
    asked = _asked(headers.get("retry-after"), now)
    return until_reset(headers, now) if asked is None else _within_bounds(asked)


def until_reset(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """The wait for the quota's reset, when the answer says that nothing is left of it; whatever its status."""
    left = quota(headers)
    return _within_bounds(left.resets_at - now) if left is not None and left.remaining <= 0 else None


def _within_bounds(wait: timedelta) -> timedelta:
    return min(max(wait, timedelta(0)), _LONGEST)


def _asked(value: str | None, now: datetime) -> timedelta | None:
    if value is None:
        return None
    try:
        return timedelta(seconds=float(value))
    except (ValueError, OverflowError):
        pass
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
