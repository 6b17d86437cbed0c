"""The realtime feed: Electric's shape protocol over HTTP long poll (reference 4.1).

A client reads a snapshot with `offset=-1`, then asks with `live=true` and the handle and offset it was given;
such a poll is held until something in its shape changes, or answered with a bare up-to-date. Rows are sent
whole and keyed, so a client that merges by key is right. Values are text, as PostgreSQL writes them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from sandbox.trigger_dev import runs as status
from sandbox.trigger_dev.durations import iso, natural_duration, now
from sandbox.trigger_dev.errors import not_found
from sandbox.trigger_dev.platform import Platform, speaks_current
from sandbox.trigger_dev.runs import Run

_COLUMNS: dict[str, dict[str, Any]] = {
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
_RESERVED = {"id", "taskIdentifier", "friendlyId", "status", "createdAt"}
_UP_TO_DATE = {"headers": {"control": "up-to-date"}}
_DEFAULT_AGE = timedelta(hours=24)


@dataclass(frozen=True)
class _Shape:
    """The runs a feed is about. `name` tells shapes apart in handles."""

    name: str
    matches: Callable[[Run], bool]
    since: datetime | None = None


def _instant(at: datetime | None) -> str | None:
    # Without the zone: clients append the Z themselves.
    return iso(at)[:-1] if at is not None else None


def _array(values: tuple[str, ...]) -> str:
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"


def _row(run: Run, columns: set[str], *, current: bool) -> dict[str, str | None]:
    shown = status.EXECUTING if run.status == status.DEQUEUED and not current else run.status
    values: dict[str, str | None] = {
        "id": run.internal_id,
        "taskIdentifier": run.task,
        "createdAt": _instant(run.created_at),
        "updatedAt": _instant(run.updated_at),
        "startedAt": _instant(run.started_at),
        "delayUntil": _instant(run.delay_until),
        "queuedAt": _instant(run.queued_at),
        "expiredAt": _instant(run.expired_at),
        "completedAt": _instant(run.finished_at),
        "friendlyId": run.id,
        "number": str(run.number),
        "isTest": "t" if run.is_test else "f",
        "status": shown,
        "usageDurationMs": str(run.duration_ms),
        "costInCents": str(run.cost_in_cents),
        "baseCostInCents": str(run.base_cost_in_cents),
        "ttl": run.ttl,
        "payload": run.payload.data or "",
        "payloadType": run.payload.type,
        "metadata": orjson.dumps(run.metadata).decode() if run.metadata is not None else None,
        "metadataType": "application/json",
        "output": run.output.data,
        "outputType": run.output.type,
        # This column has no default, so no tags are null; the next one has, so it is an empty array.
        "runTags": _array(run.tags) if run.tags else None,
        "error": orjson.dumps(run.error).decode() if run.error is not None else None,
        "realtimeStreams": "{}",
    }
    return {name: value for name, value in values.items() if name in columns}


def _columns(request: Request) -> set[str]:
    skipped = set(request.query_params.get("skipColumns", "").split(",")) - _RESERVED
    return {name for name in _COLUMNS if name not in skipped}


async def _feed(platform: Platform, request: Request, shape: _Shape) -> Response:
    query = request.query_params
    modern = "x-trigger-electric-version" in request.headers
    given = query.get("handle") if modern else query.get("shape_id") or query.get("handle")
    offset = query.get("offset", "-1")
    live = query.get("live") == "true"
    current = speaks_current(request)
    columns = _columns(request)
    handle, since = _handle(shape, given)
    headers = _headers(handle, columns, modern=modern)
    if offset != "-1" and given != handle:
        # An unknown handle, e.g. from before a restart: the client starts again.
        body = orjson.dumps([{"headers": {"control": "must-refetch"}}])
        return Response(body, 409, headers | {_named("electric-offset", modern=modern): "0_0"})
    seen = int(offset.split("_")[0]) if offset != "-1" else 0

    def changed() -> list[Run]:
        runs = [run for run in platform.runs if run.sequence > seen and shape.matches(run)]
        return [run for run in runs if since is None or run.created_at > since]

    rows = changed()
    until = time.monotonic() + platform.realtime_hold_seconds
    while live and not rows and (left := until - time.monotonic()) > 0:
        if await platform.runs.next_change(left):
            rows = changed()
    messages: list[dict[str, Any]] = [
        {
            "key": f'"public"."TaskRun"/"{run.internal_id}"',
            "value": _row(run, columns, current=current),
            "headers": {"operation": "insert" if run.created_sequence > seen else "update"},
        }
        for run in rows
    ]
    last = max([seen, *(run.sequence for run in rows)])
    if live:
        headers["electric-cursor"] = str(int(time.time()))
    headers[_named("electric-offset", modern=modern)] = f"{last}_0"
    return Response(orjson.dumps([*messages, _UP_TO_DATE]), headers=headers)


def _handle(shape: _Shape, given: str | None) -> tuple[str, datetime | None]:
    """The shape's handle and its age limit. The limit is fixed by the first request, so the handle carries
    it.
    """
    digest = hashlib.sha256(shape.name.encode()).hexdigest()[:12]
    if shape.since is None:
        return digest, None
    stamp = (given or "").partition("-")[2]
    started = stamp if stamp.isdigit() else str(round(shape.since.timestamp() * 1000))
    return f"{digest}-{started}", datetime.fromtimestamp(int(started) / 1000, shape.since.tzinfo)


def _named(header: str, *, modern: bool) -> str:
    """Old clients know the handle and the offset under other names."""
    old = {"electric-handle": "electric-shape-id", "electric-offset": "electric-chunk-last-offset"}
    return header if modern else old[header]


def _headers(handle: str, columns: set[str], *, modern: bool) -> dict[str, str]:
    schema = {name: kind for name, kind in _COLUMNS.items() if name in columns}
    return {
        "content-type": "application/json",
        "cache-control": "no-store",
        _named("electric-handle", modern=modern): handle,
        "electric-schema": orjson.dumps(schema).decode(),
        "electric-up-to-date": "",
        "access-control-expose-headers": "*",
    }


async def run_feed(platform: Platform, request: Request) -> Response:
    """One run."""
    caller = platform.caller(request)
    run = platform.runs.find(caller.environment, request.path_params["run"])
    if run is None:
        raise not_found()
    tags = [f"read:tags:{tag}" for tag in run.tags]
    caller.require(f"read:runs:{run.id}", f"read:tasks:{run.task}", *tags)
    return await _feed(platform, request, _Shape(run.id, lambda candidate: candidate is run))


async def runs_feed(platform: Platform, request: Request) -> Response:
    """An environment's runs that carry all of some tags, made in the last day (or `createdAt`)."""
    caller = platform.caller(request)
    tags = {tag for tag in request.query_params.get("tags", "").split(",") if tag}
    caller.require("read:runs", *(f"read:tags:{tag}" for tag in tags))
    age = natural_duration(request.query_params.get("createdAt", "")) or _DEFAULT_AGE
    name = f"{caller.environment.id} {sorted(tags)} {age}"
    environment = caller.environment
    shape = _Shape(name, lambda run: run.environment == environment and tags <= set(run.tags), now() - age)
    return await _feed(platform, request, shape)


async def batch_feed(platform: Platform, request: Request) -> Response:
    """The runs of a batch."""
    caller = platform.caller(request)
    batch = platform.batches.find(caller.environment, request.path_params["batch"])
    if batch is None:
        raise not_found()
    caller.require(f"read:batch:{batch.id}")
    return await _feed(platform, request, _Shape(batch.id, lambda run: run.batch_id == batch.id))


ROUTES = (
    ("GET", "/realtime/v1/runs/{run}", run_feed),
    ("GET", "/realtime/v1/runs", runs_feed),
    ("GET", "/realtime/v1/batches/{batch}", batch_feed),
)
