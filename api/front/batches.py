"""Batches of every SDK generation: each item is an event of its own, the call is forwarded whole (reference 2).

An item without an idempotency key gets one derived from the batch, so that an intent whose answer was lost can be
sent again; a producer's key is never touched. Items of tasks that the catalogue does not name go along unrecorded,
where their source says `unknown: forward`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from api.front import trigger_shape
from api.front.exchange import BodyTooLarge, fields, pairs, read_body
from api.front.intents import Intent, Intents, NotServed, ReadAnswer, Taken, TriggerTold
from api.front.services import FrontServices
from api.front.trigger_source import CallingSource, CallingSources
from shadow.intake.arrival import DedupeKey
from shadow.intake.group_commit import Overloaded
from shadow.intake.trigger_arrival import WireKey, wire_key
from shadow.intake.trigger_calls import (
    DEFAULT_KEY_LIFETIME,
    REQUEST_KEY,
    CallRefused,
    TriggerCall,
    batch_calls,
    derived_key,
    kept_headers,
    key_lifetime,
    keyed_batch,
    keyed_line,
    streamed_calls,
)
from shadow.model.ids import new_id

log = structlog.get_logger(__name__)

MOST_ITEMS = 1000
"""The platform's own limit (reference 2.3)."""
_DAY = timedelta(hours=24)
_OF_THE_BATCH = frozenset({"idempotency-key", "idempotency-key-ttl", "content-type"})
_AT_ONCE = 1024 * 1024
"""Bytes of a batch that are read on the event loop; a longer one is in a thread, or everybody else would wait."""
_Work = TypeVar("_Work")

_ReadItems = Callable[[Any, int], list["Taken | None"]]
"""Reads an accepting answer to that many items."""


@dataclass(frozen=True, slots=True)
class _BatchKey:
    """What tells a batch sent again from a new one."""

    value: str
    lifetime: timedelta | None
    """None when the batch would not be recognised."""


class BatchDoor:
    """The four batch calls."""

    def __init__(
        self, services: FrontServices, sources: CallingSources, intents: Intents, pass_through: ASGIApp
    ) -> None:
        self._limit = services.catalogue.limits.batch_bytes
        self._sources = sources
        self._intents = intents
        self._pass_through = pass_through

    async def streamed(self, scope: Scope, receive: Receive, send: Send, batch: str) -> None:
        """`POST /api/v3/batches/{id}/items` (SDK 4.3.1 on): one item a line; the answer names no runs."""
        headers = fields(scope)
        if "ndjson" not in headers.get("content-type", ""):
            await self._pass_through(scope, receive, send)  # the platform says what it expects
            return
        source = await self._sources.authenticate(headers, send)
        body = None if source is None else await self._body(scope, receive, send)
        if source is None or body is None:
            return
        try:
            lines = await _worked(body, lambda: streamed_calls(body))
        except CallRefused as error:
            await trigger_shape.refuse(send, error.status, str(error))
            return
        key = _BatchKey(derived_key(source.name, "batch", batch), DEFAULT_KEY_LIFETIME)
        calls = [call for _line, call in lines]

        def keyed(keys: Sequence[str | None]) -> bytes:
            rewritten = [
                line if key is None else keyed_line(line, key) for (line, _call), key in zip(lines, keys, strict=True)
            ]
            return b"\n".join(rewritten) + b"\n"

        await self._take(source, scope, send, body, calls, key, keyed, _all_unnamed)

    async def unnamed(self, scope: Scope, receive: Receive, send: Send, _path: str) -> None:
        """`POST /api/v2/tasks/batch` (SDK 4.0.0 to 4.3.0): the answer names no runs."""
        await self._whole(scope, receive, send, None, _all_unnamed)

    async def named(self, scope: Scope, receive: Receive, send: Send, _path: str) -> None:
        """`POST /api/v1/tasks/batch` (SDK 3.3): the answer names each run."""
        await self._whole(scope, receive, send, None, _named)

    async def of_task(self, scope: Scope, receive: Receive, send: Send, task: str) -> None:
        """`POST /api/v1/tasks/{id}/batch` (SDK 3.0 to 3.2): the answer lists the run ids."""
        await self._whole(scope, receive, send, task, _listed)

    async def _whole(self, scope: Scope, receive: Receive, send: Send, task: str | None, read: _ReadItems) -> None:
        headers = fields(scope)
        source = await self._sources.authenticate(headers, send)
        if source is None:
            return
        if "content-length" not in headers:
            await trigger_shape.refuse(send, 413, "Request body too large")
            return
        body = await self._body(scope, receive, send)
        if body is None:
            return
        try:
            document, calls = await _worked(body, lambda: batch_calls(body, task))
        except CallRefused as error:
            await trigger_shape.refuse(send, error.status, str(error))
            return

        def keyed(keys: Sequence[str | None]) -> bytes:
            return keyed_batch(document, keys)

        await self._take(source, scope, send, body, calls, _batch_key(source, headers), keyed, read)

    async def _take(
        self,
        source: CallingSource,
        scope: Scope,
        send: Send,
        body: bytes,
        calls: Sequence[TriggerCall],
        batch: _BatchKey,
        keyed: Callable[[Sequence[str | None]], bytes],
        read: _ReadItems,
    ) -> None:
        if len(calls) > MOST_ITEMS:
            text = f"Batch size of {len(calls)} is too large. Maximum allowed batch size is {MOST_ITEMS}."
            await trigger_shape.refuse(send, 400, text)
            return
        stranger = next((call.task for call in calls if call.task not in source.tasks), None)
        if stranger is not None and not source.forward_unknown:
            await trigger_shape.refuse(send, 404, f"Task {stranger} is not in the catalogue")
            return
        if not source.allows({call.task for call in calls}):
            await trigger_shape.unauthorized(send)
            return
        known = [source.tasks.get(call.task) for call in calls]
        keys = [
            _item_key(source, task.id if task else call.task, call, batch, index)
            for index, (task, call) in enumerate(zip(known, calls, strict=True))
        ]
        sent = list(pairs(scope))
        try:
            wanted = [(task, call, key) for task, call, key in zip(known, calls, keys, strict=True) if task is not None]
            told, kept = TriggerTold.of(fields(scope)), kept_headers(_single(sent))
            intents = await self._intents.commit(source, wanted, kept, told) if wanted else []
        except NotServed as error:
            await trigger_shape.not_served(send, str(error))
            return
        except (psycopg.Error, Overloaded) as error:
            log.error("front.not_stored", door="trigger.dev", source=source.name, error=type(error).__name__)
            await trigger_shape.not_stored(send)
            return
        added = [key.value if task is not None and key.ours else None for task, key in zip(known, keys, strict=True)]
        if any(key is not None for key in added):
            body = await _worked(body, lambda: keyed(added))
        positions = [index for index, task in enumerate(known) if task is not None]
        complete = len(intents) == len(calls)
        answer_of = _at(positions, len(calls), read)
        await self._intents.conclude(source, scope, send, sent, body, intents, answer_of, complete=complete)

    async def _body(self, scope: Scope, receive: Receive, send: Send) -> bytes | None:
        try:
            return await read_body(scope, receive, self._limit)
        except BodyTooLarge:
            await trigger_shape.refuse(send, 413, "Request body too large")
            return None


