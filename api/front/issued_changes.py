"""What clients do to runs that were issued, as to any run of Trigger.dev: cancel, reschedule, replay, tags, metadata.

Runs that Trigger.dev has are the business of `api/front/run_changes.py`. Reference 3.7.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import UUID

import orjson
import psycopg
import structlog
from starlette.types import Receive, Scope, Send

from api.front import run_shape, trigger_shape
from api.front.exchange import BodyTooLarge, fields, pairs, read_body
from api.front.intent import NotServed, Taken, TriggerTold
from api.front.intents import Intents
from api.front.run_changes import RunChangeDoor
from api.front.services import FrontServices
from api.front.trigger_source import CallingSource, CallingSources
from shadow.catalogue.model import Origin
from shadow.causes.batches import issued_run
from shadow.fanout import issued_changes
from shadow.fanout.issued import IssuedRun, call_of_run, issued_run_of
from shadow.fanout.issued_changes import Change
from shadow.fanout.issued_overlay import TooManyTags, add_tags, change_metadata
from shadow.intake.group_commit import Overloaded
from shadow.intake.trigger_arrival import wire_key
from shadow.intake.trigger_calls import (
    REQUEST_KEY,
    CallRefused,
    delayed_until,
    kept_headers,
    replayed_body,
    tags_of,
    trigger_call,
)
from shadow.store.database import Work

log = structlog.get_logger(__name__)

Handler = Callable[[Scope, Receive, Send, str], Awaitable[None]]

_BUSY_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Pauses before a run is tried again that is being handed over."""


