"""Durations and moments as Inngest writes them: `1d2h30m`, RFC 3339, HTTP dates."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d|w)")
MINIMUM_RETRY = 1.0
MAXIMUM_RETRY = 86400.0


def parse_duration(text: str) -> float:
    """Seconds of a duration such as "300ms", "5m" or "1d12h". Raises ValueError for anything else."""
    parts = PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"expected a duration such as 30s, 5m or 1d12h, found {text!r}")
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def parse_moment(text: str) -> datetime:
    """An RFC 3339 or HTTP date. Raises ValueError when it is neither."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError as error:
            raise ValueError(f"expected an RFC 3339 or HTTP date, found {text!r}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def seconds_until(text: str, now: datetime) -> float:
    """Seconds from now of a sleep's name: a moment (never below 0) or a duration."""
    if len(text) >= 10:
        try:
            return max(0.0, (parse_moment(text) - now).total_seconds())
        except ValueError:
            pass
    return parse_duration(text)


def parse_retry_after(header: str, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header, held between one second and a day; None when it cannot be
    read.
    """
    try:
        seconds = float(int(header)) if len(header) <= 7 else (parse_moment(header) - now).total_seconds()
    except ValueError:
        return None
    return min(max(seconds, MINIMUM_RETRY), MAXIMUM_RETRY)


def rfc3339(moment: datetime) -> str:
    """As Go prints a time: UTC, a fraction without trailing zeros, Z."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return text + "Z"


def millis(moment: datetime) -> int:
    """Unix milliseconds."""
    return int(moment.timestamp() * 1000)
