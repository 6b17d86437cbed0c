"""Queues over HTTP (reference 6.7). The list doubles as the only list of deployed tasks a secret key can
read.
"""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from sandbox.trigger_dev.environments import Environment
from sandbox.trigger_dev.errors import EXPOSED, ApiError, reply
from sandbox.trigger_dev.platform import Platform, check_length, json_body
from sandbox.trigger_dev.queues import Queue

DEFAULT_PAGE = 25
MOST_PAGE = 100


def offset_page(request: Request, items: list[Any]) -> tuple[list[Any], dict[str, int]]:
    """One page by `page` and `perPage`, with the pagination object of offset lists."""
    page = max(1, _number(request, "page", 1))
    size = min(MOST_PAGE, max(1, _number(request, "perPage", DEFAULT_PAGE)))
    pages = max(1, math.ceil(len(items) / size))
    return items[(page - 1) * size : page * size], {
        "currentPage": page,
        "totalPages": pages,
        "count": len(items),
    }


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isdigit() else default


def _described(platform: Platform, environment: Environment, queue: Queue) -> dict[str, Any]:
    limit = queue.concurrency_limit
    concurrency = {
        "current": limit,
        "base": limit,
        "override": None,
        "overriddenAt": None,
        "overriddenBy": None,
    }
    return {
        "id": queue.id,
        "name": queue.name.removeprefix("task/"),
        "type": "task" if queue.is_task_queue else "custom",
        "running": platform.turnstile.running(environment, queue),
        "queued": platform.turnstile.queued(environment, queue),
        "paused": queue.paused,
        "concurrencyLimit": limit,
        "concurrency": concurrency,
    }


def _queue(platform: Platform, environment: Environment, named: str, kind: str | None) -> Queue:
    # SDKs encode slashes twice.
    name = unquote(named)
    for queue in platform.turnstile.queues(environment):
        wanted = {"task": f"task/{name}", "custom": name}.get(kind or "id")
        if queue.id == name if wanted is None else queue.name == wanted:
            return queue
    raise ApiError(404, "queue-not-found", {**EXPOSED})


async def list_queues(platform: Platform, request: Request) -> Response:
    """Every queue, task queues among them under their task's id."""
    environment = platform.caller(request).environment
    page, pagination = offset_page(request, platform.turnstile.queues(environment))
    return reply({"data": [_described(platform, environment, queue) for queue in page], "pagination": pagination})


async def retrieve_queue(platform: Platform, request: Request) -> Response:
    """One queue, by id or by type and name."""
    environment = platform.caller(request).environment
    queue = _queue(platform, environment, request.path_params["queue"], request.query_params.get("type"))
    return reply(_described(platform, environment, queue))


async def pause_queue(platform: Platform, request: Request) -> Response:
    """Pause or resume: triggers are still accepted, their runs stay queued."""
    environment = platform.caller(request).environment
    check_length(request)
    body = await json_body(request)
    action = body.get("action") if isinstance(body, dict) else None
    if action not in ("pause", "resume"):
        raise ApiError(400, "Validation error: Invalid enum value. Expected 'pause' | 'resume' at \"action\"")
    queue = _queue(platform, environment, request.path_params["queue"], body.get("type"))
    platform.turnstile.set_paused(queue, action == "pause")
    return reply(_described(platform, environment, queue))


ROUTES = (
    ("GET", "/api/v1/queues", list_queues),
    ("POST", "/api/v1/queues/{queue:path}/pause", pause_queue),
    ("GET", "/api/v1/queues/{queue:path}", retrieve_queue),
)
