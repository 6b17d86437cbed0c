"""The events which the server itself sends: a run's end, an invocation, a cron's timer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sandbox.inngest.durations import millis, rfc3339
from sandbox.inngest.events import CANCELLED, FAILED, FINISHED, INVOKED, METADATA_KEY, TIMER, Event
from sandbox.inngest.identifiers import new_trace_id, new_ulid
from sandbox.inngest.runs import RunRecord, RunStatus

UNENDING = (FINISHED, FAILED)
"""Runs which these events started send no such events themselves, or a watcher would watch itself."""

DEFAULT_MESSAGE = "Function execution error"


def end_events(run: RunRecord, triggers: list[Event], failure: str | None, now: datetime) -> list[Event]:
    """What is sent when a run has ended: finished, and failed or cancelled beside it.

    `failure` is the server's own account of a failed call, used where the app gave no error of its own.
    """
    sent: list[Event] = []
    base: dict[str, Any] = {
        "function_id": run.function_id,
        "run_id": run.run_id,
        "events": [event.stored_form() for event in triggers],
        METADATA_KEY: {"status": run.status.value},
    }
    if run.status is not RunStatus.CANCELLED:
        base["result"] = run.output
    if run.status is RunStatus.FAILED:
        base["error"] = standard_error(run.output, failure)
    for position, trigger in enumerate(triggers):
        correlation_id = trigger.correlation_id()
        if trigger.name in UNENDING or (position > 0 and correlation_id is None):
            continue
        data = {**base, "event": trigger.sdk_form()}
        if correlation_id is not None:
            data["correlation_id"] = correlation_id
        sent.append(_system_event(FINISHED, data, now, run.trace_id, None, trigger))
        if run.status is RunStatus.CANCELLED:
            sent.append(_system_event(CANCELLED, data, now, run.trace_id, run.run_id, trigger))
        elif run.status is RunStatus.FAILED:
            sent.append(_system_event(FAILED, data, now, run.trace_id, run.run_id, trigger))
    return sent


def standard_error(output: Any, failure: str | None) -> dict[str, Any]:
    """The error of a finished event, drawn from what the app answered: error, name, message and perhaps
    stack.
    """
    fallback = failure or DEFAULT_MESSAGE
    fields = output if isinstance(output, dict) else {"message": output} if isinstance(output, str) else {}
    name = fields.get("name")
    error: dict[str, Any] = {
        "error": name if isinstance(name, str) and name else fallback,
        "name": name if isinstance(name, str) and name else "Error",
        "message": fields.get("message") or fallback,
    }
    if fields.get("stack"):
        error["stack"] = fields["stack"]
    return error


def invocation(
    function_id: str,
    payload: dict[str, Any],
    now: datetime,
    *,
    trace_id: str | None = None,
    source: RunRecord | None = None,
    app_id: str = "",
    correlation_id: str = "",
    name: str = "",
    expires_at: int = 0,
) -> Event:
    """The event `inngest/function.invoked` which starts exactly one function."""
    metadata: dict[str, Any] = {
        "fn_id": function_id,
        "expire": expires_at,
        "gid": "",
        "name": name,
        "source_app_id": app_id,
        "source_fn_id": source.function_uuid if source else "",
        "source_fn_v": 1 if source else 0,
    }
    if correlation_id:
        metadata["correlation_id"] = correlation_id
    internal_id = new_ulid(millis(now))
    return Event(
        internal_id=internal_id,
        id=payload.get("id") or internal_id,
        name=INVOKED,
        data={**(payload.get("data") or {}), METADATA_KEY: metadata},
        ts=millis(now),
        received_at=now,
        trace_id=trace_id or new_trace_id(),
        user=payload.get("user") or {},
        v=payload.get("v"),
    )


def timer(cron: str, scheduled_at: datetime, now: datetime) -> Event:
    """The event of a cron run; its id is the time it was due, by which runs are deduplicated."""
    due = rfc3339(scheduled_at)
    return Event(
        internal_id=new_ulid(millis(now)),
        id=due,
        name=TIMER,
        data={"cron": cron, "scheduledAt": due, "fireAt": due},
        ts=millis(scheduled_at),
        received_at=now,
        trace_id=new_trace_id(),
    )


def _system_event(
    name: str, data: dict[str, Any], now: datetime, trace_id: str, event_id: str | None, trigger: Event
) -> Event:
    internal_id = new_ulid(millis(now))
    return Event(
        internal_id=internal_id,
        id=event_id or internal_id,
        name=name,
        data=data,
        ts=millis(now),
        received_at=now,
        trace_id=trace_id,
        meta=trigger.meta,
    )
