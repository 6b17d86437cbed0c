"""An issued run as a row of Trigger.dev's realtime feed: Electric's shape protocol (reference 4.1). Pure."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from api.front.run_shape import duration, status_of
from shadow.causes.batches import issued_run
from shadow.fanout.issued import IssuedRun

_COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "id": {"type": "text"},
    "taskIdentifier": {"type": "text"},
    "createdAt": {"type": "timestamp"},
    "updatedAt": {"type": "timestamp"},
    "startedAt": {"type": "timestamp"},
    "delayUntil": {"type": "timestamp"},
    "queuedAt": {"type": "timestamp"},
    "expiredAt": {"type": "timestamp"},
    "completedAt": {"type": "timestamp"},
    "friendlyId": {"type": "text"},
    "number": {"type": "int4"},
    "isTest": {"type": "bool"},
    "status": {"type": "text"},
    "usageDurationMs": {"type": "int4"},
    "costInCents": {"type": "float8"},
    "baseCostInCents": {"type": "float8"},
    "ttl": {"type": "text"},
    "payload": {"type": "text"},
    "payloadType": {"type": "text"},
    "metadata": {"type": "text"},
    "metadataType": {"type": "text"},
    "output": {"type": "text"},
    "outputType": {"type": "text"},
    "runTags": {"type": "text", "dims": 1},
    "error": {"type": "jsonb"},
    "realtimeStreams": {"type": "text", "dims": 1},
}
_RESERVED = frozenset({"id", "taskIdentifier", "friendlyId", "status", "createdAt"})
"""That no client can skip."""
_RAW = {"QUEUED": "PENDING", "COMPLETED": "COMPLETED_SUCCESSFULLY", "FAILED": "COMPLETED_WITH_ERRORS"}
"""The feed shows what the platform's database has; other statuses have the same name there."""
_OLD_NAMES = {"electric-handle": "electric-shape-id", "electric-offset": "electric-chunk-last-offset"}

Row = dict[str, str | None]
UP_TO_DATE = {"headers": {"control": "up-to-date"}}
MUST_REFETCH = {"headers": {"control": "must-refetch"}}


def columns(skipped: str) -> frozenset[str]:
    """What a feed shows whose client skips those, joined by commas."""
    return frozenset(_COLUMNS) - (frozenset(skipped.split(",")) - _RESERVED)


def row(run: IssuedRun, output: Any, shown: Collection[str], now: datetime, *, seen: bool) -> Row:
    """Values are text, as PostgreSQL writes them.

    Args:
        output: what it returned, if it has.
        seen: see `run_shape.status_of`.
    """
    execution, status = run.execution, status_of(run, now, seen=seen)
    payload, payload_type = _packet(run.request)
    values: Row = {
        "id": str(run.event),
        "taskIdentifier": run.legacy_task,
        "createdAt": _instant(run.accepted_at),
        "updatedAt": _instant(execution.finished_at or execution.started_at or run.accepted_at),
        "startedAt": _instant(execution.started_at or (execution.finished_at if seen else None)),
        "delayUntil": _instant(run.scheduled_at),
        "queuedAt": _instant(run.starts_at) if run.starts_at <= now else None,
        "expiredAt": _instant(execution.finished_at) if execution.status == "expired" else None,
        "completedAt": _instant(execution.finished_at),
        "friendlyId": issued_run(run.event),
        "number": "0",
        "isTest": "t" if run.options.is_test else "f",
        "status": _RAW.get(status, status),
        "usageDurationMs": str(duration(run)),
        "costInCents": "0",
        "baseCostInCents": "0",
        "ttl": run.options.ttl,
        "payload": payload,
        "payloadType": payload_type,
        "metadata": None if run.metadata is None else orjson.dumps(run.metadata).decode(),
        "metadataType": "application/json",
        "output": None if output is None else orjson.dumps(output).decode(),
        "outputType": "application/json",
        "runTags": _array(run.tags) if run.tags else None,
        "error": _error(run),
        "realtimeStreams": "{}",
    }
    return {name: value for name, value in values.items() if name in shown}


def version(shown: Row) -> int:
    """A number that changes when the row does; never 0."""
    return zlib.crc32(orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)) or 1


def message(run: UUID, shown: Row, *, is_new: bool) -> dict[str, Any]:
    """A change of the feed: the whole row each time, which clients merge by its key."""
    return {
        "key": f'"public"."TaskRun"/"{run}"',
        "value": shown,
        "headers": {"operation": "insert" if is_new else "update"},
    }


def handle(name: str) -> str:
    """Of the feed about that run or batch: the same in every process."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def headers(of: str, offset: str, shown: Collection[str], *, modern: bool, cursor: int | None) -> list[tuple[str, str]]:
    """The protocol's headers of an answer.

    Args:
        of: the feed's handle.
        modern: the client knows their present names.
        cursor: of a live answer.
    """
    schema = {name: kind for name, kind in _COLUMNS.items() if name in shown}
    made = [
        (_named("electric-handle", modern=modern), of),
        (_named("electric-offset", modern=modern), offset),
        ("electric-schema", orjson.dumps(schema).decode()),
        ("electric-up-to-date", ""),
        ("cache-control", "no-store"),
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "*"),
    ]
    return made if cursor is None else [*made, ("electric-cursor", str(cursor))]


def _named(header: str, *, modern: bool) -> str:
    return header if modern else _OLD_NAMES[header]


def _instant(at: datetime | None) -> str | None:
    """Without the zone: clients append the Z themselves."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")


def _array(values: Sequence[str]) -> str:
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"


def _packet(request: bytes | None) -> tuple[str | None, str]:
    """The payload as it was sent, and how it is encoded."""
    try:
        document = orjson.loads(request) if request else {}
    except orjson.JSONDecodeError:
        document = {}
    options = document.get("options") if isinstance(document, dict) else None
    given = options.get("payloadType") if isinstance(options, dict) else None
    kind = given if isinstance(given, str) else "application/json"
    payload = document.get("payload") if isinstance(document, dict) else None
    if payload is None:
        return None, kind
    return (
        payload if isinstance(payload, str) and kind != "application/json" else orjson.dumps(payload).decode()
    ), kind


def _error(run: IssuedRun) -> str | None:
    execution = run.execution
    if execution.status in (None, "completed", "cancelled", "expired"):
        return None
    told = {
        "type": "BUILT_IN_ERROR",
        "name": execution.error_name or "Error",
        "message": execution.error_message or f"the run has {execution.status}",
        "stackTrace": "",
    }
    return orjson.dumps(told).decode()
