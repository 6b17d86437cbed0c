"""The adapter of Inngest: events sent in batches, each with the id that its producer was told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import orjson
import structlog

from shadow.catalogue.model import InngestPlatform
from shadow.model.ids import Seed
from shadow.platforms.adapter import (
    Cancellation,
    CancelResult,
    Delivered,
    Delivery,
    Failed,
    Misconfigured,
    Rejected,
    Result,
    Throttled,
    TooLate,
    Unknown,
)
from shadow.platforms.client import Answer, TooLarge
from shadow.platforms.inngest_api import InngestApi, Refused
from shadow.platforms.json_text import read_json
from shadow.platforms.throttle import retry_after, until_reset

log = structlog.get_logger(__name__)

_BATCH_BYTES = 2_500_000
"""Of data in one request; one event alone may have up to 3 MiB (reference 1.6)."""
_PATIENCE = timedelta(seconds=5)
"""How long to wait when the platform says 429 and not for how long: its window (reference 1.6)."""
_RETRYABLE = frozenset({408, 409, 425})
_STRANGERS = frozenset({401, 403, 404})
"""A wrong key or URL, never a bad event (reference 1.5)."""
_EARLIEST = datetime(1980, 1, 2, tzinfo=UTC)
_LATEST = datetime(2099, 12, 30, tzinfo=UTC)
"""The times that the platform takes, and a day's grace (reference 1.3)."""
_KEPT = ("user", "v", "meta")
"""What an event may have besides the fields that Shadow knows."""
_STRANGER_SECONDS = 60.0
"""How long a function that the app does not have (another app's, or just deployed) is not asked for again."""
_AT_ONCE = 8
"""Requests in flight while a refused batch is taken apart."""


