"""Timestamp: two moments are the same, or lie equally far from their own run's start."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from comparators.canonical import JSON
from comparators.instant import Moment, Window, moment_in_number, moment_in_text, same_moment
from comparators.rules.rule import Pair, Place, RuleError, ValueRule

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_MAIL_DATE = re.compile(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d(?::\d\d)? \S+")
_NAMED_LIKE_A_TIME = ("at",)
"""A number that a rule calls a moment is one, whatever its member is called."""


@dataclass(frozen=True, slots=True)
class TimestampRule(ValueRule):
    """A moment: ISO 8601, the date of a mail or HTTP header, epoch seconds or milliseconds, or a bare day.

    Where both values are moments the rule decides alone, so it may be stricter than what holds without it: a moment
    that comes from data (`relative` off) is the same on both sides or it differs.
    """

    relative: bool = True
    """Whether it follows the run's own clock."""
    tolerance: float | None = None
    """Seconds; by default what the clocks and the runs' own length explain, and none when not relative."""
    timezone: str = ""
    """Of moments that name none, and of bare days; UTC."""

    type: ClassVar[str] = "timestamp"
    may_narrow: ClassVar[bool] = True

    def check(self) -> None:
        if self.tolerance is not None and self.tolerance < 0:
            raise RuleError("tolerance", str(self.tolerance), "0 or more seconds")
        _zone(self.timezone)

    def weakens(self) -> str | None:
        return "taken for a moment"

    def says(self, legacy: JSON, candidate: JSON, place: Place, pair: Pair) -> bool | None:
        if isinstance(legacy, str) and isinstance(candidate, str) and _is_day(legacy) and _is_day(candidate):
            return self._days_correspond(legacy, candidate, pair)
        mine, theirs = self._moment(legacy), self._moment(candidate)
        if mine is None or theirs is None or mine.notation != theirs.notation:
            return None
        if mine.seconds == theirs.seconds:
            return True
        if not self.relative:
            return abs(mine.seconds - theirs.seconds) <= (self.tolerance or 0.0)
        if pair.is_known_moment(mine.seconds) or pair.is_known_moment(theirs.seconds):
            return False
        if self.tolerance is None or pair.legacy_run is None or pair.candidate_run is None:
            return same_moment(mine, theirs, pair.legacy_run, pair.candidate_run)
        offset = (mine.seconds - pair.legacy_run.start) - (theirs.seconds - pair.candidate_run.start)
        return abs(offset) <= self.tolerance

    def _moment(self, value: JSON) -> Moment | None:
        if isinstance(value, bool):
            return None
        if isinstance(value, int | float):
            return moment_in_number(value, _NAMED_LIKE_A_TIME)
        if not isinstance(value, str):
            return None
        if _MAIL_DATE.fullmatch(value):
            try:
                return Moment(parsedate_to_datetime(value).timestamp(), "mail")
            except ValueError:
                return None
        moment = moment_in_text(value)
        if moment is not None and moment.notation == "local" and self.timezone:
            local = datetime.fromtimestamp(moment.seconds, UTC).replace(tzinfo=_zone(self.timezone))
            return Moment(local.timestamp(), "zoned")
        return moment

    def _days_correspond(self, legacy: str, candidate: str, pair: Pair) -> bool | None:
        """Days count from the day on which each run ran; a run over midnight ran on two."""
        if legacy == candidate:
            return True
        if not self.relative or pair.legacy_run is None or pair.candidate_run is None:
            return False
        zone = _zone(self.timezone)
        mine = {(date.fromisoformat(legacy) - day).days for day in _days(pair.legacy_run, zone)}
        theirs = {(date.fromisoformat(candidate) - day).days for day in _days(pair.candidate_run, zone)}
        return bool(mine & theirs)


def _is_day(text: str) -> bool:
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _days(run: Window, zone: tzinfo) -> set[date]:
    return {datetime.fromtimestamp(moment, zone).date() for moment in (run.start, run.finish)}


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise RuleError("timezone", repr(name), "a time zone such as Europe/Berlin") from error
