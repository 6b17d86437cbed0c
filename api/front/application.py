"""The front listener: a dispatcher in front of the doors.

Doors speak ASGI themselves: no framework, middleware or model is on the path of an event. What they do not serve goes
to a FastAPI application: health, the watcher, and the reports of workers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.front import inngest as inngest_door
from api.front import trigger_shape
from api.front.egress import EgressEdge
from api.front.exchange import Disconnected, problem
from api.front.inngest import PASSED_PREFIXES, InngestDoor
from api.front.plans import Plans
from api.front.services import FrontServices
from api.front.trigger import TriggerDoor
from api.front.webhook import WebhookDoor
from api.front.workers import Workers
from shadow.intake.arrival import Door
from shadow.observe import metrics

log = structlog.get_logger(__name__)

_BRINGING_RUNS = ("/trigger", "/batch", "/items")
"""How the paths of Trigger.dev end whose calls bring events."""


def front_app(services: FrontServices) -> ASGIApp:
    """The application to be served on the front listener.

    Serve it without the server's own `date` and `server` headers: platforms' answers carry theirs.

    Raises:
        ValueError: a source's signature settings do not fit its scheme.
    """
    plans = Plans(services.catalogue, services.routing)
    webhook = WebhookDoor(services, plans)
    workers = Workers(services)
    inngest = InngestDoor(services, plans, workers)
    trigger = TriggerDoor(services, plans, workers)
    egress = EgressEdge(services.gateway) if services.gateway is not None else None
    rest = _rest(services)
    extra = {prefix.strip("/"): _mounted(prefix, app) for prefix, app in services.extra}

    def door(path: str) -> ASGIApp:
        first = path.partition("/")[2].partition("/")[0]
        if first == "e":
            return inngest
        if first == "webhooks":
            return webhook
        if first in ("api", "realtime"):
            return trigger
        if first == "egress" and egress is not None:
            return egress
        if "/" + first in PASSED_PREFIXES:
            return inngest.pass_through
        return extra.get(first, rest)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await rest(scope, receive, send)
            return
        taken_by = _door_of(scope["method"], scope["path"])
        if taken_by is None:
            await _until_left(door(scope["path"]), scope, receive, send)
            return
        begun = perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await door(scope["path"])(scope, receive, watched)
        except Disconnected:
            log.info("front.client_left")
        except Exception:
            if status:
                raise  # the answer has begun: the server breaks it off
            log.exception("front.failed", door=taken_by.value)
            await _FAILED[taken_by](watched)
        if status >= 400:
            metrics.refused(taken_by, status)
        elif status:
            metrics.answered(taken_by, perf_counter() - begun)

    return application


async def _until_left(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve, and take it calmly when the client goes away."""
    try:
        await app(scope, receive, send)
    except Disconnected:
        log.info("front.client_left")


async def _webhook_failed(send: Send) -> None:
    await problem(send, 500, "the delivery could not be taken; send it again")


_FAILED: Mapping[Door, Callable[[Send], Awaitable[None]]] = {
    Door.INNGEST: inngest_door.failed,
    Door.WEBHOOK: _webhook_failed,
    Door.TRIGGER: trigger_shape.failed,
}
"""What a door answers to what nobody foresaw."""


def _door_of(method: str, path: str) -> Door | None:
    """The door whose figures a request counts in; None for whatever brings no events."""
    if method != "POST":
        return None
    if path.startswith("/e/"):
        return Door.INNGEST
    if path.startswith("/webhooks/"):
        return Door.WEBHOOK
    if path.startswith("/api/") and path.endswith(_BRINGING_RUNS):
        return Door.TRIGGER
    return None


def _rest(services: FrontServices) -> FastAPI:
    """What is not hot."""
    application = FastAPI(title="Shadow, front listener", docs_url=None, redoc_url=None, openapi_url=None)

    @application.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @application.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        body = {"type": "about:blank", "title": error.detail, "status": error.status_code}
        return JSONResponse(body, error.status_code, headers=error.headers, media_type="application/problem+json")

    for prefix, extra in services.extra:
        application.mount(prefix, extra)
    return application


def _mounted(prefix: str, app: ASGIApp) -> ASGIApp:
    """An application below `prefix`, reached without a framework around it."""

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": scope.get("root_path", "") + prefix}, receive, send)

    return mounted
