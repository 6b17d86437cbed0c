"""Batches of every SDK generation: each item is an event of its own, the call is forwarded whole (reference 2).

An item without an idempotency key gets one derived from the batch, so that an intent whose answer was lost can be
sent again; a producer's key is never touched. Items of tasks that the catalogue does not name go along unrecorded,
where their source says `unknown: forward`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import psycopg
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from api.front import trigger_shape
from api.front.announcements import is_of_a_run
from api.front.batch_parts import Part
from api.front.batch_shapes import LISTED, NAMED, STREAMED, UNNAMED, BatchShape, streamed
from api.front.exchange import ENCODED, BodyTooLarge, fields, is_encoded, pairs, read_body
from api.front.intent import Beside, Intent, NotServed, ReadAnswer, Taken, TriggerTold
from api.front.intents import Intents, known_again
from api.front.services import FrontServices
from api.front.trigger_source import CallingSource, CallingSources
from shadow.causes import batches
from shadow.causes.batches import Batch
from shadow.intake.arrival import DedupeKey
from shadow.intake.group_commit import Overloaded
from shadow.intake.trigger_arrival import WireKey, wire_key
from shadow.intake.trigger_calls import (
    DEFAULT_KEY_LIFETIME,
    MOST_ITEMS,
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
from shadow.store.database import Work

log = structlog.get_logger(__name__)

_DAY = timedelta(hours=24)
_OF_THE_BATCH = frozenset({"idempotency-key", "idempotency-key-ttl", "content-type"})
_AT_ONCE = 1024 * 1024
"""Bytes of a batch that are read on the event loop; a longer one is in a thread, or everybody else would wait."""
_Work = TypeVar("_Work")


@dataclass(frozen=True, slots=True)
class _BatchKey:
    """What tells a batch sent again from a new one."""

    value: str
    lifetime: timedelta | None
    """None when the batch would not be recognised."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A batch as it came."""

    source: CallingSource
    scope: Scope
    send: Send
    body: bytes
    calls: Sequence[TriggerCall]
    key: _BatchKey
    written: Callable[[Sequence[str | None], Sequence[int] | None], bytes]
    """The batch with those keys in its items, and of these only those at the given places."""
    shape: BatchShape
    announced: Batch | None = None
    """What is kept of its announcement, where it is a run's that has one."""
    can_issue: bool = True
    """Whether the answer may stand for runs of the candidate: not where Trigger.dev waits for all of the items."""

    @property
    def issued(self) -> Batch | None:
        """The batch that was issued in Trigger.dev's stead."""
        return self.announced if self.announced is not None and self.announced.issued else None

    @property
    def name(self) -> str:
        """A name of ours, which comes again when the batch does."""
        issued = self.issued
        return issued.name if issued else f"batch_{derived_key(self.source.name, 'batch-name', self.key.value)[:32]}"


async def _misread(scope: Scope, send: Send, error: CallRefused) -> None:
    if is_encoded(scope):
        await trigger_shape.refuse(send, 415, ENCODED)
    else:
        await trigger_shape.refuse(send, error.status, str(error))


