"""Cancel, reschedule and replay: passed on to Trigger.dev, and written down where they succeed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import orjson
import psycopg
import structlog
from starlette.types import Receive, Scope, Send

from api.front import trigger_shape
from api.front.exchange import BodyTooLarge, fields, pairs, pass_back, problem, read_body, respond, target
from api.front.services import FrontServices
from api.front.trigger_source import CallingSources
from shadow.intake import run_changes
from shadow.platforms.client import TooLarge, carry
from shadow.store.database import Connection, Work

log = structlog.get_logger(__name__)

_WITHIN = timedelta(seconds=45)

_Record = Callable[[Connection, str, Any], Awaitable[None]]
"""Writes the change down: connection, platform, the answer's JSON."""


class RunChangeDoor:
    """What producers do to runs that were started."""

    def __init__(self, services: FrontServices, sources: CallingSources) -> None:
        self._services = services
        self._sources = sources

    async def cancel(self, scope: Scope, receive: Receive, send: Send, run: str) -> None:
        """`POST /api/v2/runs/{id}/cancel`."""

        async def record(connection: Connection, platform: str, _answer: Any) -> None:
            await run_changes.cancelled(connection, self._services.catalogue, platform, run)

        await self._change(scope, receive, send, record)

    async def reschedule(self, scope: Scope, receive: Receive, send: Send, run: str) -> None:
        """`POST /api/v1/runs/{id}/reschedule`."""

        async def record(connection: Connection, platform: str, _answer: Any) -> None:
            await run_changes.rescheduled(connection, platform, run)

        await self._change(scope, receive, send, record)

    async def replay(self, scope: Scope, receive: Receive, send: Send, run: str) -> None:
        """`POST /api/v1/runs/{id}/replay`."""

        async def record(connection: Connection, platform: str, answer: Any) -> None:
            new_run = answer.get("id") if isinstance(answer, dict) else None
            if isinstance(new_run, str):
                await run_changes.replayed(connection, platform, run, new_run)

        await self._change(scope, receive, send, record)

    async def _change(self, scope: Scope, receive: Receive, send: Send, record: _Record) -> None:
        found = self._sources.platform_of(fields(scope))
        if found is None:
            await problem(send, 404, "the catalogue has no platform of kind trigger.dev")
            return
        name, platform = found
        try:
            body = await read_body(scope, receive, self._services.catalogue.limits.body_bytes)
        except BodyTooLarge:
            await trigger_shape.refuse(send, 413, "Request body too large")
            return
        headers = [(key, value) for key, value in pairs(scope) if key != "accept-encoding"]
        headers.append(("accept-encoding", "identity"))
        try:
            answer = await carry(
                self._services.http,
                scope["method"],
                target(scope, platform.url),
                headers,
                body,
                within=_WITHIN,
            )
        except (httpx.TransportError, TimeoutError, TooLarge) as error:
            log.warning("front.passthrough_failed", platform=name, error=type(error).__name__)
            await trigger_shape.unreachable(send, type(error).__name__)
            return
        if 200 <= answer.status < 300:
            try:
                async with self._services.database.connection(Work.ACCEPT) as connection:
                    await record(connection, name, orjson.loads(answer.body or b"null"))
            except (psycopg.Error, orjson.JSONDecodeError) as error:
                log.error("front.change_not_recorded", platform=name, error=type(error).__name__)
        await respond(send, answer.status, answer.body, pass_back(answer.headers))
