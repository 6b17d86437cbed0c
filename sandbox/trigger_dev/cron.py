"""When a five-field cron expression is due next (reference 5). No seconds, no `L`, `W` or `#`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
_HORIZON = timedelta(days=366 * 5)


@dataclass(frozen=True)
class Cron:
    """A parsed expression: the allowed values of each field."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    @classmethod
    def parse(cls, expression: str) -> Cron:
        """Parse `minute hour day month weekday`. Raises ValueError naming the field that is wrong."""
        fields = expression.split()
        if len(fields) != len(_FIELDS):
            raise ValueError(f"a cron expression has 5 fields, found {len(fields)} in {expression!r}")
        minutes, hours, days, months, weekdays = (
            _values(text, *field) for text, field in zip(fields, _FIELDS, strict=True)
        )
        return cls(
            minutes,
            hours,
            days,
            months,
            frozenset(day % 7 for day in weekdays),
            any_day=fields[2].startswith("*"),
            any_weekday=fields[4].startswith("*"),
        )

    def next_after(self, instant: datetime, timezone: str = "UTC") -> datetime | None:
        """The next due minute after `instant`, in the zone's wall clock; None when there is none in five
        years.
        """
        zone = ZoneInfo(timezone)
        candidate = instant.astimezone(zone).replace(second=0, microsecond=0) + timedelta(minutes=1)
        end = candidate + _HORIZON
        while candidate < end:
            if candidate.month not in self.months or not self._day_matches(candidate):
                candidate = candidate.replace(hour=0, minute=0) + timedelta(days=1)
            elif candidate.hour not in self.hours:
                candidate = candidate.replace(minute=0) + timedelta(hours=1)
            elif candidate.minute not in self.minutes:
                candidate += timedelta(minutes=1)
            else:
                return candidate
        return None

    def _day_matches(self, moment: datetime) -> bool:
        by_date = moment.day in self.days
        by_weekday = moment.isoweekday() % 7 in self.weekdays
        # When both fields are restricted, cron takes either.
        if self.any_day or self.any_weekday:
            return by_date and by_weekday
        return by_date or by_weekday


def _values(text: str, name: str, low: int, high: int) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        try:
            start = low if span == "*" else _number(first, name)
            stop = _number(last, name) if last else high if span == "*" or step else start
            stride = int(step) if step else 1
            if not (low <= start <= stop <= high and stride > 0):
                raise ValueError
        except ValueError:
            raise ValueError(f"cron field {name!r} allows {low} to {high}, found {part!r}") from None
        values.update(range(start, stop + 1, stride))
    return frozenset(values)


def _number(text: str, name: str) -> int:
    names = {"month": _MONTHS, "day of week": _DAYS}.get(name, ())
    lowered = text.lower()
    if lowered in names:
        return names.index(lowered) + (1 if name == "month" else 0)
    return int(text)
