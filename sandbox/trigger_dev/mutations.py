"""Changing runs: cancel, replay, reschedule, tags, metadata, freeing a key (reference 3.7)."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox.trigger_dev import runs as status
from sandbox.trigger_dev.durations import delay_until, now
from sandbox.trigger_dev.errors import ApiError, reply
from sandbox.trigger_dev.platform import Platform, check_length, json_body, plain_json_body
from sandbox.trigger_dev.reads import presenter
from sandbox.trigger_dev.runs import Run
from sandbox.trigger_dev.triggering import MOST_TAGS

_OLD_WORDING = "Invalid or Missing API Key"


def _run(platform: Platform, request: Request, missing: str) -> Run:
    caller = platform.caller(request, _OLD_WORDING)
    run = platform.runs.find(caller.environment, request.path_params["run"])
    if run is None:
        raise ApiError(404, missing, {})
    caller.require(f"write:runs:{run.id}")
    return run


async def cancel(platform: Platform, request: Request) -> Response:
    """Cancel a run; a finished one is left alone, with the same answer."""
    run = _run(platform, request, "Resource not found")
    platform.executor.cancel(run)
    return reply({"id": run.id}, headers={})


async def replay(platform: Platform, request: Request) -> Response:
    """Make a new run from an old one; no idempotency key goes along."""
    run = _run(platform, request, "Resource not found")
    return reply({"id": platform.triggering.replay(run).id}, headers={})


async def reschedule(platform: Platform, request: Request) -> Response:
    """Move the due time of a delayed run; answers with the run."""
    caller = platform.caller(request, "Invalid or missing API Key")
    body = await plain_json_body(request)
    delay = body.get("delay") if isinstance(body, dict) else None
    if not isinstance(delay, str | int | float) or isinstance(delay, bool):
        raise ApiError(400, "Invalid request body", {})
    run = platform.runs.find(caller.environment, request.path_params["run"])
    if run is None:
        raise ApiError(404, "Run not found", {})
    if run.status != status.DELAYED:
        raise ApiError(400, "Cannot reschedule a run that is not delayed", {})
    due = delay_until(delay, now())
    if due is None:
        raise ApiError(400, "Invalid delay value", {})
    platform.executor.reschedule(run, due)
    return reply(presenter(platform, request).whole(run), headers={})


async def add_tags(platform: Platform, request: Request) -> Response:
    """Add tags to a run, ten at most."""
    run = _run(platform, request, "Run not found")
    body = await plain_json_body(request)
    given = body.get("tags") if isinstance(body, dict) else None
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list) or not all(isinstance(tag, str) for tag in listed):
        raise ApiError(400, "Invalid request body", {})
    new = [tag for tag in dict.fromkeys(listed) if tag.strip() and tag not in run.tags]
    total = len(run.tags) + len(new)
    if total > MOST_TAGS:
        refused = ", ".join(f"'{tag}'" for tag in new)
        raise ApiError(
            422,
            f"Runs can only have {MOST_TAGS} tags, you're trying to set {total}. "
            f"These tags have not been set: {refused}.",
            {},
        )
    if not new:
        return reply({"message": "No new tags to add"}, headers={})
    platform.runs.touch(run, tags=(*run.tags, *new))
    return reply({"message": f"Successfully set {len(new)} new tags."}, headers={})


async def read_metadata(platform: Platform, request: Request) -> Response:
    """A run's metadata."""
    run = _run(platform, request, "Task Run not found")
    return reply({"metadata": run.metadata or {}, "metadataType": "application/json"})


async def update_metadata(platform: Platform, request: Request) -> Response:
    """Replace a run's metadata, or apply operations on top-level keys of it, its parent or its root."""
    run = _run(platform, request, "Task Run not found")
    check_length(request)
    body = await json_body(request)
    if not isinstance(body, dict):
        raise ApiError(400, "Validation error: Expected object")
    if "metadata" in body:
        platform.runs.touch(run, metadata=body["metadata"])
    targets = (("operations", run), ("parentOperations", _relative(platform, run.parent_id)))
    for name, target in (*targets, ("rootOperations", _relative(platform, run.root_id))):
        if (operations := body.get(name)) and target is not None:
            metadata = dict(target.metadata or {})
            for operation in operations:
                _apply(metadata, operation)
            platform.runs.touch(target, metadata=metadata)
    return reply({"metadata": run.metadata or {}})


def _relative(platform: Platform, run_id: str | None) -> Run | None:
    return platform.runs.get(run_id)


def _apply(metadata: dict[str, Any], operation: dict[str, Any]) -> None:
    key, value = operation.get("key", ""), operation.get("value")
    match operation.get("type"):
        case "set":
            metadata[key] = value
        case "delete":
            metadata.pop(key, None)
        case "append":
            metadata[key] = [*_listed(metadata.get(key)), value]
        case "remove":
            metadata[key] = [item for item in _listed(metadata.get(key)) if item != value]
        case "increment":
            metadata[key] = metadata.get(key, 0) + value
        case "update":
            metadata.clear()
            metadata.update(value or {})
        case other:
            raise ApiError(400, f"Validation error: unknown metadata operation {other!r}")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


async def reset_key(platform: Platform, request: Request) -> Response:
    """Free an idempotency key (the wire value) of a task."""
    caller = platform.caller(request)
    check_length(request)
    body = await json_body(request)
    key = request.path_params["key"]
    task = body.get("taskIdentifier") if isinstance(body, dict) else None
    if not isinstance(task, str):
        raise ApiError(400, 'Validation error: Required at "taskIdentifier"')
    if not platform.triggering.keys.free(caller.environment.id, task, key):
        raise ApiError(404, f"No runs found with idempotency key: {key} and task: {task}")
    return reply({"id": key})


ROUTES = (
    ("POST", "/api/v2/runs/{run}/cancel", cancel),
    ("POST", "/api/v1/runs/{run}/replay", replay),
    ("POST", "/api/v1/runs/{run}/reschedule", reschedule),
    ("POST", "/api/v1/runs/{run}/tags", add_tags),
    ("GET", "/api/v1/runs/{run}/metadata", read_metadata),
    ("PUT", "/api/v1/runs/{run}/metadata", update_metadata),
    ("POST", "/api/v1/idempotencyKeys/{key:path}/reset", reset_key),
)
