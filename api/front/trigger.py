"""The Trigger.dev door: trigger calls and batches are recorded, the rest of `/api` and `/realtime` passes through."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import psycopg
import structlog
from starlette.types import Receive, Scope, Send

from api.front import trigger_shape
from api.front.addressed import named
from api.front.announcements import AnnouncementDoor
from api.front.batches import BatchDoor
from api.front.ever_issued import EverIssued
from api.front.exchange import ENCODED, BodyTooLarge, fields, is_encoded, pairs, problem, read_body
from api.front.intent import Intent, NotServed, Taken, TriggerTold
from api.front.intents import Intents
from api.front.issued import IssuedDoor
from api.front.issued_changes import IssuedChangeDoor
from api.front.key_reset import KeyResetDoor
from api.front.passthrough import pass_through
from api.front.plans import Plans
from api.front.realtime import RealtimeDoor
from api.front.run_changes import RunChangeDoor
from api.front.run_list import RunListDoor
from api.front.seen_runs import SeenRuns
from api.front.services import FrontServices
from api.front.trigger_source import CallingSources
from api.front.workers import Workers
from shadow.intake.group_commit import Overloaded
from shadow.intake.trigger_arrival import wire_key
from shadow.intake.trigger_calls import REQUEST_KEY, CallRefused, kept_headers, trigger_call

log = structlog.get_logger(__name__)

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_Handler = Callable[[Scope, Receive, Send, str], Awaitable[None]]


class TriggerDoor:
    """Sends each path to what serves it.

    Paths are matched as they came, still percent-encoded: a task's id or a packet's name may hold an encoded slash.
    """

    def __init__(self, services: FrontServices, plans: Plans, workers: Workers) -> None:
        self._services = services
        self._limit = services.catalogue.limits.body_bytes
        self._sources = CallingSources(services.catalogue)
        self._intents = Intents(services, plans, workers)
        batches = BatchDoor(services, self._sources, self._intents, self.pass_through)
        ever_issued = EverIssued(services)
        announcements = AnnouncementDoor(services, self._sources, self._intents, ever_issued, self.pass_through)
        changes = RunChangeDoor(services, self._sources)
        ours = IssuedChangeDoor(services, self._sources, self._intents, changes)
        resets = KeyResetDoor(services, self._sources, self._intents, self.pass_through)
        self._routes: Sequence[tuple[re.Pattern[bytes], _Handler]] = (
            (_like(rb"^/api/v1/tasks/([^/]+)/trigger$"), self._trigger),
            (_like(rb"^/api/v3/(batches)$"), announcements.announced),
            (_like(rb"^/api/v3/batches/([^/]+)/items$"), batches.streamed),
            (_like(rb"^/api/v2/tasks/(batch)$"), batches.unnamed),
            (_like(rb"^/api/v1/tasks/(batch)$"), batches.named),
            (_like(rb"^/api/v1/tasks/([^/]+)/batch$"), batches.of_task),
            (_like(rb"^/api/v[12]/runs/([^/]+)/cancel$"), ours.of(ours.cancel, changes.cancel)),
            (_like(rb"^/api/v1/runs/([^/]+)/reschedule$"), ours.of(ours.reschedule, changes.reschedule)),
            (_like(rb"^/api/v1/runs/([^/]+)/replay$"), ours.of(ours.replay, ours.replay_of_legacys)),
            (_like(rb"^/api/v1/runs/([^/]+)/tags$"), ours.of(ours.tag, self._otherwise)),
            (_like(rb"^/api/v1/idempotencyKeys/(.+)/reset$"), resets.reset),
        )
        self._writes: Sequence[tuple[re.Pattern[bytes], _Handler]] = (
            (_like(rb"^/api/v1/runs/([^/]+)/metadata$"), ours.of(ours.write_metadata, self._otherwise)),
        )
        seen = SeenRuns(services)
        issued = IssuedDoor(services, self._sources, self._intents, seen, self.pass_through)
        lists = RunListDoor(services, self._sources, self._intents, ever_issued, self.pass_through)
        feeds = RealtimeDoor(services, self._sources, seen, self.pass_through)
        self._reads: Sequence[tuple[re.Pattern[bytes], _Handler]] = (
            (_like(rb"^/api/v[12]/batches/([^/]+)$"), issued.batch),
            (_like(rb"^/api/v3/runs/run_([0-9a-f]{32})$"), issued.run),
            (_like(rb"^/api/v1/(runs)$"), lists.runs),
            (_like(rb"^/api/v1/runs/([^/]+)/metadata$"), ours.of(ours.read_metadata, self._otherwise)),
            (_like(rb"^/realtime/v1/runs/([^/]+)$"), feeds.run),
            (_like(rb"^/realtime/v1/batches/([^/]+)$"), feeds.batch),
        )
        self._of_methods = {"POST": self._routes, "GET": self._reads, "PUT": self._writes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = named(scope.get("raw_path") or scope["path"].encode())
        if path is None:
            await trigger_shape.refuse(send, 400, "The path holds dot segments or backslashes")
            return
        if scope["method"] not in _READING and self._sources.is_candidates(scope):
            # Nothing of legacy's may be started, repeated or changed by a run that may have no authority.
            await trigger_shape.refuse(send, 403, "Unauthorized: candidate workers cannot change anything of legacy's")
            return
        if (routes := self._of_methods.get(scope["method"])) is not None:
            for pattern, handler in routes:
                if match := pattern.match(path):
                    await handler(scope, receive, send, unquote_to_bytes(match[1]).decode(errors="replace"))
                    return
        await self.pass_through(scope, receive, send)

    async def pass_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the call on untouched to the platform it is meant for."""
        found = self._sources.platform_of(fields(scope))
        if found is None:
            await problem(send, 404, "the catalogue has no platform of kind trigger.dev")
            return
        await pass_through(self._services.http, found[1].url, scope, receive, send, trigger_shape.unreachable)

    async def _otherwise(self, scope: Scope, receive: Receive, send: Send, _name: str) -> None:
        await self.pass_through(scope, receive, send)

    async def _trigger(self, scope: Scope, receive: Receive, send: Send, legacy_task: str) -> None:
        headers = fields(scope)
        source = await self._sources.authenticate(headers, send)
        if source is None:
            return
        task = source.tasks.get(legacy_task)
        if task is None:
            if source.forward_unknown:
                await self.pass_through(scope, receive, send)
            else:
                await trigger_shape.refuse(send, 404, f"Task {legacy_task} is not in the catalogue")
            return
        try:
            if "content-length" not in headers:
                raise BodyTooLarge  # what the platform says, too, to a body whose length it cannot see
            body = await read_body(scope, receive, self._limit)
            call = trigger_call(legacy_task, body, headers)
        except BodyTooLarge:
            await trigger_shape.refuse(send, 413, "Request body too large")
            return
        except CallRefused as error:
            if is_encoded(scope):
                await trigger_shape.refuse(send, 415, ENCODED)
            else:
                await trigger_shape.refuse(send, error.status, str(error))
            return
        if not source.allows((legacy_task,)):
            await trigger_shape.unauthorized(send)
            return
        key = wire_key(source.name, source.platform_name, task.id, call, headers.get(REQUEST_KEY))
        sent = list(pairs(scope))
        try:
            (intent,) = await self._intents.commit(
                source, [(task, call, key)], kept_headers(sent), TriggerTold.of(headers), bridges=True
            )
            if intent.is_issued:
                await self._intents.note_issued([intent])
        except NotServed as error:
            await trigger_shape.not_served(send, str(error))
            return
        except (psycopg.Error, Overloaded) as error:
            log.error("front.not_stored", door="trigger.dev", source=source.name, error=type(error).__name__)
            await trigger_shape.not_stored(send)
            return
        if intent.is_issued:
            said = {"id": intent.run, "isCached": intent.is_cached}
            await trigger_shape.taken(send, source.platform, 200, said, f"read:runs:{intent.run}")
            return
        if key.ours:
            sent.append(("idempotency-key", key.value))
        await self._intents.conclude(source, scope, send, sent, body, [intent], _read)


def _like(pattern: bytes) -> re.Pattern[bytes]:
    """A route of Trigger.dev's, whose router takes capitals for small letters."""
    return re.compile(pattern, re.IGNORECASE)


def _read(answer: Any, intents: Sequence[Intent]) -> list[Taken | None]:
    """`{id, isCached}` of a trigger call."""
    run = answer.get("id") if isinstance(answer, dict) else None
    if not isinstance(run, str) or not run:
        return [None] * len(intents)
    return [Taken(run, answer.get("isCached") is True)] * len(intents)
