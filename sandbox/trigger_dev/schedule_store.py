"""Schedules: declared in code or made over the API (reference 5). They fire only when told to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.trigger_dev.cron import Cron
from sandbox.trigger_dev.durations import iso, now
from sandbox.trigger_dev.environments import Environment
from sandbox.trigger_dev.identifiers import new_cuid
from sandbox.trigger_dev.runs import Run

UPCOMING = 10


@dataclass
class Schedule:
    """One schedule. `declared` ones come with the task's code and cannot be changed over the API."""

    id: str
    environment: Environment
    task: str
    cron: str
    timezone: str
    declared: bool
    active: bool = True
    deduplication_key: str | None = None
    external_id: str | None = None
    last_fired_at: datetime | None = None

    def upcoming(self, count: int, after: datetime | None = None) -> list[datetime]:
        """The next due instants in UTC."""
        parsed, instants = Cron.parse(self.cron), list[datetime]()
        at = after or now()
        while len(instants) < count and (due := parsed.next_after(at, self.timezone)) is not None:
            at = due
            instants.append(due.astimezone(UTC))
        return instants

    @property
    def generator(self) -> dict[str, str]:
        """The cron part; the real service words `description` in English."""
        return {
            "type": "CRON",
            "expression": self.cron,
            "description": f"Cron {self.cron} in {self.timezone}",
        }

    def described(self) -> dict[str, Any]:
        """The schedule as the API shows it."""
        upcoming = self.upcoming(1) if self.active else []
        due = iso(upcoming[0]) if upcoming else None
        kind = {"dev": "DEVELOPMENT", "stg": "STAGING", "prod": "PRODUCTION", "preview": "PREVIEW"}
        environment = {"id": self.environment.id, "type": kind[self.environment.slug]}
        return {
            "id": self.id,
            "type": "DECLARATIVE" if self.declared else "IMPERATIVE",
            "task": self.task,
            "active": self.active,
            "deduplicationKey": self.deduplication_key,
            "externalId": self.external_id,
            "generator": self.generator,
            "timezone": self.timezone,
            "nextRun": due,
            "nextRunEffectiveAt": due,
            "environments": [environment],
        }

    def payload(self, timestamp: datetime) -> dict[str, Any]:
        """What a scheduled run gets: superjson's plain part and its Date hints."""
        upcoming = [iso(at) for at in self.upcoming(UPCOMING, timestamp)]
        plain: dict[str, Any] = {
            "scheduleId": self.id,
            "type": "DECLARATIVE" if self.declared else "IMPERATIVE",
            "timestamp": iso(timestamp),
            "timezone": self.timezone,
            "upcoming": upcoming,
        }
        dates = ["timestamp", *(f"upcoming.{index}" for index in range(len(upcoming)))]
        if self.last_fired_at is not None:
            plain["lastTimestamp"] = iso(self.last_fired_at)
            dates.append("lastTimestamp")
        if self.external_id is not None:
            plain["externalId"] = self.external_id
        return {"json": plain, "meta": {"values": {path: ["Date"] for path in dates}}}


class ScheduleStore:
    """All schedules."""

    def __init__(self) -> None:
        self._schedules: dict[str, Schedule] = {}

    def make(self, environment: Environment, task: str, cron: str, timezone: str, **fields: Any) -> Schedule:
        """Make a schedule, or change the one with the same deduplication key.

        Raises ValueError for a bad cron expression or time zone.
        """
        _check(cron, timezone)
        key = fields.get("deduplication_key")
        for known in self.all(environment):
            if key is not None and known.deduplication_key == key:
                self.change(known, task, cron, timezone, fields.get("external_id"))
                return known
        schedule = Schedule(f"sched_{new_cuid()}", environment, task, cron, timezone, **fields)
        self._schedules[schedule.id] = schedule
        return schedule

    def change(self, schedule: Schedule, task: str, cron: str, timezone: str, external_id: str | None) -> None:
        """Give a schedule other settings. Raises ValueError for a bad cron expression or time zone."""
        _check(cron, timezone)
        schedule.task, schedule.cron, schedule.timezone, schedule.external_id = (
            task,
            cron,
            timezone,
            external_id,
        )

    def find(self, environment: Environment, schedule_id: str) -> Schedule | None:
        """A schedule by id, if it belongs to the environment."""
        schedule = self._schedules.get(schedule_id)
        return schedule if schedule is not None and schedule.environment == environment else None

    def all(self, environment: Environment) -> list[Schedule]:
        """An environment's schedules, oldest first."""
        return [s for s in self._schedules.values() if s.environment == environment]

    def remove(self, schedule: Schedule) -> None:
        """Forget a schedule."""
        del self._schedules[schedule.id]

    def of_run(self, run: Run) -> dict[str, Any] | None:
        """The `schedule` member of a run that a schedule has fired."""
        schedule = self._schedules.get(run.schedule_id or "")
        if schedule is None:
            return None
        named = {"externalId": schedule.external_id, "deduplicationKey": schedule.deduplication_key}
        shown = {name: value for name, value in named.items() if value is not None}
        return {"id": schedule.id, **shown, "generator": schedule.generator}


def _check(cron: str, timezone: str) -> None:
    Cron.parse(cron)
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"unknown time zone {timezone!r}") from None