class BatchDoor:
    """The four batch calls."""

    def __init__(
        self, services: FrontServices, sources: CallingSources, intents: Intents, pass_through: ASGIApp
    ) -> None:
        self._limit = services.catalogue.limits.batch_bytes
        self._database = services.database
        self._sources = sources
        self._intents = intents
        self._pass_through = pass_through

    async def streamed(self, scope: Scope, receive: Receive, send: Send, name: str) -> None:
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
            batch = await self._announced(source, headers, name)
        except CallRefused as error:
            await _misread(scope, send, error)
            return
        except psycopg.Error as error:
            log.error("front.not_stored", door="trigger.dev", source=source.name, error=type(error).__name__)
            await trigger_shape.not_stored(send)
            return
        if batch is not None:
            lines = [(line, _of(call, batch)) for line, call in lines]
        if batch is not None and batch.issued and not await _is_to_be_taken(send, batch, lines):
            return

        def written(keys: Sequence[str | None], places: Sequence[int] | None) -> bytes:
            return _lines([line for line, _call in lines], keys, places)

        key = _BatchKey(derived_key(source.name, "batch", name), DEFAULT_KEY_LIFETIME)
        calls = [call for _line, call in lines]
        can_issue = batch is not None and batch.issued
        await self._take(_Asked(source, scope, send, body, calls, key, written, STREAMED, batch, can_issue=can_issue))

    async def unnamed(self, scope: Scope, receive: Receive, send: Send, _path: str) -> None:
        """`POST /api/v2/tasks/batch` (SDK 4.0.0 to 4.3.0): the answer names no runs."""
        await self._whole(scope, receive, send, None, UNNAMED)

    async def named(self, scope: Scope, receive: Receive, send: Send, _path: str) -> None:
        """`POST /api/v1/tasks/batch` (SDK 3.3): the answer names each run."""
        await self._whole(scope, receive, send, None, NAMED)

    async def of_task(self, scope: Scope, receive: Receive, send: Send, task: str) -> None:
        """`POST /api/v1/tasks/{id}/batch` (SDK 3.0 to 3.2): the answer lists the run ids."""
        await self._whole(scope, receive, send, task, LISTED)

    async def _whole(self, scope: Scope, receive: Receive, send: Send, task: str | None, shape: BatchShape) -> None:
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
            await _misread(scope, send, error)
            return

        def written(keys: Sequence[str | None], places: Sequence[int] | None) -> bytes:
            return keyed_batch(document, keys, places)

        await self._take(_Asked(source, scope, send, body, calls, _batch_key(source, headers), written, shape))

    async def _announced(self, source: CallingSource, headers: Mapping[str, str], name: str) -> Batch | None:
        """What is kept of its announcement, where a run has made it or the batch was issued.

        Raises:
            psycopg.Error: the database is away.
        """
        if not is_of_a_run(source, headers) and not batches.may_be_issued(name):
            return None
        async with self._database.connection(Work.CAUSES) as connection:
            return await batches.find(connection, source.platform_name, name)

    async def _take(self, asked: _Asked) -> None:
        source, calls, send = asked.source, asked.calls, asked.send
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
            _item_key(source, task.id if task else call.task, call, asked.key, index)
            for index, (task, call) in enumerate(zip(known, calls, strict=True))
        ]
        try:
            wanted = [(task, call, key) for task, call, key in zip(known, calls, keys, strict=True) if task is not None]
            told, kept = TriggerTold.of(fields(asked.scope)), kept_headers(_single(pairs(asked.scope)))
            intents = []
            if wanted:
                intents = await self._intents.commit(source, wanted, kept, told, bridges=asked.can_issue)
            committed = iter(intents)
            items = [None if task is None else next(committed) for task in known]
            if items and all(item is not None and item.is_issued for item in items):
                await self._issued(asked, intents)
                return
        except NotServed as error:
            await trigger_shape.not_served(send, str(error))
            return
        except (psycopg.Error, Overloaded) as error:
            log.error("front.not_stored", door="trigger.dev", source=source.name, error=type(error).__name__)
            await trigger_shape.not_stored(send)
            return
        added = [key.value if task is not None and key.ours else None for task, key in zip(known, keys, strict=True)]
        await self._forward(asked, items, added)

    async def _issued(self, asked: _Asked, intents: Sequence[Intent]) -> None:
        """Answer for a batch that is the candidate's alone.

        Raises:
            psycopg.Error: the database is away; the client may come again, since its batch will be recognised.
        """
        await self._intents.note_issued(intents)
        name = asked.name
        try:
            await self._seal(asked, name, intents, None)
        except psycopg.Error as error:
            if known_again(intents):
                raise
            log.error("front.batch_not_recorded", batch=name, error=type(error).__name__)
        body = asked.shape.alone(name, intents)
        scopes = (f"read:batch:{name}", f"write:batch:{name}")
        await trigger_shape.taken(asked.send, asked.source.platform, asked.shape.status, body, *scopes)

    async def _forward(self, asked: _Asked, items: Sequence[Intent | None], added: Sequence[str | None]) -> None:
        """Send on what is legacy's, with these keys; what else there is goes its own way once that has been taken."""
        ours = [item for item in items if item is not None and item.is_issued]
        places = [place for place, item in enumerate(items) if item is None or not item.is_issued]
        rest = [items[place] for place in places]
        intents = [item for item in rest if item is not None]
        of_ours = [item if item is not None and item.is_issued else None for item in items]
        body, beside, ask = asked.body, None, None
        if ours or asked.issued or any(key is not None for key in added):
            part = places if ours or asked.issued else None
            body = await _worked(body, lambda: asked.written(added, part))
        if ours or asked.issued:
            upstream: Part | None = None
            if asked.issued:
                tasks = {asked.calls[place].task for place in places}
                upstream = Part(asked.source, self._intents, self._database, asked.issued, tasks, len(rest))
                ask = partial(upstream.ask, asked.scope, body)

            async def taken(answer: Any) -> None:
                name = asked.name if asked.issued else asked.shape.name(answer)
                whole = not isinstance(answer, dict) or answer.get("sealed") is not False
                if name is not None and whole:
                    try:
                        await self._seal(asked, name, ours, upstream.upstream if upstream else name)
                    except psycopg.Error as error:
                        log.error("front.batch_not_recorded", batch=name, error=type(error).__name__)

            def joined(answer: Any) -> Any:
                if asked.issued:
                    return streamed(asked.name, answer, of_ours)
                return asked.shape.joined(answer, of_ours)

            beside = Beside(ours, joined, taken)
        places_of_intents = [place for place, item in enumerate(rest) if item is not None]
        await self._intents.conclude(
            asked.source,
            asked.scope,
            asked.send,
            list(pairs(asked.scope)),
            body,
            intents,
            _at(places_of_intents, len(rest), asked.shape.read),
            complete=len(intents) == len(rest),
            beside=beside,
            ask=ask,
        )

    async def _seal(self, asked: _Asked, name: str, issued: Sequence[Intent], upstream: str | None) -> None:
        async with self._database.connection(Work.CAUSES) as connection:
            await batches.seal(
                connection,
                asked.source.platform_name,
                name,
                len(asked.calls),
                [intent.receipt.event_id for intent in issued],
                issued=asked.issued is not None or upstream is None,
                upstream=upstream,
            )

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
    key = wire_key(source.name, source.platform_name, task, call, f"{batch.value}:{place}")
    if key.dedupe is None or not key.ours:
        return key
    dedupe = DedupeKey(key.dedupe.scope, key.dedupe.key, batch.lifetime) if batch.lifetime is not None else None
    return replace(key, dedupe=dedupe)


