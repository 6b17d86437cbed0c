"""The adapter of Trigger.dev: a run for each delivery, started under a key that makes repeating harmless."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import structlog

from shadow.catalogue import Document
from shadow.catalogue.model import Origin, Side, TriggerPlatform
from shadow.model.json_text import write_json
from shadow.model.tags import CONTAINED
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
    Unknown,
)
from shadow.platforms.client import Answer, TooLarge
from shadow.platforms.json_text import read_json
from shadow.platforms.throttle import retry_after, until_reset
from shadow.platforms.trigger_api import Refused, TriggerApi, problem

log = structlog.get_logger(__name__)

_BATCH = 50
_BATCH_BYTES = 800_000
"""Of payloads in one batch; the platform takes bodies of up to 1,000,000 bytes (reference 1.4)."""
_PATIENCE = timedelta(seconds=5)
"""How long to wait when the platform says 429 and not for how long."""
_LOOK_BACK = timedelta(minutes=1)
"""How far the clocks of the platform and of the database may differ."""
_MOST_TAGS = 10
"""Of a run (reference 3.2)."""
_PAGES = 3
"""Pages of the run list that are searched for an earlier delivery's run."""
_OF_THE_KEY = frozenset({"idempotencyKey", "idempotencyKeyTTL", "idempotencyKeyOptions"})
_RETRYABLE = frozenset({408, 409, 425})
_STRANGERS = frozenset({401, 403, 404})
"""Neither an unknown task nor a bad payload gives one of these (reference 1.5, 1.6): it is the key or the URL."""


