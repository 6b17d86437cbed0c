"""A trigger call as an arrival: the intent that is on disk before the call is forwarded. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from shadow.catalogue import Document, ResolvedTask
from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Decision
from shadow.intake.arrival import Arrival, DedupeKey, Descent, Door, PlannedDispatch, Stage, State
from shadow.intake.storable import key_of, storable_or_none
from shadow.intake.trigger_calls import TriggerCall, derived_key
from shadow.model.ids import new_id

_REQUEST_LIFETIME = timedelta(hours=24)
"""How long an SDK's request key is remembered, as upstream (reference 6.4)."""


@dataclass(frozen=True, slots=True)
class WireKey:
    """The idempotency key under which the call goes to the platform, and what makes a second call the same."""

    value: str
    ours: bool
    """True when the producer chose none and the door has to send this one."""
    dedupe: DedupeKey | None


@dataclass(frozen=True, slots=True)
class Mapped:
    """The event's data for the candidate; empty, with the reason, where the payload gives none."""

    data: dict[str, Any]
    problem: str | None = None
    deferred: bool = False
    """The payload has yet to be fetched from the platform's store: the data come later."""


def wire_key(source: str, task: str, call: TriggerCall, request_key: str | None) -> WireKey:
    """The producer's own key, else one derived from the key of its request, else one that only the stored intent
    knows.

    Args:
        task: the catalogue's id of it.
        request_key: the same whenever the producer's client repeats its request; None when it has no such.
    """
    scope = f"{source}:{task}"
    if call.producer_key is not None:
        dedupe = DedupeKey(scope, key_of("key", call.producer_key), call.key_lifetime)
        return WireKey(call.producer_key, False, dedupe)
    if request_key is None:
        return WireKey(derived_key(scope, str(new_id())), True, None)
    value = derived_key(scope, request_key)
    return WireKey(value, True, DedupeKey(scope, key_of("request", value), _REQUEST_LIFETIME))


def arrival(
    source: str,
    origin: Origin,
    task: ResolvedTask,
    call: TriggerCall,
    key: WireKey,
    mapped: Mapped,
    tenant: str | None,
    decision: Decision,
    dispatches: tuple[PlannedDispatch, ...],
    *,
    descent: Descent | None = None,
    ramp_key: str | None = None,
    headers: tuple[tuple[str, str], ...],
    now: datetime,
    patience: timedelta,
) -> Arrival:
    """The intent to start one run.

    Args:
        dispatches: as planned; legacy's is left alone for `patience`, in which the door forwards the call, and the
            candidate's, beside it, is held until legacy has taken it.
        descent: of a call that a run makes.
        headers: of the call, none of them a credential.
    """
    is_alone = all(dispatch.side is Side.CANDIDATE for dispatch in dispatches)
    return Arrival(
        source=source,
        door=Door.TRIGGER,
        origin=origin,
        name=task.event,
        data=orjson.dumps(mapped.data),
        dispatches=tuple(_waiting(dispatch, patience, mapped, is_alone) for dispatch in dispatches),
        decision=decision,
        descent=descent,
        tenant=tenant,
        external_id=storable_or_none(call.producer_key),
        occurred_at=now,
        scheduled_at=call.scheduled_at(now),
        dedupe=key.dedupe,
        request=call.body,
        headers=headers,
        mapping_error=mapped.problem,
        idempotency_key=key.value,
        ramp_key=ramp_key,
    )


def _waiting(dispatch: PlannedDispatch, patience: timedelta, mapped: Mapped, is_alone: bool) -> PlannedDispatch:
    if dispatch.side is Side.LEGACY:
        # Never kept back for its twin: the answer to the call is the run's id.
        return replace(dispatch, state=State.DUE, delay=patience)
    waits = State.DUE if is_alone else State.HELD
    if mapped.deferred:
        return replace(dispatch, stage=Stage.MAP, state=waits)
    # What cannot be mapped still runs on legacy: the producer's run must not suffer for the shadow's sake.
    return replace(dispatch, state=State.DEAD if mapped.problem else waits)


def mapped(task: ResolvedTask, call: TriggerCall) -> Mapped:
    """Map a call's payload by the task's `candidate.data`, if it came along."""
    if call.stored_at is not None:
        return Mapped({}, deferred=True)
    try:
        payload = call.payload()
    except (ValueError, RecursionError) as error:
        return Mapped({}, _problem(error))
    return mapped_payload(task, payload)


def mapped_payload(task: ResolvedTask, payload: Any) -> Mapped:
    """Map a payload by the task's `candidate.data`."""
    try:
        data = task.candidate.data.evaluate(Document(body=payload, headers={}, tables={}))
    except (ValueError, RecursionError) as error:
        return Mapped({}, _problem(error))
    if data is None:
        return Mapped({})
    if not isinstance(data, dict):
        return Mapped({}, f"candidate.data: found {type(data).__name__}, expected a mapping")
    return Mapped(data)


def _problem(error: Exception) -> str:
    return " ".join(f"candidate.data: {error}".split())[:500].replace("\x00", "")