def _single(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers as they would be for one item: the batch's own key and encoding are not its."""
    kept = [(name, value) for name, value in headers if name not in _OF_THE_BATCH]
    return [*kept, ("content-type", "application/json")]


def _at(positions: Sequence[int], size: int, read: Callable[[Any, int], list[Taken | None]]) -> ReadAnswer:
    """Reads an answer to all items for the intents, which stand at those positions among them."""

    def chosen(answer: Any, intents: Sequence[Intent]) -> list[Taken | None]:
        items = read(answer, size)
        return [items[position] for position in positions]

    return chosen


def _of(call: TriggerCall, batch: Batch) -> TriggerCall:
    """An item with what its batch was announced with."""
    return replace(call, parent=call.parent or batch.parent, is_awaited=call.is_awaited or batch.awaited)


def _lines(lines: Sequence[bytes], keys: Sequence[str | None], places: Sequence[int] | None) -> bytes:
    """The items with those keys; of a part of them, numbered anew."""
    if places is None:
        written = [line if key is None else keyed_line(line, key) for line, key in zip(lines, keys, strict=True)]
    else:
        written = [keyed_line(lines[place], keys[place], index) for index, place in enumerate(places)]
    return b"\n".join(written) + b"\n"


async def _is_to_be_taken(send: Send, batch: Batch, lines: Sequence[tuple[bytes, TriggerCall]]) -> bool:
    """Whether these are the items of an issued batch, all of them and for the first time; else they are answered.

    The platform lets items come in several requests; the SDK sends all of them in one, and again if need be.
    """
    size = batch.run_count
    beyond = next((call.index for _line, call in lines if call.index is not None and call.index >= size), None)
    if beyond is not None:
        await trigger_shape.refuse(send, 422, f"Item index {beyond} exceeds batch runCount {size}")
        return False
    answer = {"id": batch.name, "itemsAccepted": 0, "itemsDeduplicated": 0, "sealed": True, "runCount": size}
    if batch.sealed_at is not None:
        await trigger_shape.found(send, {**answer, "itemsDeduplicated": len(lines)})
        return False
    if sorted(call.index or 0 for _line, call in lines) != list(range(size)):
        counts = {"sealed": False, "enqueuedCount": 0, "expectedCount": size}
        await trigger_shape.found(send, {**answer, **counts})
        return False
    return True
