"""What a trigger request asks for: body, options and headers, checked (reference 1.2, 1.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from sandbox.trigger_dev.packets import Packet
from sandbox.trigger_dev.validation import MISSING, Check, Path

MACHINES = ("micro", "small-1x", "small-2x", "medium-1x", "medium-2x", "large-1x", "large-2x")
LONGEST_KEY = 2048
LONGEST_TAG = 128
_ROOT: Path = ()


@dataclass(frozen=True)
class Debounce:
    """Postpone an existing delayed run of the same key instead of making another."""

    key: str
    delay: str
    leading: bool


@dataclass(frozen=True)
class TriggerRequest:
    """One run to be made. An unknown `parent_run_id` is ignored by the platform."""

    payload: Packet
    idempotency_key: str | None = None
    idempotency_key_ttl: str | None = None
    idempotency_key_options: dict[str, Any] | None = None
    delay: str | float | None = None
    ttl: str | int | None = None
    tags: tuple[str, ...] = ()
    metadata: Any = None
    queue: str | None = None
    concurrency_key: str | None = None
    machine: str | None = None
    max_attempts: int | None = None
    max_duration: float | None = None
    priority: float = 0.0
    test: bool = False
    lock_to_version: str | None = None
    debounce: Debounce | None = None
    parent_run_id: str | None = None
    resume_parent: bool = False
    traceparent: str | None = None
    """Of the producer's own trace."""
    trace_id: str | None = None
    """The parent's, which a child that is waited for shares (reference 8.1)."""

    def with_headers(self, headers: Mapping[str, str]) -> TriggerRequest:
        """The same request with what the HTTP headers say, which wins over the body."""
        return replace(
            self,
            idempotency_key=headers.get("idempotency-key") or self.idempotency_key,
            idempotency_key_ttl=headers.get("idempotency-key-ttl") or self.idempotency_key_ttl,
            traceparent=outside_trace(headers),
            trace_id=shared_trace(headers),
        )


def outside_trace(headers: Mapping[str, str]) -> str | None:
    """The `traceparent` of a producer, which is not a run of this platform."""
    return None if headers.get("x-trigger-worker") else headers.get("traceparent")


def shared_trace(headers: Mapping[str, str]) -> str | None:
    """The trace id of the run that sends this, where its children are to share it (reference 8.1)."""
    if not headers.get("x-trigger-worker") or headers.get("x-trigger-span-parent-as-link") == "1":
        return None
    parts = headers.get("traceparent", "").split("-")
    return parts[1] if len(parts) == 4 and parts[0] == "00" else None


def read_trigger(check: Check, body: Any, path: Path = _ROOT) -> TriggerRequest | None:
    """Read `{payload, options}`; None when it is no object. Other faults are left in `check`."""
    fields = check.mapping(body, path)
    if fields is None:
        return None
    place: Path = (*path, "options")
    options = check.mapping(fields.get("options", MISSING), place, optional=True) or {}
    payload_type = check.string(options, "payloadType", place)
    payload = fields.get("payload", MISSING)
    if payload_type == "application/store" and not (isinstance(payload, str) and payload):
        check.complain(
            "payload must be a non-empty string when options.payloadType is application/store",
            (*path, "payload"),
        )
    queue = check.mapping(options.get("queue", MISSING), (*place, "queue"), optional=True)
    concurrency_key = check.either(options, "concurrencyKey", place, ("string", "number"))
    ttl = options.get("ttl", MISSING)
    return TriggerRequest(
        payload=_packet(payload, payload_type),
        idempotency_key=check.string(options, "idempotencyKey", place, longest=LONGEST_KEY),
        idempotency_key_ttl=check.string(options, "idempotencyKeyTTL", place),
        idempotency_key_options=check.mapping(
            options.get("idempotencyKeyOptions", MISSING), (*place, "idempotencyKeyOptions"), optional=True
        ),
        delay=check.either(options, "delay", place, ("string", "number")),
        ttl=check.integer(options, "ttl", place, least=0)
        if isinstance(ttl, int | float) and not isinstance(ttl, bool)
        else check.either(options, "ttl", place, ("string", "number")),
        tags=_tags(check, options, place),
        metadata=options.get("metadata"),
        queue=check.string(queue, "name", (*place, "queue"), required=True) if queue is not None else None,
        concurrency_key=None if concurrency_key is None else str(concurrency_key),
        machine=check.choice(options, "machine", place, MACHINES),
        max_attempts=check.integer(options, "maxAttempts", place),
        max_duration=check.number(options, "maxDuration", place),
        priority=check.number(options, "priority", place) or 0.0,
        test=bool(check.boolean(options, "test", place)),
        lock_to_version=check.string(options, "lockToVersion", place),
        debounce=_debounce(check, options, place),
        parent_run_id=check.string(options, "parentRunId", place),
        resume_parent=bool(check.boolean(options, "resumeParentOnCompletion", place)),
    )


def _packet(payload: Any, payload_type: str | None) -> Packet:
    """How the platform stores a payload: an encoded type that is not a string loses its data."""
    if payload_type in (None, "application/json"):
        if payload is MISSING:
            return Packet(None, "application/json")
        return Packet(orjson.dumps(payload).decode(), "application/json")
    return Packet(payload if isinstance(payload, str) else None, payload_type)


def _tags(check: Check, options: dict[str, Any], place: Path) -> tuple[str, ...]:
    given = check.either(options, "tags", place, ("string", "array"))
    if given is None:
        return ()
    single = isinstance(given, str)
    tags = []
    for index, tag in enumerate([given] if single else given):
        where: Path = (*place, "tags") if single else (*place, "tags", index)
        if not isinstance(tag, str):
            check.complain(f"Expected string, received {type(tag).__name__}", where)
        elif len(tag) > LONGEST_TAG:
            check.complain(f"Tags must be less than {LONGEST_TAG} characters", where)
        elif tag.strip():
            tags.append(tag)
    return tuple(tags)


def _debounce(check: Check, options: dict[str, Any], place: Path) -> Debounce | None:
    where: Path = (*place, "debounce")
    debounce = check.mapping(options.get("debounce", MISSING), where, optional=True)
    if debounce is None:
        return None
    key = check.string(debounce, "key", where, longest=512, required=True)
    delay = check.string(debounce, "delay", where, required=True)
    mode = check.choice(debounce, "mode", where, ("leading", "trailing"))
    return Debounce(key or "", delay or "", mode != "trailing")
