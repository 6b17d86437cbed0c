"""The ASGI layer before the routes: standing headers, the rate limiter, the failure switches (reference 1.6,
1.7).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.trigger_dev.errors import problem, reply
from sandbox.trigger_dev.platform import Platform
from sandbox.trigger_dev.ratelimit import PUBLIC_TOKEN_LIMIT, Grant, RateLimit

_log = structlog.get_logger(__name__)

STANDING_HEADERS = {"strict-transport-security": "max-age=3153600000", "x-robots-tag": "noindex, nofollow"}
TRANSPORT = "sandbox.trigger_dev.transport"
"""Scope extension with the connection, put there by the server, so that a trap can cut it."""

_UNLIMITED = re.compile(r"/api/v\d/(packets/|timezones$|auth/jwt/claims$)|/api/v3/batches/[^/]+/items$")
_CREATING = re.compile(r"/api/v\d/tasks/.*(trigger|batch)$|/api/v3/batches(/[^/]+/items)?$")


class Gate:
    """Wraps the routes; everything that answers before or around them."""

    def __init__(self, platform: Platform, app: ASGIApp) -> None:
        self._platform = platform
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        traps = self._platform.traps
        if traps.slow_ms > 0:
            await asyncio.sleep(traps.slow_ms / 1000)
        standing = dict(STANDING_HEADERS)
        if scope["path"].startswith("/api/") and not _UNLIMITED.match(scope["path"]):
            refusal, limited = self._limit(Headers(scope=scope).get("authorization"))
            standing |= limited
            if refusal is not None:
                await refusal(scope, receive, _with_headers(send, standing))
                return
        loses = scope["method"] == "POST" and _CREATING.match(scope["path"]) is not None
        manner = traps.take_loss() if loses else None
        if manner is None:
            await self._app(scope, receive, _with_headers(send, standing))
            return
        await self._app(scope, receive, _nowhere)
        _log.info("trigger_dev.response_lost", path=scope["path"], manner=manner)
        if manner == "500":
            answer = reply({"error": "Something went wrong"}, 500)
            await answer(scope, receive, _with_headers(send, standing))
        else:
            await _cut(scope)

    def _limit(self, authorization: str | None) -> tuple[Response | None, dict[str, str]]:
        """The limiter's refusal, if any, and the headers it leaves on every answer."""
        if authorization is None:
            body, headers = problem(401, "Unauthorized", "No authorization header provided")
            return Response(body, 401, headers), {}
        grant = self._take(authorization)
        if grant.allowed:
            return None, grant.headers()
        seconds = round((grant.reset_ms - int(time.time() * 1000)) / 1000, 3)
        shown = int(seconds) if seconds == int(seconds) else seconds
        detail = f"Rate limit exceeded 0/{grant.limit} requests remaining. Retry in {shown} seconds."
        body, headers = problem(
            429,
            "Rate Limit Exceeded",
            detail,
            reset=grant.reset_ms,
            limit=grant.limit,
            remaining=grant.remaining,
            secondsUntilReset=shown,
        )
        return Response(body, 429, headers), grant.headers()

    def _take(self, authorization: str) -> Grant:
        token = authorization.removeprefix("Bearer ").strip()
        environment = self._platform.environments.by_key(token)
        # All keys of an environment share its bucket; unknown keys have one of their own.
        key = environment.id if environment is not None else hashlib.sha256(authorization.encode()).hexdigest()
        traps = self._platform.traps
        if traps.limit_per_window is not None:
            limit = RateLimit(traps.limit_per_window, traps.limit_per_window, traps.limit_window)
        elif token.count(".") == 2:
            limit = PUBLIC_TOKEN_LIMIT
        else:
            limit = self._platform.rate_limit
        return self._platform.limiter.take(key, limit)


def _with_headers(send: Send, standing: dict[str, str]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            for name, value in standing.items():
                # The batch limiter's answer has rate limit headers of its own.
                headers.setdefault(name, value)
            if headers.get("content-type", "").startswith("application/"):
                headers["vary"] = "Accept-Encoding"
        await send(message)

    return sending


async def _nowhere(message: Message) -> None:
    """Swallow an answer."""


async def _cut(scope: Scope) -> None:
    """Close the connection without an answer. Without a connection (in-process clients) raise instead."""
    transport = scope.get("extensions", {}).get(TRANSPORT, {}).get("transport")
    if transport is None:
        raise ConnectionResetError("the response was lost")
    transport.abort()
    # Let the server notice before this call returns, or it would try to answer.
    await asyncio.sleep(0.01)