async def _worked(body: bytes, work: Callable[[], _Work]) -> _Work:
    """Do work whose time goes with the size of the body."""
    return work() if len(body) <= _AT_ONCE else await asyncio.to_thread(work)


def _batch_key(source: CallingSource, headers: dict[str, str]) -> _BatchKey:
    """The producer's key of the batch, else that of the request, else none that comes again."""
    if given := headers.get("idempotency-key"):
        return _BatchKey(derived_key(source.name, "batch-key", given), key_lifetime(headers.get("idempotency-key-ttl")))
    if request := headers.get(REQUEST_KEY):
        return _BatchKey(derived_key(source.name, "batch-request", request), _DAY)
    return _BatchKey(derived_key(source.name, "batch-once", str(new_id())), None)


def _item_key(source: CallingSource, task: str, call: TriggerCall, batch: _BatchKey, index: int) -> WireKey:
    """The item's own key, else one of its place in the batch."""
    place = index if call.index is None else call.index
    key = wire_key(source.name, task, call, f"{batch.value}:{place}")
    if key.dedupe is None or not key.ours:
        return key
    dedupe = DedupeKey(key.dedupe.scope, key.dedupe.key, batch.lifetime) if batch.lifetime is not None else None
    return replace(key, dedupe=dedupe)


def _single(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers as they would be for one item: the batch's own key and encoding are not its."""
    kept = [(name, value) for name, value in headers if name not in _OF_THE_BATCH]
    return [*kept, ("content-type", "application/json")]


def _at(positions: Sequence[int], size: int, read: _ReadItems) -> ReadAnswer:
    """Reads an answer to all items for the intents, which stand at those positions among them."""

    def chosen(answer: Any, intents: Sequence[Intent]) -> list[Taken | None]:
        items = read(answer, size)
        return [items[position] for position in positions]

    return chosen


def _all_unnamed(answer: Any, size: int) -> list[Taken | None]:
    return [Taken(None)] * size


def _named(answer: Any, size: int) -> list[Taken | None]:
    """`{id, isCached, runs: [{id, isCached}]}`."""
    runs = answer.get("runs") if isinstance(answer, dict) else None
    if not isinstance(runs, list) or len(runs) != size:
        return [None] * size
    whole = answer.get("isCached") is True
    return [
        Taken(run["id"], whole or run.get("isCached") is True)
        if isinstance(run, dict) and isinstance(run.get("id"), str)
        else None
        for run in runs
    ]


def _listed(answer: Any, size: int) -> list[Taken | None]:
    """`{batchId, runs: [id]}`."""
    runs = answer.get("runs") if isinstance(answer, dict) else None
    if not isinstance(runs, list) or len(runs) != size:
        return [None] * size
    return [Taken(run) if isinstance(run, str) else None for run in runs]