class IssuedChangeDoor:
    """The calls; `run` is the id without its prefix. Of a run that was not issued they are handed on."""

    def __init__(
        self, services: FrontServices, sources: CallingSources, intents: Intents, changes: RunChangeDoor
    ) -> None:
        self._changes = changes
        self._services = services
        self._sources = sources
        self._intents = intents

    async def cancel(self, scope: Scope, receive: Receive, send: Send, run: IssuedRun, source: CallingSource) -> None:
        """`POST /api/v2/runs/{id}/cancel`: a run that has ended is left alone, with the same answer."""
        made = partial(issued_changes.cancel, self._services.database, self._services.catalogue, run.event, run.task)
        if await _unless_busy(made) is Change.BUSY:
            await trigger_shape.not_stored(send)
            return
        await trigger_shape.found(send, {"id": issued_run(run.event)})

    async def reschedule(
        self, scope: Scope, receive: Receive, send: Send, run: IssuedRun, source: CallingSource
    ) -> None:
        """`POST /api/v1/runs/{id}/reschedule`: of a run that is delayed still; answers with the run."""
        given = await self._document(scope, receive)
        delay = given.get("delay") if given is not None else None
        if not isinstance(delay, str):
            await trigger_shape.refuse(send, 400, "Invalid request body")
            return
        now = self._services.clock()
        at = delayed_until(delay, now)
        if at is None:
            await trigger_shape.refuse(send, 400, "Invalid delay value")
            return
        database, catalogue = self._services.database, self._services.catalogue
        change = await _unless_busy(
            partial(issued_changes.reschedule, database, catalogue, run.event, run.task, max(at, now))
        )
        if change is Change.BUSY:
            await trigger_shape.not_stored(send)
        elif change is Change.NOTHING:
            await trigger_shape.refuse(send, 400, "Cannot reschedule a run that is not delayed")
        else:
            async with database.connection(Work.CAUSES) as connection:
                moved = await issued_run_of(connection, catalogue, run.event)
            await trigger_shape.found(send, run_shape.whole(moved or run, now))

    async def replay(self, scope: Scope, receive: Receive, send: Send, run: IssuedRun, source: CallingSource) -> None:
        """`POST /api/v1/runs/{id}/replay`: the same call once more, without its key, for whoever has authority now."""
        if run.request is None:
            await trigger_shape.refuse(send, 400, "the call is not kept any more")
            return
        await self._replayed(scope, send, source, run.event, run.legacy_task, run.request)

    async def replay_of_legacys(self, scope: Scope, receive: Receive, send: Send, name: str) -> None:
        """The same of a run of Trigger.dev's, as long as its task may be the candidate's by now: Trigger.dev would run
        it without authority. Any other replay is Trigger.dev's business."""
        source = self._sources.holder(fields(scope))
        if source is None or source.origin is not Origin.PRODUCER or not self._intents.may_issue(source):
            await self._changes.replay(scope, receive, send, name)
            return
        await self._services.afterwards.of(name)
        async with self._services.database.connection(Work.CAUSES) as connection:
            call = await call_of_run(connection, self._services.catalogue, source.platform_name, name)
        if call is None or call.request is None or not self._intents.may_issue(source, [call.legacy_task]):
            await self._changes.replay(scope, receive, send, name)
            return
        source = await self._sources.authenticate(fields(scope), send)
        if source is None:
            return
        if not source.may_write("runs", name):
            await trigger_shape.unauthorized(send)
            return
        await self._replayed(scope, send, source, call.event, call.legacy_task, call.request)

    async def _replayed(
        self, scope: Scope, send: Send, source: CallingSource, event: UUID, legacy_task: str, request: bytes
    ) -> None:
        task = source.tasks.get(legacy_task)
        try:
            body = replayed_body(request)
            call = trigger_call(legacy_task, body, {})
        except CallRefused as error:
            await trigger_shape.refuse(send, error.status, str(error))
            return
        if task is None:
            await trigger_shape.refuse(send, 404, f"Task {legacy_task} is not in the catalogue")
            return
        headers = fields(scope)
        again = headers.get(REQUEST_KEY)
        request_key = f"replay:{event}:{again}" if again else None
        key = wire_key(source.name, source.platform_name, task.id, call, request_key)
        sent = [(name, value) for name, value in pairs(scope) if name not in ("content-length", "content-type")]
        sent.append(("content-type", "application/json"))
        (intent,) = await self._intents.commit(
            source, [(task, call, key)], kept_headers(sent), TriggerTold.of(headers), bridges=True
        )
        if intent.is_issued:
            await self._intents.note_issued([intent])
            await trigger_shape.taken(send, source.platform, 200, {"id": intent.run}, f"read:runs:{intent.run}")
            return
        sent.append(("idempotency-key", key.value))
        path = f"/api/v1/tasks/{quote(legacy_task, safe='')}/trigger"
        ask = partial(self._intents.forward, source.platform, scope, sent, body, path)
        await self._intents.conclude(source, scope, send, sent, body, [intent], _started, ask=ask)

    async def tag(self, scope: Scope, receive: Receive, send: Send, run: IssuedRun, source: CallingSource) -> None:
        """`POST /api/v1/runs/{id}/tags`: ten of them at most."""
        given = await self._document(scope, receive)
        tags = given.get("tags") if given is not None else None
        if not (isinstance(tags, str) or (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags))):
            await trigger_shape.refuse(send, 400, "Invalid request body")
            return
        async with self._services.database.connection(Work.ACCEPT) as connection:
            try:
                added = await add_tags(connection, run, tags_of(tags))
            except TooManyTags as error:
                await trigger_shape.refuse(send, 422, str(error))
                return
        message = f"Successfully set {added} new tags." if added else "No new tags to add"
        await trigger_shape.found(send, {"message": message})

    async def read_metadata(
        self, scope: Scope, receive: Receive, send: Send, run: IssuedRun, source: CallingSource
    ) -> None:
        """`GET /api/v1/runs/{id}/metadata`."""
        body = {"metadata": run.metadata if run.metadata is not None else {}, "metadataType": "application/json"}
        await trigger_shape.found(send, body)

    async def write_metadata(
        self, scope: Scope, receive: Receive, send: Send, run: IssuedRun, source: CallingSource
    ) -> None:
        """`PUT /api/v1/runs/{id}/metadata`."""
        given = await self._document(scope, receive)
        if given is None:
            await trigger_shape.refuse(send, 400, "Validation error: Expected object")
            return
        async with self._services.database.connection(Work.ACCEPT) as connection:
            metadata = await change_metadata(connection, run, given)
        await trigger_shape.found(send, {"metadata": metadata})

    def of(self, change: Callable[..., Awaitable[None]], otherwise: Handler) -> Handler:
        """A handler of paths with a run's id, which does that to an issued run, and the other thing to any other."""

        async def handle(scope: Scope, receive: Receive, send: Send, name: str) -> None:
            event = event_of(name)
            try:
                if event is None:
                    await otherwise(scope, receive, send, name)
                    return
                async with self._services.database.connection(Work.CAUSES) as connection:
                    run = await issued_run_of(connection, self._services.catalogue, event)
                if run is None:
                    await otherwise(scope, receive, send, name)
                    return
                source = await self._sources.authenticate(fields(scope), send)
                if source is None:
                    return
                if not source.may_write("runs", name) and not (
                    scope["method"] == "GET" and source.may_read("runs", name)
                ):
                    await trigger_shape.unauthorized(send)
                    return
                await change(scope, receive, send, run, source)
            except BodyTooLarge:
                await trigger_shape.refuse(send, 413, "Request body too large")
            except NotServed as error:
                await trigger_shape.not_served(send, str(error))
            except (psycopg.Error, Overloaded) as error:
                log.error("front.not_stored", door="trigger.dev", error=type(error).__name__)
                await trigger_shape.not_stored(send)

        return handle

    async def _document(self, scope: Scope, receive: Receive) -> Mapping[str, Any] | None:
        """The body, where it is a JSON object."""
        body = await read_body(scope, receive, self._services.catalogue.limits.body_bytes)
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        return document if isinstance(document, dict) else None


def event_of(run: str) -> UUID | None:
    """The event of a run whose id has the form of ours."""
    digits = run.removeprefix("run_")
    if len(digits) != 32 or digits == run or not set(digits) <= _DIGITS:
        return None
    return UUID(hex=digits)


_DIGITS = frozenset("0123456789abcdef")


async def _unless_busy(change: Callable[[], Awaitable[Change]]) -> Change:
    for pause in _BUSY_SECONDS:
        made = await change()
        if made is not Change.BUSY:
            return made
        await asyncio.sleep(pause)
    return await change()


def _started(answer: Any, intents: Any) -> list[Taken | None]:
    run = answer.get("id") if isinstance(answer, dict) else None
    if not isinstance(run, str) or not run:
        return [None] * len(intents)
    return [Taken(run, answer.get("isCached") is True)] * len(intents)
