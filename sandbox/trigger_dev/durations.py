"""Durations and instants as Trigger.dev writes them (reference 1.3, 6.2)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_SECONDS = {"w": 604_800, "d": 86_400, "hr": 3_600, "h": 3_600, "m": 60, "s": 1}
_NATURAL = re.compile(r"(?:\d+(?:w|d|hr|h|m|s))+")
_PART = re.compile(r"(\d+)(w|d|hr|h|m|s)")
_KEY_TTL = re.compile(r"(\d+)([smhd])")
DEFAULT_KEY_TTL = timedelta(days=30)


def now() -> datetime:
    """The current instant in UTC, to the millisecond: the platform's clock has no finer ticks."""
    instant = datetime.now(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def iso(instant: datetime) -> str:
    """An instant as JavaScript's toISOString writes it: milliseconds and `Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def natural_duration(text: str) -> timedelta | None:
    """`1h30m` and the like; None when the text is no duration (the platform then ignores it)."""
    if not _NATURAL.fullmatch(text):
        return None
    return timedelta(seconds=sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(text)))


_LONGEST_KEY_TTL = 100 * 365 * 86_400
"""Seconds: Python's dates end where JavaScript's go on."""


def key_ttl(text: str | None) -> timedelta:
    """Life of an idempotency key. One number with s, m, h or d; anything else means 30 days."""
    if text is not None and (match := _KEY_TTL.fullmatch(text)):
        return timedelta(seconds=min(int(match[1]) * _SECONDS[match[2]], _LONGEST_KEY_TTL))
    return DEFAULT_KEY_TTL


def instant(text: str) -> datetime | None:
    """An ISO date or date-time; None when it is neither. Without an offset it is UTC."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def delay_until(delay: str | float | None, at: datetime) -> datetime | None:
    """When a delayed run becomes due. A past date or an unreadable string means no delay, not an error.

    Numbers are epoch milliseconds, as `z.coerce.date()` reads them.
    """
    if delay is None:
        return None
    if isinstance(delay, int | float):
        due: datetime | None = datetime.fromtimestamp(delay / 1000, UTC)
    elif (duration := natural_duration(delay)) is not None:
        due = at + duration
    else:
        due = instant(delay)
    return due if due is not None and due > at else None


def stringify_seconds(seconds: int) -> str | None:
    """The text form the platform stores for a ttl given as a number; None for 0 (no ttl)."""
    parts = []
    for unit in ("w", "d", "h", "m", "s"):
        count, seconds = divmod(seconds, _SECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or None
