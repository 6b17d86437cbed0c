"""The routes of the pretend server, and what all of its answers have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.inngest.event_api import EventApi
from sandbox.inngest.rest import RunApi
from sandbox.inngest.rest_v2 import RunApiV2
from sandbox.inngest.sdk_api import SdkApi
from sandbox.inngest.signing import is_authorised

Endpoint = Callable[[Request], Awaitable[Response]]
GUARDED = ("/v0/runs/", "/v1/", "/v2/", "/fn/register")
"""Paths which ask for the signing key where one is configured."""


def application(
    *,
    event_api: EventApi,
    run_api: RunApi,
    run_api_v2: RunApiV2,
    sdk_api: SdkApi,
    server_kind: str,
    signing_key: str | None,
    lifespan: Callable[[Any], AbstractAsyncContextManager[None]],
) -> ASGIApp:
    """Assemble the ASGI application."""
    routes = [
        _route("POST", "/e/{key}", event_api.send),
        _route("POST", "/invoke/{slug}", event_api.invoke),
        _route("GET", "/v1/events", run_api.list_events),
        _route("GET", "/v1/events/{event_id}", run_api.get_event),
        _route("GET", "/v1/events/{event_id}/runs", run_api.list_event_runs),
        Route(
            "/v1/runs/{run_id}",
            _by_method(GET=run_api.get_run, DELETE=run_api.cancel_run),
            methods=["GET", "DELETE"],
        ),
        _route("GET", "/v1/apps/{app_name}/functions", run_api.list_functions),
        _route("POST", "/v1/checkpoint/{run_id}/async", sdk_api.checkpoint),
        _route("GET", "/v2/runs", run_api_v2.list_runs),
        _route("GET", "/v2/runs/{run_id}", run_api_v2.get_run),
        _route("GET", "/v2/runs/{run_id}/trace", run_api_v2.trace),
        _route("POST", "/v2/runs/{run_id}/rerun", run_api_v2.rerun),
        _route("POST", "/fn/register", sdk_api.register),
        _route("GET", "/v0/runs/{run_id}/batch", sdk_api.batch),
        _route("GET", "/v0/runs/{run_id}/actions", sdk_api.actions),
        _route("GET", "/health", _health),
    ]
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={HTTPException: _plain_refusal},
        middleware=[Middleware(_Envelope, server_kind=server_kind, signing_key=signing_key)],
    )


def _route(method: str, path: str, endpoint: Endpoint) -> Route:
    return Route(path, endpoint, methods=[method], include_in_schema=False)


def _by_method(**endpoints: Endpoint) -> Endpoint:
    async def choose(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return choose


async def _health(request: Request) -> Response:
    return Response(orjson.dumps({"status": 200, "message": "OK"}), media_type="application/json")


async def _plain_refusal(request: Request, error: Exception) -> Response:
    """404 and 405 without a body, the latter with the methods that are allowed."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if "Allow" in headers:
        allowed = {method.strip() for method in headers["Allow"].split(",")} - {"HEAD"}
        headers["Allow"] = ", ".join(sorted(allowed))
    return Response(b"", error.status_code, headers=headers)


class _Envelope:
    """Headers of every answer, and the signing key asked for before anything else."""

    def __init__(self, app: ASGIApp, server_kind: str, signing_key: str | None) -> None:
        self._app = app
        self._server_kind = server_kind
        self._signing_key = signing_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["vary"] = "Origin"
                headers["x-inngest-server-kind"] = self._server_kind
            await send(message)

        if self._signing_key is not None and scope["path"].startswith(GUARDED):
            authorization = Headers(scope=scope).get("authorization")
            if not is_authorised(authorization, self._signing_key):
                refusal = Response("Authentication failed", 401, media_type="text/plain")
                await refusal(scope, receive, send_with_headers)
                return
        await self._app(scope, receive, send_with_headers)
