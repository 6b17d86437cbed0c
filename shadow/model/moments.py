"""Reading instants as platforms and workers write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
"""No run or effect is of a time outside: whoever says so has a broken clock, or counts in another unit."""


def credible(told: datetime | None) -> datetime | None:
    """That instant; None, so that it counts as untold, where nothing can have happened then."""
    return told if told is not None and EARLIEST <= told <= LATEST else None


def moment(value: Any) -> datetime | None:
    """An ISO 8601 instant, taken as UTC where it names no zone; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
