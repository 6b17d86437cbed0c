"""An outcome as Inngest tells it, whether it was pushed or asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ulid import ULID

from shadow.model.json_text import write_json
from shadow.outcomes.outcome import LearnedBy, RunOutcome, Status


def outcome_of(
    *,
    platform: str,
    run_id: str,
    status: Status,
    result: Any,
    learned_by: LearnedBy,
    function: str,
    event_id: str | None,
    event_name: str | None,
    finished_at: datetime | None,
    not_before: datetime | None,
    asked_for: UUID | None = None,
    trigger: bytes | None = None,
) -> RunOutcome:
    """The outcome of one run.

    Args:
        result: what the run returned; of a failed run its error (reference 2.3, 3.1).
        not_before: the event's own time: a delayed run starts then, although it was scheduled at once.
        trigger: the event's data, where they are told.
    """
    error = result if status is not Status.COMPLETED and isinstance(result, dict) else {}
    return RunOutcome(
        platform=platform,
        platform_run_id=run_id,
        status=status,
        learned_by=learned_by,
        asked_for=asked_for,
        function=function,
        event_id=event_id,
        event_name=event_name,
        trigger=trigger,
        triggered_at=not_before,
        sent_at=_started_at(run_id, None),
        output=write_json(result) if status is Status.COMPLETED else None,
        error_name=_text(error.get("name")),
        error_message=_text(error.get("message")),
        started_at=_started_at(run_id, not_before),
        finished_at=finished_at,
    )


def _started_at(run_id: str, not_before: datetime | None) -> datetime | None:
    """When the run was scheduled, which its id says, or when its event was due if that is later."""
    try:
        scheduled: datetime = ULID.from_str(run_id).datetime
    except ValueError:
        return not_before
    return max(scheduled.astimezone(UTC), not_before) if not_before else scheduled.astimezone(UTC)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
