"""`POST /api/v1/idempotencyKeys/{key}/reset`: a key is freed wherever it stands for a run (reference 3.7)."""

from __future__ import annotations

import httpx
import orjson
import psycopg
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from api.front import trigger_shape
from api.front.afterwards import about_key
from api.front.exchange import BodyTooLarge, fields, pairs, pass_back, read_body, respond
from api.front.intents import Intents, read_json
from api.front.services import FrontServices
from api.front.trigger_source import CallingSources
from shadow.intake import known_keys
from shadow.intake.trigger_arrival import producers_key
from shadow.platforms.client import TooLarge
from shadow.store.database import Work

log = structlog.get_logger(__name__)

_MOST_BYTES = 64 * 1024


class KeyResetDoor:
    """Frees keys: Trigger.dev's and ours, as the same key may have stood for runs of both."""

    def __init__(
        self, services: FrontServices, sources: CallingSources, intents: Intents, pass_through: ASGIApp
    ) -> None:
        self._services = services
        self._sources = sources
        self._intents = intents
        self._pass_through = pass_through

    async def reset(self, scope: Scope, receive: Receive, send: Send, key: str) -> None:
        headers = fields(scope)
        source = self._sources.holder(headers)
        if source is None:
            await self._pass_through(scope, receive, send)
            return
        source = await self._sources.authenticate(headers, send)
        if source is None:
            return
        try:
            body = await read_body(scope, receive, _MOST_BYTES)
        except BodyTooLarge:
            await trigger_shape.refuse(send, 413, "Request body too large")
            return
        document = read_json(body)
        named = document.get("taskIdentifier") if isinstance(document, dict) else None
        task = source.tasks.get(named) if isinstance(named, str) else None
        try:
            answer = await self._intents.forward(source.platform, scope, pairs(scope), body)
        except (httpx.TransportError, TimeoutError, TooLarge) as error:
            log.warning("front.passthrough_failed", platform=source.platform_name, error=type(error).__name__)
            await trigger_shape.unreachable(send, type(error).__name__)
            return
        freed = False
        if task is not None and (200 <= answer.status < 300 or answer.status == 404):
            ours = producers_key(source.platform_name, task.id, key)
            await self._services.afterwards.of(about_key(ours))
            try:
                async with self._services.database.connection(Work.ACCEPT) as connection:
                    freed = await known_keys.forget(connection, ours.scope, ours.key)
            except psycopg.Error as error:
                log.error("front.not_stored", door="trigger.dev", source=source.name, error=type(error).__name__)
                await trigger_shape.not_stored(send)
                return
        if freed and answer.status == 404:
            await respond(send, 200, orjson.dumps({"id": key}))
        else:
            await respond(send, answer.status, answer.body, pass_back(answer.headers))
