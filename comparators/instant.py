"""Moments in time and the clock of a run.

A moment is equal on both sides when it is the same moment. A moment taken from a run's own clock (now, or
"7 days later") is equal when it lies equally far from each run's own start. A moment that comes from data
("delivery + 5 days") therefore has to be the same, unless both runs agree on its distance from their start:
the runs start at different times, so a moment from data never has the same distance from both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from comparators.ledger import Outcome
from comparators.path import Parts
from comparators.protected import word_set, words

SLACK = 2.0
"""Seconds by which a worker's clock and its platform's clock may disagree."""
MAX_DRIFT = 29 * 60.0
"""Seconds by which scheduled moments may drift however long the runs took: less than any time zone's step."""

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?",
)
_TIME_WORDS = word_set(
    "at ts time timestamp date datetime when scheduled schedule expires expiry due since until start started"
    " end ended finished created updated sent now deliver"
)
_EPOCH_SECONDS = (946_684_800, 4_102_444_800)
"""The years 2000 to 2100."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment in seconds since the epoch (UTC), and the notation it was written in."""

    seconds: float
    notation: str
    """"zoned", "local" (no time zone given), "seconds", "milliseconds" or "microseconds"."""


@dataclass(frozen=True, slots=True)
class Window:
    """The time in which a run ran, seconds since the epoch."""

    start: float
    finish: float

    @classmethod
    def of(cls, outcome: Outcome) -> Window | None:
        """The window of a run; None when its start is not known."""
        if outcome.started_at is None:
            return None
        finish = outcome.finished_at
        if finish is None:
            finish = outcome.started_at + (outcome.duration_ms or 0.0) / 1000.0
        return cls(outcome.started_at, max(finish, outcome.started_at))

    def holds(self, moment: Moment) -> bool:
        """Whether the moment lies within the run, give or take the slack."""
        return self.start - SLACK <= moment.seconds <= self.finish + SLACK


def moment_in_text(text: str) -> Moment | None:
    """The moment an ISO 8601 date-time names; None for a bare date or anything else."""
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    date, minutes, seconds, fraction, zone = match.groups()
    try:
        parsed = datetime.fromisoformat(f"{date}T{minutes}{seconds or ':00'}{zone or ''}")
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return Moment(parsed.timestamp() + float(fraction or 0), "zoned" if zone else "local")


def moment_in_number(value: float, parts: Parts) -> Moment | None:
    """The moment an epoch number names; None unless its member is named like a time."""
    name = next((part for part in reversed(parts) if isinstance(part, str)), "")
    if not _TIME_WORDS & set(words(name)):
        return None
    low, high = _EPOCH_SECONDS
    if low <= value < high:
        return Moment(float(value), "seconds")
    if low * 1000 <= value < high * 1000:
        return Moment(value / 1000.0, "milliseconds")
    if low * 1_000_000 <= value < high * 1_000_000:
        return Moment(value / 1_000_000.0, "microseconds")
    return None


def same_moment(legacy: Moment, candidate: Moment, legacy_run: Window | None, candidate_run: Window | None) -> bool:
    """Whether two moments correspond: the same moment, or equally far from each run's own start."""
    if legacy.notation != candidate.notation:
        return False
    if legacy.seconds == candidate.seconds:
        return True
    if legacy_run is None or candidate_run is None:
        return False
    if legacy_run.holds(legacy) and candidate_run.holds(candidate):
        return True
    legacy_offset = legacy.seconds - legacy_run.start
    candidate_offset = candidate.seconds - candidate_run.start
    if min(legacy_offset, candidate_offset) < -SLACK:
        # Before the run: read from data, not from a clock.
        return False
    longest = max(legacy_run.finish - legacy_run.start, candidate_run.finish - candidate_run.start)
    return abs(legacy_offset - candidate_offset) <= min(SLACK + longest, MAX_DRIFT)