class TriggerDev:
    """One Trigger.dev environment."""

    def __init__(self, name: str, platform: TriggerPlatform, http: httpx.AsyncClient) -> None:
        self.name = name
        self.batch_size = _BATCH
        self.concurrency = platform.concurrency
        self.api = TriggerApi(platform, http)

    def groups(self, deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
        """First deliveries that wait together go as one batch; a repeated one, and a producer's own call that
        is sent again, goes alone."""
        groups: list[list[Delivery]] = []
        batch: list[Delivery] = []
        size = 0
        for delivery in deliveries:
            if delivery.attempt > 1 or _is_producers(delivery):
                groups.append([delivery])
                continue
            if batch and (len(batch) == _BATCH or size + len(delivery.data) > _BATCH_BYTES):
                groups.append(batch)
                batch, size = [], 0
            batch.append(delivery)
            size += len(delivery.data)
        return [*groups, batch] if batch else groups

    async def deliver(self, group: Sequence[Delivery]) -> Sequence[Result]:
        if len(group) == 1:
            return [await self._deliver_one(group[0])]
        results = await self._deliver_batch(group)
        left = [index for index, result in enumerate(results) if result is None]
        alone = await asyncio.gather(*(self._deliver_one(group[index]) for index in left))
        for index, result in zip(left, alone, strict=True):
            results[index] = result
        return [result for result in results if result is not None]

    async def cancel(self, cancellation: Cancellation) -> CancelResult:
        if cancellation.platform_run_id is None:
            return Unknown()
        try:
            answer = await self.api.cancel(cancellation.platform_run_id)
        except (httpx.HTTPError, TimeoutError, TooLarge) as error:
            return _unreached(error)
        if answer.status == 404:
            return Unknown()
        # A run that has ended already is answered with 200 as well (reference 3.7).
        if answer.status != 200:
            return _refusal(answer)
        return Delivered(cancellation.platform_run_id, rest=_rest(answer))

    async def _deliver_one(self, delivery: Delivery) -> Result:
        if delivery.task is None:
            return Rejected("a delivery to Trigger.dev names no task", 0)
        if delivery.attempt > 1 or _is_producers(delivery):
            try:
                known = await self._started_before(delivery)
            except (httpx.HTTPError, TimeoutError, TooLarge, Refused) as error:
                # To start it anyway might be to start it twice.
                log.info("platform.lookup_failed", platform=self.name, error=type(error).__name__)
                return _unread(error)
            if known is not None:
                return Delivered(known, cached=True)
        task = delivery.task.legacy.task
        try:
            if _is_producers(delivery):
                request = delivery.request or b""
                if delivery.event.is_issued:
                    request = _without_authority(request, delivery.event.scheduled_at)
                answer = await self.api.trigger_again(task, request, delivery.headers, delivery.key)
            else:
                answer = await self.api.trigger(task, write_json(_call(delivery)), delivery.key)
        except (httpx.HTTPError, TimeoutError, TooLarge) as error:
            return _unreached(error)
        except (ValueError, TypeError, LookupError) as error:
            return Rejected(f"the payload could not be made: {error}"[:300], 0)
        if answer.status != 200:
            return _refusal(answer)
        body = _json(answer)
        run = body.get("id")
        if not isinstance(run, str) or not run:
            return Failed("the answer names no run")
        return Delivered(run, cached=body.get("isCached") is True, rest=_rest(answer))

    async def _deliver_batch(self, group: Sequence[Delivery]) -> list[Result | None]:
        """A result for each, or None for those that must be tried alone."""
        nothing: list[Result | None] = [None] * len(group)
        try:
            items = []
            for delivery in group:
                if delivery.task is None:
                    return nothing
                call = _call(delivery)
                call["options"] = {**call["options"], "idempotencyKey": delivery.key}
                items.append({"task": delivery.task.legacy.task, **call})
            answer = await self.api.batch(write_json({"items": items}))
        except (httpx.HTTPError, TimeoutError, TooLarge) as error:
            return [_unreached(error)] * len(group)
        except (ValueError, TypeError, LookupError):
            return nothing  # one of them cannot be mapped: alone, it will say so
        if answer.status not in (200, 202):
            result = _refusal(answer)
            # 404: a platform without this path. A refused batch may have one bad member only.
            return nothing if isinstance(result, Rejected) or answer.status == 404 else [result] * len(group)
        started = _by_key(_json(answer).get("runs"))
        rest = _rest(answer)
        return [_member(started.get(item["options"]["idempotencyKey"]), rest) for item in items]

    async def _started_before(self, delivery: Delivery) -> str | None:
        """The run that an earlier delivery started although its answer never came.

        The key alone finds it unless that run has failed since: the platform then frees the key and would start
        a second run (reference 6.2).

        Raises:
            httpx.HTTPError, TimeoutError, TooLarge, Refused: the runs could not be listed.
        """
        if delivery.task is None:
            return None
        after: str | None = None
        keys = {delivery.key, *_shown_key(delivery)}
        for _page in range(_PAGES):
            page = await self.api.list(
                tasks=[delivery.task.legacy.task],
                since=delivery.event.accepted_at - _LOOK_BACK,
                after=after,
            )
            for run in page.runs:
                if run.get("idempotencyKey") in keys and isinstance(run.get("id"), str):
                    return str(run["id"])
            after = page.after
            if after is None:
                break
        return None


def _is_producers(delivery: Delivery) -> bool:
    """Whether a producer made this very call, and it is sent again because its answer is not known."""
    return delivery.event.door == "trigger.dev" and delivery.request is not None


def _shown_key(delivery: Delivery) -> list[str]:
    """The key as the run list shows it, where the SDK sent along what its user called it (reference 3.1).

    Inside a task that name does not stand for one run only, so that a worker's calls are not found by it; and where the
    candidate has the call, legacy's run beside it has no authority and never stands for the producer's key.
    """
    if not _is_producers(delivery) or delivery.event.origin != Origin.PRODUCER or delivery.event.is_issued:
        return []
    try:
        options = read_json(delivery.request or b"")["options"]["idempotencyKeyOptions"]
    except (ValueError, KeyError, TypeError):
        return []
    shown = options.get("key") if isinstance(options, dict) else None
    return [shown] if isinstance(shown, str) and shown else []


def _call(delivery: Delivery) -> dict[str, Any]:
    """The body of a trigger request: the mapped payload and the options that the catalogue adds."""
    task = delivery.task
    assert task is not None, "checked by the caller"
    payload = task.legacy.payload.evaluate(Document(read_json(delivery.data)))
    options: dict[str, Any] = dict(task.legacy.options)
    if delivery.event.scheduled_at is not None:
        options["delay"] = delivery.event.scheduled_at.isoformat()
    if delivery.event.authority != Side.LEGACY:
        options["tags"] = _contained(options.get("tags"))
    return {"payload": payload, "options": options}


def _without_authority(request: bytes, starts_at: datetime | None) -> bytes:
    """A producer's call that the candidate has, for legacy's run beside it: marked, and without the producer's key.

    Raises:
        ValueError: it is no call.
    """
    document = read_json(request)
    if not isinstance(document, dict):
        raise ValueError("the call is no object")
    given = document.get("options")
    options = dict(given) if isinstance(given, dict) else {}
    for name in ("delay", *_OF_THE_KEY):
        options.pop(name, None)
    options["tags"] = _contained(options.get("tags"))
    if starts_at is not None:
        options["delay"] = starts_at.isoformat()
    return write_json({**document, "options": options})


def _contained(tags: object) -> list[object]:
    """The tags of a run without authority. Where there is no room ours replaces the last: a replay has them too."""
    listed = [tags] if isinstance(tags, str) else list(tags) if isinstance(tags, list | tuple) else []
    return [*listed[: _MOST_TAGS - 1], CONTAINED]


def _by_key(runs: object) -> dict[str, Mapping[str, Any]]:
    """The runs that a batch names, by their keys; of two with one key the first."""
    found: dict[str, Mapping[str, Any]] = {}
    for run in runs if isinstance(runs, list) else ():
        if isinstance(run, dict) and isinstance(run.get("idempotencyKey"), str) and run.get("id"):
            found.setdefault(run["idempotencyKey"], run)
    return found


def _member(run: Mapping[str, Any] | None, rest: timedelta | None) -> Result | None:
    """What became of one of a batch; None where no run is named for it."""
    return None if run is None else Delivered(str(run["id"]), cached=run.get("isCached") is True, rest=rest)


def _json(answer: Answer) -> Mapping[str, Any]:
    try:
        body = read_json(answer.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _unreached(error: Exception) -> Failed:
    return Failed(f"{type(error).__name__}: {error}"[:300])


def _unread(error: Exception) -> Result:
    """What it means for a delivery that the runs could not be listed: never that the delivery is at fault."""
    if not isinstance(error, Refused):
        return _unreached(error)
    result = _refusal(error.answer)
    return Failed(result.reason) if isinstance(result, Rejected) else result


def _rest(answer: Answer) -> timedelta | None:
    return until_reset(answer.fields, datetime.now(UTC))


def _refusal(answer: Answer) -> Throttled | Failed | Misconfigured | Rejected:
    """What an answer other than success means for the delivery."""
    wait = retry_after(answer.fields, datetime.now(UTC))
    reason = f"HTTP {answer.status}: {problem(answer)}"
    if answer.status == 429:
        return Throttled(wait or _PATIENCE)
    if answer.status in _STRANGERS:
        return Misconfigured(reason, answer.status)
    if answer.status in _RETRYABLE or answer.status >= 500 or answer.status < 400:
        return Failed(reason, wait)
    return Rejected(reason, answer.status)
