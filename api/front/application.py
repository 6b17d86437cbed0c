"""The front listener: a dispatcher in front of the doors.

Doors speak ASGI themselves: no framework, middleware or model is on the path of an event. What they do not serve goes
to a FastAPI application: health, the watcher, and the reports of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.front import inngest as inngest_door
from api.front import trigger_shape
from api.front import webhook as webhook_door
from api.front.egress import EgressEdge
from api.front.exchange import Disconnected, RawHeaders, Whole, respond
from api.front.inngest import PASSED_PREFIXES, InngestDoor
from api.front.plans import Plans
from api.front.services import FrontServices
from api.front.trigger import TriggerDoor
from api.front.webhook import WebhookDoor
from api.front.workers import Workers
from shadow.intake.arrival import Door
from shadow.observe import metrics

log = structlog.get_logger(__name__)

Reply = Callable[[int, bytes, RawHeaders], None]
"""Answers with status, body and headers."""

_WEBHOOKS = "/webhooks/"
_EVENTS = "/e/"
_BRINGING_RUNS = ("/trigger", "/batch", "/items")
"""How the paths of Trigger.dev end whose calls bring events."""


class FrontApp:
    """The application to be served on the front listener.

    Serve it without the server's own `date` and `server` headers: platforms' answers carry theirs. A server that has a
    request whole may offer it to `direct` first.
    """

    def __init__(self, services: FrontServices) -> None:
        """
        Raises:
            ValueError: a source's signature settings do not fit its scheme.
        """
        plans = Plans(services.catalogue, services.routing)
        workers = Workers(services)
        self._webhook = WebhookDoor(services, plans)
        self._inngest = InngestDoor(services, plans, workers)
        self._trigger = TriggerDoor(services, plans, workers)
        self._egress = EgressEdge(services.gateway) if services.gateway is not None else None
        self._rest = _rest(services)
        self._extra = {prefix.strip("/"): _mounted(prefix, app) for prefix, app in services.extra}

    def direct(self, scope: Scope, body: bytes, reply: Reply) -> bool:
        """Take a request without a task of its own: what doors do for an event ends in the group commit, which answers.

        Args:
            reply: called once, now or later, from the event loop, unless this returns False.

        Returns:
            False: nothing was done, call the application.
        """
        path: str = scope["path"]
        door: InngestDoor | WebhookDoor
        if path.startswith(_EVENTS):
            door, exchange = self._inngest, _Direct(Door.INNGEST, reply)
        elif path.startswith(_WEBHOOKS):
            door, exchange = self._webhook, _Direct(Door.WEBHOOK, reply)
        else:
            return False
        try:
            return door.take(scope, body, exchange)
        except Exception as error:
            exchange.failed(error)
            return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        taken_by = _door_of(scope["method"], scope["path"])
        if taken_by is None:
            await _until_left(self._door(scope["path"]), scope, receive, send)
            return
        begun = perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._door(scope["path"])(scope, receive, watched)
        except Disconnected:
            log.info("front.client_left")
        except Exception:
            if status:
                raise  # the answer has begun: the server breaks it off
            log.exception("front.failed", door=taken_by.value)
            await respond(watched, *_FAILED[taken_by])
        if status >= 400:
            metrics.refused(taken_by, status)
        elif status:
            metrics.answered(taken_by, perf_counter() - begun)

    def _door(self, path: str) -> ASGIApp:
        first = path.partition("/")[2].partition("/")[0]
        if first == "e":
            return self._inngest
        if first == "webhooks":
            return self._webhook
        if first in ("api", "realtime"):
            return self._trigger
        if first == "egress" and self._egress is not None:
            return self._egress
        if "/" + first in PASSED_PREFIXES:
            return self._inngest.pass_through
        return self._extra.get(first, self._rest)


class _Direct:
    """The exchange of a request that no task serves."""

    __slots__ = ("_begun", "_door", "_reply")

    def __init__(self, door: Door, reply: Reply) -> None:
        self._door = door
        self._reply = reply
        self._begun = perf_counter()

    def answer(self, whole: Whole) -> None:
        status, body, headers = whole
        self._reply(status, body, headers)
        if status >= 400:
            metrics.refused(self._door, status)
        else:
            metrics.answered(self._door, perf_counter() - self._begun)

    def failed(self, error: Exception) -> None:
        log.error("front.failed", door=self._door.value, exc_info=error)
        self.answer(_FAILED[self._door])


async def _until_left(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve, and take it calmly when the client goes away."""
    try:
        await app(scope, receive, send)
    except Disconnected:
        log.info("front.client_left")


_FAILED: Mapping[Door, Whole] = {
    Door.INNGEST: inngest_door.FAILED,
    Door.WEBHOOK: webhook_door.FAILED,
    Door.TRIGGER: trigger_shape.FAILED,
}
"""What a door answers to what nobody foresaw."""


def _door_of(method: str, path: str) -> Door | None:
    """The door whose figures a request counts in; None for whatever brings no events."""
    if method != "POST":
        return None
    if path.startswith(_EVENTS):
        return Door.INNGEST
    if path.startswith(_WEBHOOKS):
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
