"""Middleware for the official Inngest SDK: the run at hand is known to all that a function and its steps do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextvars import Token
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import inngest

from shadow.capture.errors import RetryLater
from shadow.capture.reports import Reports
from shadow.capture.routes import Routes
from shadow.capture.run import Run, current_run, enter, leave
from shadow.capture.settings import Settings

_log = logging.getLogger("shadow.capture")
EVENTS = "events"
"""The target of emitted events, whatever platform carries them."""


class InngestRetryLater(RetryLater, inngest.RetryAfterError):
    """Both at once: the SDK has the platform try again at that time, past the step's own error handling."""

    def __init__(self, message: str, after: float) -> None:
        RetryLater.__init__(self, message, after)
        inngest.RetryAfterError.__init__(self, message, max(1, round(after * 1000)), quiet=True)


def inert(_client: inngest.Inngest, _request: object) -> inngest.MiddlewareSync:
    """Middleware that does nothing."""
    return inngest.MiddlewareSync(_client, _request)


def middleware(
    settings: Settings, routes: Routes, reports: Reports
) -> Callable[[inngest.Inngest, object], inngest.MiddlewareSync]:
    """The class that the SDK makes one of for every request to the app, and for every `client.send`."""

    class Capture(inngest.MiddlewareSync):
        """Serves functions of either kind: what there is to await, hooks return, and the SDK awaits it."""

        def __init__(self, client: inngest.Inngest, raw_request: object) -> None:
            super().__init__(client, raw_request)
            self._run: tuple[Run, Token[Run | None]] | None = None
            self._sending: list[inngest.Event] = []
            _stamp_events(client, settings, routes)

        def transform_input(
            self, ctx: inngest.Context | inngest.ContextSync, function: inngest.Function[Any], steps: Any
        ) -> None:
            run = Run(ctx.run_id, function.local_id, ctx.attempt + 1, ctx.event.id or None, InngestRetryLater)
            self._run = (run, enter(run))

        def before_response(self) -> Any:
            if self._run is None:
                return None
            (run, token), self._run = self._run, None
            leave(token)
            if not run.effects:
                return None
            return reports.flush_async(run) if _awaited() else reports.flush(run)

        def before_send_events(self, events: list[inngest.Event]) -> None:
            self._sending = list(events)

        def after_send_events(self, result: inngest.SendEventsResult) -> None:
            events, self._sending = self._sending, []
            run = current_run()
            passes_the_door = _same_host(self.client.event_api_origin, settings.gateway_url)
            if run is None or result.error is not None or passes_the_door or not reports.possible:
                return
            # Shadow does not see them pass: the ids that Inngest gave them lead it to their runs. They are told with
            # whatever else the step did, by the middleware of the request.
            run.effects.extend(_emission(event, given) for event, given in zip(events, result.ids, strict=False))

    return Capture


def _emission(event: inngest.Event, given: str) -> dict[str, Any]:
    data = dict(event.data)
    if event.ts > time.time() * 1000:
        moment = datetime.fromtimestamp(event.ts / 1000, UTC)
        data["scheduledFor"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"id": f"event:{given}", "kind": "event", "target": EVENTS, "operation": event.name, "data": data}


def _stamp_events(client: inngest.Inngest, settings: Settings, routes: Routes) -> None:
    """Have requests of that client to Shadow's door say whose events they bring.

    The SDK has no hook for headers, but builds every request, for both its HTTP clients, by one function; that is
    wrapped, since only there the run at hand is sure to be known.
    """
    http: Any = getattr(client, "_http_client", None)
    build = getattr(http, "build_httpx_request", None)
    if build is None:
        _log.warning(
            "shadow: this release of the inngest SDK builds requests in another way: emitted events go unmarked"
        )
        return
    if getattr(build, "shadow", None) is not None:
        return

    def stamped(method: str, url: Any, **options: Any) -> Any:
        if _same_host(str(url), settings.gateway_url):
            marks = routes.marks(current_run())
            options["headers"] = {**(options.get("headers") or {}), **marks}
        return build(method, url, **options)

    vars(stamped)["shadow"] = settings
    http.build_httpx_request = stamped


def _same_host(url: str, other: str) -> bool:
    return urlsplit(url).netloc == urlsplit(other).netloc


def _awaited() -> bool:
    """Whether the SDK calls from its asynchronous half."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
