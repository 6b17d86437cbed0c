"""The parts of one pretend platform, wired together, and the way a request is admitted by a route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.trigger_dev.batch_store import BatchStore
from sandbox.trigger_dev.environments import Environments
from sandbox.trigger_dev.errors import ApiError
from sandbox.trigger_dev.executor import Executor
from sandbox.trigger_dev.packets import PacketStore
from sandbox.trigger_dev.queues import Turnstile
from sandbox.trigger_dev.ratelimit import RateLimit, RateLimiter
from sandbox.trigger_dev.runs import RunStore
from sandbox.trigger_dev.schedule_store import ScheduleStore
from sandbox.trigger_dev.tokens import Caller, authenticate
from sandbox.trigger_dev.traps import Traps
from sandbox.trigger_dev.triggering import Triggering

CURRENT_API_VERSION = "2025-07-16"
MOST_BODY_BYTES = 3 * 1024 * 1024
MOST_BATCH_BODY_BYTES = 1_000_000


@dataclass
class Platform:
    """Everything the routes share."""

    environments: Environments
    version: str
    traps: Traps
    rate_limit: RateLimit
    batch_rate_limit: RateLimit
    realtime_hold_seconds: float
    runs: RunStore
    packets: PacketStore
    turnstile: Turnstile
    executor: Executor
    triggering: Triggering
    batches: BatchStore
    schedules: ScheduleStore
    limiter: RateLimiter

    def caller(self, request: Request, wording: str = "Invalid API key") -> Caller:
        """Who sent the request. Raises ApiError 401; `wording` is this route's text for a bad key."""
        return authenticate(request.headers.get("authorization"), self.environments, self.traps, wording)


Handler = Callable[[Platform, Request], Awaitable[Response]]


def bind(platform: Platform, table: Sequence[tuple[str, str, Handler]]) -> list[Route]:
    """Routes from (method, path, handler) triples."""

    def endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            return await handler(platform, request)

        return handle

    return [Route(path, endpoint(handler), methods=[method]) for method, path, handler in table]


def check_length(request: Request, limit: int = MOST_BODY_BYTES) -> None:
    """Raise ApiError 413 when Content-Length is missing or over `limit` bytes: these routes take no chunked
    bodies.
    """
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > limit:
        raise ApiError(413, "Request body too large")


async def json_body(request: Request) -> Any:
    """The JSON body of a route of the newer kind. Raises ApiError 400 when it is empty or broken."""
    body = await request.body()
    if not body:
        raise ApiError(400, "Request body is empty")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ApiError(400, "Invalid JSON") from None


async def plain_json_body(request: Request) -> Any:
    """The JSON body of one of the older, hand-written routes. Raises ApiError 400."""
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        raise ApiError(400, "Invalid request body", {}) from None


def speaks_current(request: Request) -> bool:
    """Whether the client asked for the current status vocabulary."""
    return request.headers.get("x-trigger-api-version") == CURRENT_API_VERSION
