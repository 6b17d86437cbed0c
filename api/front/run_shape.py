"""An issued run as Trigger.dev's API shows its own (reference 3.1 to 3.3). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shadow.causes.batches import issued_run
from shadow.fanout.issued import IssuedRun
from shadow.intake.trigger_calls import CallRefused, trigger_call

STATUSES = {
    "completed": "COMPLETED",
    "failed": "FAILED",
    "cancelled": "CANCELED",
    "timed_out": "TIMED_OUT",
    "expired": "EXPIRED",
    "crashed": "CRASHED",
}
"""Trigger.dev's words for how a run ended."""
FINAL = frozenset({*STATUSES.values(), "SYSTEM_FAILURE"})
_COMPLETED = frozenset({"COMPLETED", "FAILED", "CANCELED", "CRASHED", "SYSTEM_FAILURE"})
"""What `isCompleted` means: EXPIRED and TIMED_OUT are not in it (reference 3.3)."""


def status_of(run: IssuedRun, now: datetime, *, seen: bool = False) -> str:
    """Its status in Trigger.dev's words.

    Args:
        seen: the candidate's platform shows the run, so that it has begun.
    """
    execution = run.execution
    if execution.status is not None:
        return STATUSES.get(execution.status, "SYSTEM_FAILURE")
    if run.scheduled_at is not None and run.scheduled_at > now:
        return "DELAYED"
    return "EXECUTING" if seen or execution.started_at is not None else "QUEUED"


def listed(run: IssuedRun, now: datetime, *, seen: bool = False) -> dict[str, Any]:
    """As in the list of runs."""
    status, execution = status_of(run, now, seen=seen), run.execution
    completed = status in _COMPLETED
    return {
        "id": issued_run(run.event),
        "taskIdentifier": run.legacy_task,
        **present(idempotencyKey=_shown_key(run)),
        "status": status,
        "createdAt": iso(run.accepted_at),
        "updatedAt": iso(execution.finished_at or execution.started_at or run.accepted_at),
        **{name: iso(moment) for name, moment in _moments(run).items() if moment is not None},
        **present(ttl=run.options.ttl),
        "costInCents": 0,
        "baseCostInCents": 0,
        "durationMs": duration(run),
        "isTest": run.options.is_test,
        "depth": 1 if run.is_child else 0,
        "tags": list(run.tags),
        "isQueued": status in ("QUEUED", "DELAYED"),
        "isExecuting": status == "EXECUTING",
        "isCompleted": completed,
        "isFailed": completed and status != "COMPLETED",
        "isSuccess": status == "COMPLETED",
        "isCancelled": status == "CANCELED",
        "isWaiting": False,
        **present(metadata=run.metadata),
    }


def whole(run: IssuedRun, now: datetime, *, seen: bool = False) -> dict[str, Any]:
    """As read by its id, without its output."""
    execution = run.execution
    return {
        **listed(run, now, seen=seen),
        "triggerFunction": "trigger",
        **payload(run),
        **present(error=error(run)),
        "attemptCount": execution.attempts or (0 if execution.started_at is None and not seen else 1),
        "attempts": [],
        "relatedRuns": {"children": []},
    }


def error(run: IssuedRun) -> dict[str, Any] | None:
    """Why it ended otherwise than well; None of any other run, and of one that was cancelled or ran out of time
    without a word."""
    execution = run.execution
    if execution.status in (None, "completed"):
        return None
    if execution.status in ("cancelled", "expired") and execution.error_message is None:
        return None
    message = execution.error_message or f"the run has {execution.status}"
    return {"message": message, **present(name=execution.error_name)}


def payload(run: IssuedRun) -> dict[str, Any]:
    """Its `payload`, where it is at hand."""
    if run.request is None:
        return {}
    try:
        return {"payload": trigger_call(run.legacy_task, run.request, {}).payload()}
    except (CallRefused, ValueError, RecursionError):  # it lies in the platform's store, or is no JSON
        return {}


def duration(run: IssuedRun) -> int:
    """Milliseconds between its start and its end; 0 while either is unknown."""
    started, finished = run.execution.started_at, run.execution.finished_at
    if started is None or finished is None:
        return 0
    return max(int((finished - started).total_seconds() * 1000), 0)


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def present(**members: Any) -> dict[str, Any]:
    """Those members that there are."""
    return {name: value for name, value in members.items() if value is not None}


def _moments(run: IssuedRun) -> Mapping[str, datetime | None]:
    execution = run.execution
    is_expired = execution.status == "expired"
    return {
        "startedAt": execution.started_at,
        "finishedAt": execution.finished_at,
        "delayedUntil": run.scheduled_at,
        "expiredAt": execution.finished_at if is_expired else None,
    }


def _shown_key(run: IssuedRun) -> str | None:
    """As its user called it, where the SDK sent that along; as on the wire else."""
    if run.key is None or run.request is None:
        return run.key
    try:
        return trigger_call(run.legacy_task, run.request, {}).shown_key or run.key
    except CallRefused:
        return run.key
