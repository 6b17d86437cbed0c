"""Figures in the sentences that a gate says."""

from __future__ import annotations

from datetime import timedelta

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def count(number: int, noun: str) -> str:
    """`1 pair`, `1,200 pairs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent(share: float) -> str:
    """With as many digits as tell it apart from nothing: `0.2 %`."""
    return f"{100 * share:.3g} %"


def days(span: timedelta) -> str:
    """In the largest unit of which it holds one and a half: `36 hours`, `2 days`."""
    seconds = span.total_seconds()
    for size, unit in _UNITS:
        if seconds >= 1.5 * size or size == 1 or seconds == size:
            number = seconds / size
            text = f"{number:.3g}"
            return f"{text} {unit}" if text == "1" else f"{text} {unit}s"
    raise AssertionError("seconds are the last unit")
