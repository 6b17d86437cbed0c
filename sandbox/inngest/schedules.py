"""Cron schedules: five fields, lists, ranges, steps and names, with an optional `TZ=` prefix."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
DAYS = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAMES: tuple[dict[str, int], ...] = ({}, {}, {}, MONTHS, DAYS)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The minutes at which a cron expression is due."""

    fields: tuple[frozenset[int], ...]
    any_day: bool
    zone: tzinfo

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Raises ValueError that names the expression when it is not a five-field cron."""
        zone: tzinfo = UTC
        expression = text.strip()
        if expression.startswith(("TZ=", "CRON_TZ=")):
            setting, _, expression = expression.partition(" ")
            zone = ZoneInfo(setting.partition("=")[2])
        parts = expression.split()
        if len(parts) != 5:
            raise ValueError(f"expected a cron expression of five fields, found {text!r}")
        try:
            fields = tuple(_field(part, *RANGES[place], NAMES[place]) for place, part in enumerate(parts))
        except ValueError as error:
            raise ValueError(f"cannot read cron expression {text!r}: {error}") from error
        weekdays = frozenset(day % 7 for day in fields[4])
        return cls((*fields[:4], weekdays), parts[2] == "*" or parts[4] == "*", zone)

    def is_due(self, moment: datetime) -> bool:
        """Whether the minute of a moment is one of the schedule's; day of month and of week are
        alternatives.
        """
        local = moment.astimezone(self.zone)
        minutes, hours, days, months, weekdays = self.fields
        in_month, in_week = local.day in days, local.isoweekday() % 7 in weekdays
        day = (in_month and in_week) if self.any_day else (in_month or in_week)
        return local.minute in minutes and local.hour in hours and local.month in months and day


def _field(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.lower().split(","):
        span, slash, step = part.partition("/")
        if span == "*":
            first, last = low, high
        else:
            start, dash, end = span.partition("-")
            first = names[start] if start in names else int(start)
            last = (names[end] if end in names else int(end)) if dash else high if slash else first
        if not (low <= first <= last <= high) or (slash and int(step) < 1):
            raise ValueError(f"{part!r} is not within {low}-{high}")
        found.update(range(first, last + 1, int(step) if slash else 1))
    return frozenset(found)
