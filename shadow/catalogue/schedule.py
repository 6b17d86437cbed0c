"""A cron expression in its time zone: the nominal times at which it is due. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

FIELDS = 5
"""Of an expression, as both platforms take it: minute, hour, day of month, month, day of week."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a task is due.

    Where the clocks change it does as Debian's cron: a time that is skipped is due right after, one that comes twice is
    due the first time; what is due every hour or oftener follows the elapsed time. The platforms have rules of their
    own for that night, so what they name as a tick's nominal time counts, and this only says which ticks to expect.
    """

    expression: str
    zone: ZoneInfo

    @classmethod
    def parse(cls, expression: str, timezone: str = "UTC") -> Schedule:
        """
        Raises:
            ValueError: no expression of five fields that is ever due, or an unknown zone; the message says which.
        """
        zone = zone_of(timezone)
        found = len(expression.split())
        if found != FIELDS:
            raise ValueError(f"{found} field{'' if found == 1 else 's'}, expected {FIELDS}")
        try:
            next(CronSim(expression, datetime(2024, 1, 1, tzinfo=zone)))
        except CronSimError as error:
            raise ValueError(str(error)) from None
        except StopIteration:
            raise ValueError("it is never due") from None
        return cls(expression, zone)

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The nominal times after a moment, in UTC and in order, without end."""
        for due in CronSim(self.expression, moment.astimezone(self.zone)):
            yield due.astimezone(UTC)

    def next_after(self, moment: datetime) -> datetime:
        return next(self.after(moment))

    def between(self, after: datetime, until: datetime, most: int) -> list[datetime]:
        """The first `most` nominal times after the one moment, up to and including the other."""
        found: list[datetime] = []
        for due in self.after(after):
            if due > until or len(found) >= most:
                break
            found.append(due)
        return found


def zone_of(timezone: str) -> ZoneInfo:
    """
    Raises:
        ValueError: there is no such zone.
    """
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"no time zone {timezone!r}") from None


def expression_of(cron: str) -> tuple[str, str]:
    """Expression and zone of a trigger as Inngest writes it: with `TZ=Europe/Berlin ` before it, or in UTC."""
    text = cron.strip()
    if text.startswith(("TZ=", "CRON_TZ=")):
        setting, _, text = text.partition(" ")
        return " ".join(text.split()), setting.partition("=")[2]
    return " ".join(text.split()), "UTC"
