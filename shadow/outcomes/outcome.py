"""How a run ended, in the same words for every platform."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Status(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    """Its code gave up, retries included."""
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    EXPIRED = "expired"
    """It waited too long to start."""
    CRASHED = "crashed"
    """The platform or its machine failed, not the code."""


class LearnedBy(StrEnum):
    WATCHER = "watcher"
    POLL = "poll"
    REPORT = "report"


@dataclass(slots=True)
class RunOutcome:
    """One run that has ended, as somebody told it. Whoever is handed one changes nothing in it: frozen ones are
    dear to make.

    Which task it is of is said by `task` (the catalogue's id), `function` (Inngest's `app-function`) or
    `legacy_task` (Trigger.dev's task id); which event started it by `event_id` and `event_name`.
    """

    platform: str
    platform_run_id: str
    status: Status
    learned_by: LearnedBy
    asked_for: UUID | None = None
    """The run of ours of which the platform was asked, where this is the answer."""
    task: str | None = None
    function: str | None = None
    legacy_task: str | None = None
    event_id: str | None = None
    """The event's id as the run saw it: `events.delivery_id`."""
    event_name: str | None = None
    trigger: bytes | None = None
    """That event's data, where it is told: a JSON object."""
    triggered_at: datetime | None = None
    """The event's own time."""
    sent_at: datetime | None = None
    """When the event arrived at the platform."""
    idempotency_key: str | None = None
    output: bytes | None = None
    """JSON; `null` when the run returned nothing, None when it is not known what it returned."""
    error_name: str | None = None
    error_message: str | None = None
    attempts: int | None = None
    version: str | None = None
    cost_cents: float | None = None
    executions: int | None = None
    """Of the run and its steps together, as Inngest counts them."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
