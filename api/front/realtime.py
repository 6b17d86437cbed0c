"""`/realtime/v1/runs/{id}` and `/realtime/v1/batches/{id}` of what was issued: a long poll that ends when it changes.

Any process can answer any poll: the feed's handle is made of its name, and its offset of what the client has seen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import orjson
import psycopg
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from api.front import realtime_shape, trigger_shape
from api.front.exchange import fields, respond
from api.front.issued_changes import event_of
from api.front.realtime_shape import MUST_REFETCH, UP_TO_DATE, Row
from api.front.run_watch import RunWatch
from api.front.seen_runs import SeenRuns
from api.front.services import FrontServices
from api.front.trigger_source import CallingSources
from shadow.causes import batches
from shadow.fanout.issued import IssuedRun, issued_runs
from shadow.store.database import Work

log = structlog.get_logger(__name__)

HOLD_SECONDS = 20.0
"""How long a poll waits, as the platform's do."""
_LOOK_SECONDS = 1.0
"""How often the candidate's platform may be asked meanwhile whether a run has begun."""


class RealtimeDoor:
    """Serves feeds of issued runs; all others are Trigger.dev's."""

    def __init__(self, services: FrontServices, sources: CallingSources, seen: SeenRuns, pass_through: ASGIApp) -> None:
        self._services = services
        self._sources = sources
        self._seen = seen
        self._pass_through = pass_through
        self._watch = RunWatch(services.database, services.catalogue)
        self.hold_seconds = HOLD_SECONDS

    async def run(self, scope: Scope, receive: Receive, send: Send, name: str) -> None:
        event = event_of(name)
        try:
            runs = await self._read([event]) if event is not None else []
        except psycopg.Error as error:
            log.error("front.issued_unread", feed=name, error=type(error).__name__)
            await trigger_shape.not_stored(send)
            return
        if not runs:
            await self._pass_through(scope, receive, send)
            return
        source = await self._sources.authenticate(fields(scope), send)
        if source is None:
            return
        if not source.may_read_run(name, runs[0].legacy_task, runs[0].tags):
            await trigger_shape.unauthorized(send)
            return
        await self._feed(scope, send, name, [runs[0].event])

    async def batch(self, scope: Scope, receive: Receive, send: Send, name: str) -> None:
        source = self._sources.holder(fields(scope))
        found = None
        if source is not None and batches.may_be_issued(name):
            try:
                async with self._services.database.connection(Work.CAUSES) as connection:
                    found = await batches.find(connection, source.platform_name, name)
            except psycopg.Error as error:
                log.error("front.issued_unread", feed=name, error=type(error).__name__)
                await trigger_shape.not_stored(send)
                return
        if found is None or not found.issued:
            await self._pass_through(scope, receive, send)
            return
        source = await self._sources.authenticate(fields(scope), send)
        if source is None:
            return
        if not source.may_read("batch", name):
            await trigger_shape.unauthorized(send)
            return
        if found.upstream is not None:
            reason = "its runs are divided between two platforms, which no feed shows together: subscribe to its runs"
            await trigger_shape.refuse(send, 422, f"Batch {name} can't be subscribed to: {reason}")
            return
        await self._feed(scope, send, name, found.events)

    async def _feed(self, scope: Scope, send: Send, name: str, events: Sequence[UUID]) -> None:
        query = {key: values[-1] for key, values in parse_qs(scope.get("query_string", b"").decode("latin-1")).items()}
        modern = "x-trigger-electric-version" in fields(scope)
        handle = realtime_shape.handle(name)
        shown = realtime_shape.columns(query.get("skipColumns", ""))
        offset, live = query.get("offset", "-1"), query.get("live") == "true"
        given = query.get("handle") or query.get("shape_id")
        if offset != "-1" and given != handle:
            made = realtime_shape.headers(handle, "0_0", shown, modern=modern, cursor=None)
            await _answer(send, 409, [MUST_REFETCH], made)
            return
        seen = offset.split("_")[0]
        until = time.monotonic() + self.hold_seconds
        try:
            rows, version = await self._rows(events, shown)
            while live and str(version) == seen and (left := until - time.monotonic()) > 0:
                tasks = [(run.event, run.task) for run in await self._read(events)]
                await self._watch.changed(tasks, min(left, _LOOK_SECONDS))
                rows, version = await self._rows(events, shown)
        except psycopg.Error as error:
            log.error("front.issued_unread", feed=name, error=type(error).__name__)
            await trigger_shape.not_stored(send)
            return
        messages: list[Any] = []
        if str(version) != seen:
            is_new = offset == "-1"
            messages = [realtime_shape.message(event, row, is_new=is_new) for event, row in rows]
        cursor = int(time.time()) if live else None
        made = realtime_shape.headers(handle, f"{version}_0", shown, modern=modern, cursor=cursor)
        await _answer(send, 200, [*messages, UP_TO_DATE], made)

    async def _rows(self, events: Sequence[UUID], shown: frozenset[str]) -> tuple[list[tuple[UUID, Row]], int]:
        """The runs as they are, and a number that stands for just that."""
        now = self._services.clock()
        rows = []
        for run in await self._read(events):
            output = None
            if run.execution.status == "completed" and "output" in shown:
                output = (await self._seen.output(run) or {}).get("output")
            begun = await self._seen.has_begun(run)
            rows.append((run.event, realtime_shape.row(run, output, shown, now, seen=begun)))
        together: Row = {str(event): str(realtime_shape.version(row)) for event, row in rows}
        return rows, realtime_shape.version(together)

    async def _read(self, events: Sequence[UUID]) -> list[IssuedRun]:
        async with self._services.database.connection(Work.CAUSES) as connection:
            return await issued_runs(connection, self._services.catalogue, events)


async def _answer(send: Send, status: int, messages: Sequence[Any], headers: Sequence[tuple[str, str]]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    await respond(send, status, orjson.dumps(messages), [(b"content-type", b"application/json"), *raw])
