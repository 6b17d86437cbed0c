"""Batch routes of every SDK generation (reference 2): two-phase v3, v2, v1, and v1 of one task."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from sandbox.trigger_dev.batch_store import Batch, BatchItem, Member
from sandbox.trigger_dev.durations import key_ttl, now
from sandbox.trigger_dev.environments import Environment
from sandbox.trigger_dev.errors import EXPOSED, RETRY_READ, ApiError, not_found, reply
from sandbox.trigger_dev.options import TriggerRequest, outside_trace, read_trigger, shared_trace
from sandbox.trigger_dev.platform import (
    MOST_BATCH_BODY_BYTES,
    MOST_BODY_BYTES,
    Platform,
    check_length,
    json_body,
    plain_json_body,
)
from sandbox.trigger_dev.trigger import check_headers, token_headers
from sandbox.trigger_dev.validation import MISSING, Check, Path

MOST_STREAMED_ITEMS = 1_000
MOST_BATCH_ITEMS = 500
MOST_TASK_BATCH_ITEMS = 100
MOST_CREATE_BYTES = 128 * 1024


def _token_headers(batch: Batch) -> dict[str, str]:
    # Seen on the wire: the claims carry no scopes, the token does.
    claims = {"sub": batch.environment.id, "pub": True}
    return token_headers(batch.environment, claims, [f"read:batch:{batch.id}", f"write:batch:{batch.id}"])


def _make_runs(platform: Platform, batch: Batch, *, free_failed: bool = True) -> None:
    """Turn the items of a sealed batch into runs; what the platform refuses becomes an error of the batch."""
    refused = {error["index"] for error in batch.errors}
    for item in sorted(batch.items.values(), key=lambda item: item.index):
        if item.index in refused:
            continue
        request = replace(
            item.request,
            parent_run_id=batch.parent_run_id or item.request.parent_run_id,
            resume_parent=batch.resume_parent or item.request.resume_parent,
            traceparent=batch.traceparent,
            trace_id=batch.trace_id,
        )
        try:
            run, cached = platform.triggering.trigger(
                batch.environment, item.task, request, free_failed=free_failed, batch_id=batch.id
            )
        except ApiError as error:
            batch.errors.append({"index": item.index, "taskIdentifier": item.task, "error": error.body["error"]})
            continue
        batch.members.append(Member(run.id, run.task, cached, request.idempotency_key))
    batch.sealed = True
    batch.processed_at = batch.updated_at = now()


def _read_item(check: Check, value: Any, path: Path, index: int) -> BatchItem | None:
    fields = check.mapping(value, path)
    if fields is None:
        return None
    task = check.string(fields, "task", path, required=True)
    request = read_trigger(check, fields, path)
    return BatchItem(index, task, request) if task is not None and request is not None else None


async def _read_batch(request: Request) -> tuple[dict[str, Any], list[BatchItem]]:
    """The body of v1 and v2 batches. Raises ApiError 400 and 413."""
    check_length(request, MOST_BATCH_BODY_BYTES)
    check_headers(request)
    check = Check()
    body = check.mapping(await json_body(request)) or {}
    listed = check.array(body.get("items", MISSING), ("items",)) or []
    items = [_read_item(check, value, ("items", index), index) for index, value in enumerate(listed)]
    check.string(body, "parentRunId")
    check.boolean(body, "resumeParentOnCompletion")
    if (complaint := check.text()) is not None:
        raise ApiError(400, complaint)
    if not items:
        raise ApiError(400, "Batch cannot be triggered with no items")
    if len(items) > MOST_BATCH_ITEMS:
        raise ApiError(
            400, f"Batch size of {len(items)} is too large. Maximum allowed batch size is {MOST_BATCH_ITEMS}."
        )
    return body, [item for item in items if item is not None]


def _whole_batch(
    platform: Platform,
    request: Request,
    environment: Environment,
    body: dict[str, Any],
    items: list[BatchItem],
) -> tuple[Batch, bool]:
    """Make a batch with all its runs, or find the one its key stands for."""
    key = request.headers.get("idempotency-key")
    if (known := platform.batches.find_key(environment, key)) is not None:
        return known, True
    batch = platform.batches.make(
        environment,
        len(items),
        idempotency_key=key,
        idempotency_key_expires_at=now() + key_ttl(request.headers.get("idempotency-key-ttl")) if key else None,
        parent_run_id=body.get("parentRunId"),
        resume_parent=bool(body.get("resumeParentOnCompletion")),
        # These paths look at traceparent only when a worker sent it (reference 8.1).
        trace_id=shared_trace(request.headers),
        items={item.index: item for item in items},
    )
    return batch, False


async def batch_v2(platform: Platform, request: Request) -> Response:
    """SDK 4.0.0 to 4.3.0: everything in one body; the answer names no runs."""
    caller = platform.caller(request)
    body, items = await _read_batch(request)
    caller.require(*(f"batchTrigger:tasks:{item.task}" for item in items))
    batch, cached = _whole_batch(platform, request, caller.environment, body, items)
    if not cached:
        _make_runs(platform, batch)
    return reply({"id": batch.id, "runCount": batch.run_count}, 202, _token_headers(batch))


async def batch_v1(platform: Platform, request: Request) -> Response:
    """SDK 3.3: as v2, but the answer lists the runs, and failed runs keep their keys (reference 6.3)."""
    caller = platform.caller(request)
    body, items = await _read_batch(request)
    caller.require(*(f"batchTrigger:tasks:{item.task}" for item in items))
    batch, cached = _whole_batch(platform, request, caller.environment, body, items)
    if not cached:
        _make_runs(platform, batch, free_failed=False)
    answer: dict[str, Any] = {"id": batch.id, "isCached": cached}
    if batch.idempotency_key is not None:
        answer["idempotencyKey"] = batch.idempotency_key
    answer["runs"] = [
        {"id": member.run_id, "taskIdentifier": member.task, "isCached": cached or member.cached}
        | ({"idempotencyKey": member.idempotency_key} if member.idempotency_key else {})
        for member in batch.members
    ]
    return reply(answer, 202, _token_headers(batch))


async def task_batch(platform: Platform, request: Request) -> Response:
    """SDK 3.0 to 3.2: a batch of one task, answered with 200 and the run ids."""
    caller = platform.caller(request, "Invalid or Missing API key")
    task = request.path_params["task"]
    check = Check()
    body = check.mapping(await plain_json_body(request)) or {}
    listed = check.array(body.get("items", MISSING), ("items",)) or []
    requests = [read_trigger(check, value, ("items", index)) for index, value in enumerate(listed)]
    if check.issues:
        raise ApiError(400, "Invalid request body", {})
    if not requests:
        raise ApiError(400, "No items to trigger", {})
    if len(requests) > MOST_TASK_BATCH_ITEMS:
        raise ApiError(400, f"Too many items. Maximum allowed batch size is {MOST_TASK_BATCH_ITEMS}.", {})
    items = [BatchItem(i, task, wanted) for i, wanted in enumerate(requests) if isinstance(wanted, TriggerRequest)]
    batch, cached = _whole_batch(platform, request, caller.environment, {}, items)
    if not cached:
        _make_runs(platform, batch, free_failed=False)
    return reply({"batchId": batch.id, "runs": [member.run_id for member in batch.members]}, headers={})


async def create_batch(platform: Platform, request: Request) -> Response:
    """SDK 4.3.1 on, phase one: announce a batch. Its items come in a second request."""
    caller = platform.caller(request)
    check_length(request, MOST_CREATE_BYTES)
    check_headers(request)
    check = Check()
    body = check.mapping(await json_body(request)) or {}
    run_count = check.integer(body, "runCount", required=True)
    key = check.string(body, "idempotencyKey")
    parent_run_id = check.string(body, "parentRunId")
    resume_parent = check.boolean(body, "resumeParentOnCompletion")
    if (complaint := check.text()) is not None or run_count is None:
        raise ApiError(400, complaint or "Validation error")
    if run_count <= 0:
        raise ApiError(400, "runCount must be a positive integer")
    if run_count > MOST_STREAMED_ITEMS:
        raise ApiError(400, f"Batch runCount of {run_count} exceeds maximum allowed of {MOST_STREAMED_ITEMS}.")
    caller.require("batchTrigger:tasks")
    if (known := platform.batches.find_key(caller.environment, key)) is not None:
        if platform.traps.batch_key_forgotten:
            raise ApiError(422, "A batch has already been created with the same idempotency key")
        answer = {"id": known.id, "runCount": known.run_count, "isCached": True}
        return reply(answer, 200, _token_headers(known))
    _charge(platform, caller.environment, run_count)
    batch = platform.batches.make(
        caller.environment,
        run_count,
        idempotency_key=key,
        idempotency_key_expires_at=now() + timedelta(days=30) if key else None,
        parent_run_id=parent_run_id,
        resume_parent=bool(resume_parent),
        traceparent=outside_trace(request.headers),
        trace_id=shared_trace(request.headers),
    )
    made: dict[str, Any] = {"id": batch.id, "runCount": run_count, "isCached": False}
    return reply(made | ({"idempotencyKey": key} if key else {}), 202, _token_headers(batch))


def _charge(platform: Platform, environment: Environment, run_count: int) -> None:
    """Take one token a run. This 429 differs from the general one: JSON, reset in seconds, Retry-After."""
    grant = platform.limiter.take(f"batch:{environment.id}", platform.batch_rate_limit, run_count)
    if grant.allowed:
        return
    seconds = max(1, math.ceil(grant.reset_ms / 1000 - time.time()))
    raise ApiError(
        429,
        f"Batch rate limit exceeded. Attempted to process {run_count} items.",
        {
            **EXPOSED,
            "x-ratelimit-limit": str(grant.limit),
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": str(grant.reset_ms // 1000),
            "retry-after": str(seconds),
        },
    )


async def stream_items(platform: Platform, request: Request) -> Response:
    """Phase two: one item a line, chunked. The index of an item makes a second stream of the same items
    harmless.
    """
    kind = request.headers.get("content-type", "")
    if "application/x-ndjson" not in kind and "application/ndjson" not in kind:
        raise ApiError(415, "Content-Type must be application/x-ndjson or application/ndjson", {})
    caller = platform.caller(request)
    batch_id = request.path_params["batch"]
    batch = platform.batches.find(caller.environment, batch_id)
    if batch is None:
        raise ApiError(422, f"Batch {batch_id} not found", {})
    if batch.sealed:
        raise ApiError(422, f"Batch {batch_id} is already sealed and cannot accept more items", {})
    accepted = deduplicated = 0
    number = 0
    async for line in _lines(request):
        number += 1
        item = _streamed_item(line, number, batch)
        if item.index in batch.items:
            deduplicated += 1
        else:
            batch.items[item.index] = item
            accepted += 1
    answer: dict[str, Any] = {"id": batch.id, "itemsAccepted": accepted, "itemsDeduplicated": deduplicated}
    if len(batch.items) < batch.run_count:
        counts = {"enqueuedCount": len(batch.items), "expectedCount": batch.run_count}
        return reply(answer | {"sealed": False, **counts, "runCount": batch.run_count}, headers={})
    _make_runs(platform, batch)
    return reply(answer | {"sealed": True, "runCount": batch.run_count}, headers={})


async def _lines(request: Request) -> Any:
    rest = b""
    async for chunk in request.stream():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


def _streamed_item(line: bytes, number: int, batch: Batch) -> BatchItem:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, f"Invalid JSON at line {number}: {error.msg}", {}) from None
    check = Check()
    fields = check.mapping(value) or {}
    index = check.integer(fields, "index", least=0, required=True)
    item = _read_item(check, value, (), index or 0)
    if check.issues or item is None:
        raise ApiError(422, f"Invalid item at index {number - 1}: {check.text()}", {})
    if item.index >= batch.run_count:
        raise ApiError(422, f"Item index {item.index} exceeds batch runCount {batch.run_count}", {})
    if len(line) > MOST_BODY_BYTES:
        # Too big is not an error of the request: the item makes no run.
        batch.errors.append(
            {
                "index": item.index,
                "taskIdentifier": item.task,
                "error": "Payload is too large",
                "errorCode": "PAYLOAD_TOO_LARGE",
            }
        )
    return item


async def items_wrong_method(platform: Platform, request: Request) -> Response:
    """The items route answers a GET in JSON."""
    raise ApiError(405, "Method not allowed. Use POST to stream batch items.", {})


def _readable(platform: Platform, request: Request) -> Batch:
    caller = platform.caller(request)
    batch = platform.batches.find(caller.environment, request.path_params["batch"])
    lag = timedelta(milliseconds=platform.traps.replica_lag_ms)
    if batch is None or batch.created_at + lag > now():
        raise not_found({**EXPOSED, **RETRY_READ})
    caller.require(f"read:batch:{batch.id}")
    return batch


async def retrieve_v1(platform: Platform, request: Request) -> Response:
    """A batch, as SDK 3.3 reads it."""
    batch = _readable(platform, request)
    return reply(platform.batches.described(batch, with_processing=False))


async def retrieve_v2(platform: Platform, request: Request) -> Response:
    """A batch with what became of its processing."""
    batch = _readable(platform, request)
    return reply(platform.batches.described(batch, with_processing=True))


ROUTES = (
    ("POST", "/api/v3/batches", create_batch),
    ("POST", "/api/v3/batches/{batch}/items", stream_items),
    ("GET", "/api/v3/batches/{batch}/items", items_wrong_method),
    ("POST", "/api/v2/tasks/batch", batch_v2),
    ("POST", "/api/v1/tasks/batch", batch_v1),
    ("POST", "/api/v1/tasks/{task:path}/batch", task_batch),
    ("GET", "/api/v1/batches/{batch}", retrieve_v1),
    ("GET", "/api/v2/batches/{batch}", retrieve_v2),
)
