"""Reading what Shadow has issued in Trigger.dev's stead, in Trigger.dev's shape (reference 2.3, 3.1).

Runs of calls that are the candidate's, and batches that hold such runs. Everything else is read from Trigger.dev, also
while the database is away: what was issued is not known there, which an SDK takes for a lagging replica and asks again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import orjson
import psycopg
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from api.front import run_shape, trigger_shape
from api.front.exchange import fields, pairs, pass_back, respond
from api.front.intents import Intents, read_json
from api.front.run_shape import iso, present
from api.front.seen_runs import SeenRuns
from api.front.services import FrontServices
from api.front.trigger_source import CallingSource, CallingSources
from shadow.causes import batches
from shadow.causes.batches import Batch, issued_run
from shadow.fanout.issued import issued_run_of
from shadow.platforms.client import Answer, TooLarge
from shadow.store.database import Work

log = structlog.get_logger(__name__)

_UNDER_WAY = "PENDING"
"""Of a batch: the one such status that SDK 4.0 and older know."""
_Read = tuple[str, str]
"""What is read, as a token's scope names it, and its id."""


class IssuedDoor:
    """Answers reads; what it did not issue passes through."""

    def __init__(
        self,
        services: FrontServices,
        sources: CallingSources,
        intents: Intents,
        seen: SeenRuns,
        pass_through: ASGIApp,
    ) -> None:
        self._services = services
        self._sources = sources
        self._intents = intents
        self._pass_through = pass_through
        self._seen = seen

    async def batch(self, scope: Scope, receive: Receive, send: Send, name: str) -> None:
        """`GET /api/v1/batches/{id}` (SDK 3.3) and `GET /api/v2/batches/{id}`."""
        source = self._sources.holder(fields(scope))
        try:
            found = await self._batch(source, name)
            if source is None or found is None or (not found.issued and not found.events):
                await self._pass_through(scope, receive, send)
                return
            source = await self._allowed(scope, send, ("batch", name))
            if source is None:
                return
            async with self._services.database.connection(Work.CAUSES) as connection:
                is_over = await batches.is_over(connection, self._services.catalogue, found.events)
        except psycopg.Error as error:
            log.error("front.issued_unread", batch=name, error=type(error).__name__)
            await self._pass_through(scope, receive, send)
            return
        has_processing = scope["path"].startswith("/api/v2/")
        if found.upstream is None:
            await trigger_shape.found(send, _batch_alone(found, is_over, has_processing))
            return
        version = "v2" if has_processing else "v1"
        path = f"/api/{version}/batches/{quote(found.upstream, safe='')}"
        try:
            answer = await self._read_upstream(source, scope, path)
        except (httpx.TransportError, TimeoutError, TooLarge) as error:
            await trigger_shape.unreachable(send, type(error).__name__)
            return
        document = read_json(answer.body)
        if answer.status == 200 and isinstance(document, dict):
            await respond(send, 200, orjson.dumps(_batch_joined(found, is_over, document)), pass_back(answer.headers))
        else:
            await respond(send, answer.status, answer.body, pass_back(answer.headers))

    async def run(self, scope: Scope, receive: Receive, send: Send, digits: str) -> None:
        """`GET /api/v3/runs/{id}` of an id in the form of ours."""
        event = UUID(hex=digits)
        try:
            async with self._services.database.connection(Work.CAUSES) as connection:
                found = await issued_run_of(connection, self._services.catalogue, event)
        except psycopg.Error as error:
            log.error("front.issued_unread", run=str(event), error=type(error).__name__)
            await self._pass_through(scope, receive, send)
            return
        if found is None:
            await self._pass_through(scope, receive, send)
            return
        source = await self._sources.authenticate(fields(scope), send)
        if source is None:
            return
        if not source.may_read_run(issued_run(event), found.legacy_task, found.tags):
            await trigger_shape.unauthorized(send)
            return
        output: Mapping[str, Any] | None = {}
        if found.execution.status == "completed":
            output = await self._seen.output(found)
        if output is None:  # it has ended, and how can't be said yet: as after a lagging replica
            await trigger_shape.not_found(send)
            return
        seen = await self._seen.has_begun(found)
        await trigger_shape.found(send, {**run_shape.whole(found, self._services.clock(), seen=seen), **output})

    async def _batch(self, source: CallingSource | None, name: str) -> Batch | None:
        if source is None:
            return None
        async with self._services.database.connection(Work.ACCEPT) as connection:
            return await batches.find(connection, source.platform_name, name)

    async def _allowed(self, scope: Scope, send: Send, what: _Read) -> CallingSource | None:
        """The source that reads; None when it has been refused."""
        source = await self._sources.authenticate(fields(scope), send)
        if source is not None and not source.may_read(*what):
            await trigger_shape.unauthorized(send)
            return None
        return source

    async def _read_upstream(self, source: CallingSource, scope: Scope, path: str) -> Answer:
        """With the reader's own key. A token for a name of ours is nothing to Trigger.dev: then with the platform's
        key."""
        headers = list(pairs(scope))
        if source.scopes is not None:
            headers = [(name, value) for name, value in headers if name != "authorization"]
            headers.append(("authorization", f"Bearer {source.platform.secret_key.get_secret_value()}"))
        return await self._intents.forward(source.platform, scope, headers, b"", path)


def _batch_alone(batch: Batch, is_over: bool, has_processing: bool) -> dict[str, Any]:
    sealed = None if batch.sealed_at is None else iso(batch.sealed_at)
    status = "COMPLETED" if is_over and sealed is not None else _UNDER_WAY
    read = {
        "id": batch.name,
        "status": status,
        "createdAt": iso(batch.created_at),
        "updatedAt": sealed or iso(batch.created_at),
        "runCount": batch.run_count,
        "runs": _runs(batch.events),
    }
    if not has_processing:
        return read
    return {
        **read,
        **present(processingCompletedAt=sealed),
        "processing": {**present(completedAt=sealed), "errors": []},
    }


def _batch_joined(batch: Batch, is_over: bool, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Trigger.dev's part of the batch and ours as one. It is over when both are."""
    status = theirs.get("status")
    runs = theirs.get("runs")
    return {
        **theirs,
        "id": batch.name,
        "status": _UNDER_WAY if status == "COMPLETED" and not is_over else status,
        "runCount": batch.run_count,
        "runs": [*(runs if isinstance(runs, list) else ()), *_runs(batch.events)],
    }


def _runs(events: Sequence[UUID]) -> list[str]:
    return [issued_run(event) for event in events]
