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
from shadow.intake.trigger_calls import DEFAULT_KEY_LIFETIME, TriggerCall, derived_key
from shadow.model.ids import new_id

_REQUEST_LIFETIME = timedelta(hours=24)
"""How long an SDK's request key is remembered, as upstream (reference 6.4)."""
LONGEST_REST = timedelta(days=20)
"""After which a delayed run is looked at in any case: the queue counts milliseconds in 32 bits."""


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


def wire_key(source: str, platform: str, task: str, call: TriggerCall, request_key: str | None) -> WireKey:
    """The producer's own key, else one derived from the key of its request, else one that only the stored intent
    knows.

    Args:
        platform: whose environment it is: within it a producer's key is unique for a task, whoever uses it
            (reference 6.2).
        task: the catalogue's id of it.
        request_key: the same whenever the producer's client repeats its request; None when it has no such.
    """
    if call.producer_key is not None:
        return WireKey(call.producer_key, False, producers_key(platform, task, call.producer_key, call.key_lifetime))
    scope = f"{source}:{task}"
    if request_key is None:
        return WireKey(derived_key(scope, str(new_id())), True, None)
    value = derived_key(scope, request_key)
    return WireKey(value, True, DedupeKey(scope, key_of("request", value), _REQUEST_LIFETIME))


def producers_key(platform: str, task: str, key: str, lifetime: timedelta = DEFAULT_KEY_LIFETIME) -> DedupeKey:
    """What makes a second call with that idempotency key, as on the wire, the same event."""
    return DedupeKey(f"{platform}:{task}", key_of("key", key), lifetime)


def contained_key(dedupe: DedupeKey | None) -> DedupeKey | None:
    """The key of a call by a run without authority, which never stands for what the world shall see."""
    return None if dedupe is None else dedupe._replace(scope=f"{dedupe.scope}:contained")


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
            candidate's, beside it, is held until legacy has taken it. Where the candidate has authority its run is
            issued and rests here until its delay is over, so that it can be moved or cancelled; legacy's, if it gets
            one, has no authority, and a key of its own, for which the producer's must never stand.
        descent: of a call that a run makes.
        headers: of the call, none of them a credential.
    """
    authority = descent.authority if descent else decision.authority
    is_issued = authority is Side.CANDIDATE
    scheduled_at = call.scheduled_at(now)
    rest = timedelta(0)
    if is_issued and scheduled_at is not None:
        rest = min(scheduled_at - now, LONGEST_REST)
    return Arrival(
        source=source,
        door=Door.TRIGGER,
        origin=origin,
        name=task.event,
        data=orjson.dumps(mapped.data),
        dispatches=tuple(
            _issued(dispatch, rest, mapped) if is_issued else _waiting(dispatch, patience, mapped)
            for dispatch in dispatches
        ),
        decision=decision,
        descent=descent,
        tenant=tenant,
        external_id=storable_or_none(call.producer_key),
        occurred_at=now,
        scheduled_at=scheduled_at,
        dedupe=contained_key(key.dedupe) if descent is not None and descent.authority is None else key.dedupe,
        request=call.body,
        headers=headers,
        mapping_error=mapped.problem,
        idempotency_key=None if is_issued else key.value,
        ramp_key=ramp_key,
    )


def _waiting(dispatch: PlannedDispatch, patience: timedelta, mapped: Mapped) -> PlannedDispatch:
    if dispatch.side is Side.LEGACY:
        # Never kept back for its twin: the answer to the call is the run's id.
        return replace(dispatch, state=State.DUE, delay=patience)
    if mapped.deferred:
        return replace(dispatch, stage=Stage.MAP, state=State.HELD)
    # What cannot be mapped still runs on legacy: the producer's run must not suffer for the shadow's sake.
    return replace(dispatch, state=State.DEAD if mapped.problem else State.HELD)


def _issued(dispatch: PlannedDispatch, rest: timedelta, mapped: Mapped) -> PlannedDispatch:
    if dispatch.side is Side.LEGACY:
        return dispatch
    if mapped.deferred:
        return replace(dispatch, stage=Stage.MAP, state=State.DUE, delay=rest)
    return replace(dispatch, state=State.DEAD if mapped.problem else State.DUE, delay=rest)


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
