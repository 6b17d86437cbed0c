"""Moments as databases and languages write them, in one notation; what time zone one is told in is no matter."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_INSTANT = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[T ](?P<minutes>\d\d:\d\d)(?P<seconds>:\d\d)?(?:\.(?P<fraction>\d{1,9}))?"
    r"(?: ?(?P<zone>Z|[+-]\d\d(?::?\d\d)?))?"
)
_SHORTEST = len("2026-01-05T10:00")


def instant(text: str) -> str:
    """A moment as `2026-01-05T10:00:00.25Z`, without the `Z` where it is told without a zone; what is none stays."""
    if len(text) < _SHORTEST or text[4] != "-" or (match := _INSTANT.fullmatch(text)) is None:
        return text
    zone = match["zone"]
    if zone is not None and zone != "Z" and len(zone) == 3:
        zone += ":00"
    try:
        moment = datetime.fromisoformat(f"{match['date']}T{match['minutes']}{match['seconds'] or ':00'}{zone or ''}")
        if zone is not None:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    fraction = (match["fraction"] or "").rstrip("0")
    told = moment.replace(tzinfo=None).isoformat() + (f".{fraction}" if fraction else "")
    return told if zone is None else f"{told}Z"