class InngestEvents:
    """One Inngest environment."""

    def __init__(self, name: str, platform: InngestPlatform, http: httpx.AsyncClient) -> None:
        self.name = name
        self.batch_size = platform.batch_size
        self.concurrency = platform.concurrency
        self.api = InngestApi(platform, http)
        self._app = platform.app
        self._slugs: dict[str, str] = {}
        self._strangers: dict[str, float] = {}

    def groups(self, deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
        """Events of one seed and of positions without a gap go together: upstream ids are seed plus position."""
        ordered = sorted(deliveries, key=lambda item: (item.seed.header() if item.seed else "", item.position))
        groups: list[list[Delivery]] = [ordered[:1]] if ordered else []
        size = len(ordered[0].data) if ordered else 0
        for before, delivery in pairwise(ordered):
            follows = (
                delivery.seed is not None
                and delivery.seed == before.seed
                and delivery.position == before.position + 1
                and len(groups[-1]) < self.batch_size
                and size + len(delivery.data) <= _BATCH_BYTES
            )
            if follows:
                groups[-1].append(delivery)
                size += len(delivery.data)
            else:
                groups.append([delivery])
                size = len(delivery.data)
        return groups

    async def deliver(self, group: Sequence[Delivery]) -> Sequence[Result]:
        results = await self._send(group)
        if len(group) == 1 or not all(isinstance(result, Rejected) for result in results):
            return results
        # One of them is bad; those before it may have been accepted. Each is sent alone, with its own id again.
        turn = asyncio.Semaphore(_AT_ONCE)

        async def alone(delivery: Delivery) -> Result:
            async with turn:
                return (await self._send([delivery]))[0]

        return await asyncio.gather(*(alone(delivery) for delivery in group))

    async def cancel(self, cancellation: Cancellation) -> CancelResult:
        """Cancel the runs that the event started of that function, found by the event."""
        upstream = cancellation.event.upstream_id
        if upstream is None:
            return Unknown()
        try:
            runs = await self.api.event_runs(upstream)
            slugs = [await self.slug(str(run.get("function_id", ""))) for run in runs]
            found = [
                str(run.get("run_id"))
                for run, slug in zip(runs, slugs, strict=True)
                if slug == cancellation.task.candidate.function
            ]
            if not found:
                return Unknown()
            ended = [(await self.api.run(run)).get("ended_at") is not None for run in found]
            if all(ended):
                return TooLate()
            rest: timedelta | None = None
            for run, over in zip(found, ended, strict=True):
                if not over:
                    answer = await self.api.cancel(run)
                    if answer.status not in (200, 204, 404):
                        return _refusal(answer.status, "the run was not cancelled", answer)
                    rest = _rest(answer)
        except Refused as error:
            return _refusal(error.status or error.answer.status, str(error), error.answer)
        except (httpx.HTTPError, TimeoutError, TooLarge) as error:
            return _unreached(error)
        return Delivered(found[0], rest=rest)

    async def slug(self, function_uuid: str) -> str | None:
        """The `app-function` of a function's UUID, which is all that the run API says; None when unknown.

        Raises:
            Refused, httpx.HTTPError, TimeoutError: the list of functions could not be read.
        """
        now = time.monotonic()
        if function_uuid not in self._slugs and now >= self._strangers.get(function_uuid, now):
            self._slugs |= {
                str(function.get("internal_id")): str(function.get("id"))
                for function in await self.api.functions(self._app)
            }
            if function_uuid not in self._slugs:
                self._strangers[function_uuid] = now + _STRANGER_SECONDS
        return self._slugs.get(function_uuid)

    async def _send(self, group: Sequence[Delivery]) -> list[Result]:
        first = group[0]
        seed = first.seed.shifted(first.position) if first.seed else None
        body = b"[" + b",".join(_event(delivery) for delivery in group) + b"]"
        try:
            answer = await self.api.send(body, seed.header() if seed else None)
        except (httpx.HTTPError, TimeoutError, TooLarge) as error:
            return [_unreached(error)] * len(group)
        try:
            said = read_json(answer.body)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            if answer.status < 400:
                return [Failed(f"HTTP {answer.status}: no JSON in the answer")] * len(group)
            return [_refusal(answer.status, "no JSON in the answer", answer)] * len(group)
        status = said.get("status")
        if answer.status != 200 or status != 200 or said.get("error"):
            code = answer.status if answer.status != 200 else status if isinstance(status, int) else 500
            return [_refusal(code, str(said.get("error") or "no reason given"), answer)] * len(group)
        ids = said.get("ids")
        if not isinstance(ids, list) or len(ids) != len(group) or not all(ids):
            return [Failed("the answer does not name every event")] * len(group)
        rest = _rest(answer)
        return [
            Delivered(upstream_id=str(upstream), rest=rest)
            for upstream in self._checked(group, seed, [str(given) for given in ids])
        ]

    def _checked(self, group: Sequence[Delivery], seed: Seed | None, ids: list[str]) -> list[str]:
        """The ids as the platform gave them; a warning where they are not those that producers were told."""
        if seed is not None:
            for index, (delivery, given) in enumerate(zip(group, ids, strict=True)):
                if given != seed.ulid(index):
                    log.warning(
                        "platform.id_differs",
                        platform=self.name,
                        of=str(delivery.event.id),
                        expected=seed.ulid(index),
                        found=given,
                    )
        return ids


def _event(delivery: Delivery) -> bytes:
    """The event as Inngest shall see it.

    Its `id` is always said, also where it is the ULID that the seed fixes: should the seed not be honoured,
    repeating still starts no second run.
    """
    event = delivery.event
    fields: dict[str, Any] = {}
    if event.door == "inngest" and delivery.request is not None:
        original = read_json(delivery.request)
        if isinstance(original, dict):
            fields = {name: original[name] for name in _KEPT if name in original}
    fields |= {"name": event.name, "data": orjson.Fragment(delivery.data), "id": event.delivery_id}
    # A time to come would hold the run back, here alone: only a scheduled start does that on both sides.
    moment = event.scheduled_at or min(event.occurred_at or event.accepted_at, event.accepted_at)
    if _EARLIEST <= moment <= _LATEST:
        fields["ts"] = int(moment.timestamp() * 1000)
    return orjson.dumps(fields)


def _unreached(error: Exception) -> Failed:
    return Failed(f"{type(error).__name__}: {error}"[:300])


def _rest(answer: Answer) -> timedelta | None:
    return until_reset(answer.fields, datetime.now(UTC))


def _refusal(status: int, reason: str, answer: Answer) -> Throttled | Failed | Misconfigured | Rejected:
    """What an answer other than success means."""
    wait = retry_after(answer.fields, datetime.now(UTC))
    text = f"HTTP {status}: {reason}"[:300]
    if status == 429:
        return Throttled(wait or _PATIENCE)
    if status in _STRANGERS:
        return Misconfigured(text, status)
    if status in _RETRYABLE or status >= 500 or status < 400:
        return Failed(text, wait)
    return Rejected(text, status)
