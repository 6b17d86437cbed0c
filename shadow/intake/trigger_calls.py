"""What a producer asks of Trigger.dev: the trigger call and the items of every generation of batch calls.

Pure: bytes and headers in, calls out. Rules and error texts: reference trigger_dev_api.md 1.2-1.6, 2.2, 2.3, 6.1, 6.2
and the transcripts. What Trigger.dev itself would refuse (bad options, too many tags) is left to it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from comparators.nesting import TooDeep, read
from shadow.intake import superjson
from shadow.intake.storable import storable

JSON = Any

MOST_ITEMS = 1000
"""Of a batch: the platform's own limit (reference 2.3)."""
DEFAULT_KEY_LIFETIME = timedelta(days=30)
_LONGEST_KEY_LIFETIME = timedelta(days=3650)
_LATEST_START = datetime(2100, 1, 1, tzinfo=UTC)
"""As far ahead as Inngest takes an event; what is computed from a start must stay within the calendar."""
_KEY_LIFETIME = re.compile(r"^(\d{1,9})([smhd])$")
_DELAY_PART = re.compile(r"(\d{1,9})(w|d|hr|h|m|s)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "hr": 3600, "d": 86400, "w": 604800}
_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "boolean"),
    ((int, float), "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
)

_OF_THE_FIRST = frozenset({"idempotencyKey", "idempotencyKeyTTL", "idempotencyKeyOptions", "delay", "debounce"})
"""Options that a replay of the call does not have."""

REQUEST_KEY = "x-trigger-request-idempotency-key"
"""Made by the SDK for each call, the same across its retries."""
KEPT_HEADERS = frozenset(
    {
        "content-type",
        "idempotency-key",
        "idempotency-key-ttl",
        "traceparent",
        "tracestate",
        "trigger-version",
        "x-trigger-branch",
        "x-trigger-client",
        "x-trigger-engine-version",
        "x-trigger-realtime-streams-version",
        "x-trigger-source",
        "x-trigger-span-parent-as-link",
        "x-trigger-worker",
        REQUEST_KEY,
    }
)
"""What of a call's headers is kept with the event, to send it again. Never a credential."""


class CallRefused(Exception):
    """The call cannot be understood; `status` and `str()` are what Trigger.dev would have answered."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


@dataclass(frozen=True, slots=True)
class TriggerCall:
    """One run asked for."""

    task: str
    """As the legacy platform names it."""
    body: bytes
    """As for the trigger endpoint: payload, context, options."""
    raw_payload: JSON
    payload_type: str
    producer_key: str | None
    """The idempotency key that the producer chose, as on the wire."""
    key_lifetime: timedelta
    delay: str | None
    shown_key: str | None = None
    """The key as the platform shows it when the run is read: the SDK's users' own, where it was sent along."""
    index: int | None = None
    """Of a batch item."""
    parent: str | None = None
    """The run that makes the call, as the SDK says inside a task (reference 1.3)."""
    is_awaited: bool = False
    """Whether that run waits for this one's result."""
    tags: tuple[str, ...] = ()

    @property
    def stored_at(self) -> str | None:
        """Where in the platform's store a payload lies that was too large to send; None for one that came along."""
        if self.payload_type != superjson.STORE or not isinstance(self.raw_payload, str):
            return None
        return self.raw_payload or None

    def payload(self) -> JSON:
        """The payload as plain JSON.

        Raises:
            ValueError: it is not encoded as it says, or did not come along.
        """
        return superjson.payload(self.raw_payload, self.payload_type)

    def scheduled_at(self, now: datetime) -> datetime | None:
        """When the run shall start, if later than now."""
        moment = None if self.delay is None else delayed_until(self.delay, now)
        return moment if moment is not None and moment > now else None


@dataclass(frozen=True, slots=True)
class AnnouncedBatch:
    """The first phase of a v3 batch: what its items will be."""

    run_count: int
    tasks: tuple[str, ...] | None
    """The tasks of its items, as the legacy platform names them; None where the SDK does not say."""
    parent: str | None
    """The run that asks for it."""
    is_awaited: bool
    key: str | None
    """Of the batch itself."""
    document: dict[str, JSON]


def trigger_call(task: str, body: bytes, headers: Mapping[str, str]) -> TriggerCall:
    """Read a `POST /api/v1/tasks/{id}/trigger`.

    Raises:
        CallRefused: 400 for what is empty, no JSON or no object, and for a key that cannot be kept.
    """
    call = _call(task, _object(body), body)
    key = headers.get("idempotency-key")
    if not key:
        return call
    if "\x00" in key:
        raise CallRefused(400, "Headers Error: idempotency-key holds a NUL")
    lifetime = headers.get("idempotency-key-ttl")
    return replace(
        call,
        producer_key=key,
        key_lifetime=call.key_lifetime if lifetime is None else key_lifetime(lifetime),
    )


def batch_calls(body: bytes, task: str | None = None) -> tuple[dict[str, JSON], list[TriggerCall]]:
    """Read the v1 and v2 batches: `{items: [...]}`, whose items name a task unless the path did.

    Returns:
        the parsed body, to be rewritten by `keyed_batch`, and a call for each item.

    Raises:
        CallRefused: 400 for what is no batch.
    """
    document = _object(body)
    items = document.get("items")
    if not isinstance(items, list):
        kind = "Required" if "items" not in document else f"Expected array, received {_kind(items)}"
        raise CallRefused(400, f'Validation error: {kind} at "items"')
    calls = [_item(item, index, f"items[{index}]", task, "Validation error: ", 400) for index, item in enumerate(items)]
    return document, [_emitted(call, document) for call in calls]


def keyed_batch(document: dict[str, JSON], keys: Sequence[str | None], places: Sequence[int] | None = None) -> bytes:
    """The batch with those idempotency keys in its items; an item whose key is None stays as it is.

    Args:
        places: of the items that shall be in it; None: all.
    """
    items = [item if key is None else _with_key(item, key) for item, key in zip(document["items"], keys, strict=True)]
    return orjson.dumps({**document, "items": items if places is None else [items[place] for place in places]})


def replayed_body(body: bytes) -> bytes:
    """The body of a call that is made once more: at once, and not under its key (reference 3.7).

    Raises:
        CallRefused: it is no call.
    """
    document = _object(body)
    options = document.get("options")
    if isinstance(options, dict):
        kept = {name: value for name, value in options.items() if name not in _OF_THE_FIRST}
        document = {**document, "options": kept}
    return orjson.dumps(document)


def announced_batch(body: bytes) -> AnnouncedBatch | None:
    """Read the first phase of a v3 batch (reference 2.3); None for what the platform will refuse."""
    try:
        document: JSON = read(body)
    except orjson.JSONDecodeError:
        return None
    count = document.get("runCount") if isinstance(document, dict) else None
    if not isinstance(count, int) or isinstance(count, bool) or not 0 < count <= MOST_ITEMS:
        return None
    tasks, key, parent = (document.get(name) for name in ("taskIdentifiers", "idempotencyKey", "parentRunId"))
    named = isinstance(tasks, list) and bool(tasks) and all(isinstance(task, str) for task in tasks)
    has_parent = isinstance(parent, str) and bool(parent) and storable(parent)
    return AnnouncedBatch(
        run_count=count,
        tasks=tuple(tasks) if named else None,
        parent=parent if has_parent else None,
        is_awaited=document.get("resumeParentOnCompletion") is True,
        key=key if isinstance(key, str) and key and storable(key) else None,
        document=document,
    )


def streamed_calls(body: bytes) -> list[tuple[bytes, TriggerCall]]:
    """Read the second phase of a v3 batch: one item a line, with its index.

    Returns:
        each line with its call.

    Raises:
        CallRefused: 400 for a line that is no JSON, 422 for one that is no item.
    """
    return list(_streamed(body))


def _streamed(body: bytes) -> Iterator[tuple[bytes, TriggerCall]]:
    for number, line in enumerate(filter(bytes.strip, body.split(b"\n")), start=1):
        try:
            item: JSON = read(line)
        except orjson.JSONDecodeError as error:
            raise CallRefused(400, f"Invalid JSON at line {number}: {error.msg}") from None
        prefix = f"Invalid item at index {number - 1}: "
        call = _item(item, number - 1, "", None, prefix, 422)
        index = item.get("index")
        if not isinstance(index, int) or isinstance(index, bool) or index < 0:
            raise CallRefused(422, f'{prefix}Expected a number from 0 at "index"')
        yield line, replace(call, index=index)


def keyed_line(line: bytes, key: str | None, index: int | None = None) -> bytes:
    """An NDJSON item with that idempotency key and that index; what is None stays as it is."""
    item = orjson.loads(line)
    if key is not None:
        item = _with_key(item, key)
    return orjson.dumps(item if index is None else {**item, "index": index})


def derived_key(*parts: str) -> str:
    """The wire form of a key of ours: 64 hex digits, as the SDK's own keys are."""
    return hashlib.sha256("\x1f".join(("shadow", *parts)).encode(errors="replace")).hexdigest()


def key_lifetime(text: object) -> timedelta:
    """`<int>[smhd]`, ten years at most; anything else is 30 days, as upstream."""
    match = _KEY_LIFETIME.match(text) if isinstance(text, str) else None
    if match is None:
        return DEFAULT_KEY_LIFETIME
    return min(timedelta(seconds=int(match.group(1)) * _SECONDS[match.group(2)]), _LONGEST_KEY_LIFETIME)


def kept_headers(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Those of a call's headers that may be stored."""
    return tuple((name, value) for name, value in headers if name in KEPT_HEADERS)


def _object(body: bytes) -> dict[str, JSON]:
    if not body:
        raise CallRefused(400, "Request body is empty")
    try:
        document: JSON = read(body)
    except TooDeep as error:
        raise CallRefused(400, f"Invalid JSON: {error.msg}") from None
    except orjson.JSONDecodeError:
        raise CallRefused(400, "Invalid JSON") from None
    if not isinstance(document, dict):
        raise CallRefused(400, f"Validation error: Expected object, received {_kind(document)}")
    return document


def _item(item: JSON, index: int, place: str, task: str | None, prefix: str, status: int) -> TriggerCall:
    if not isinstance(item, dict):
        where = f' at "{place}"' if place else ""
        raise CallRefused(status, f"{prefix}Expected object, received {_kind(item)}{where}")
    named = task if task is not None else item.get("task")
    if not isinstance(named, str):
        found = "Required" if "task" not in item else f"Expected string, received {_kind(named)}"
        raise CallRefused(status, f'{prefix}{found} at "{place}.task"'.replace('".', '"'))
    alone = {name: item[name] for name in ("payload", "context", "options") if name in item}
    refusal = (status, prefix, f"{place}.options".lstrip("."))
    return replace(_call(named, item, orjson.dumps(alone), refusal), index=index)


def _call(
    task: str,
    fields: dict[str, JSON],
    body: bytes,
    refusal: tuple[int, str, str] = (400, "Validation error: ", "options"),
) -> TriggerCall:
    """Raises CallRefused, with that status, prefix and place, for a key that PostgreSQL cannot keep."""
    given = fields.get("options")
    options: dict[str, JSON] = given if isinstance(given, dict) else {}
    payload_type = options.get("payloadType")
    key = options.get("idempotencyKey")
    if isinstance(key, str) and "\x00" in key:
        status, prefix, place = refusal
        raise CallRefused(status, f'{prefix}Expected text without NUL at "{place}.idempotencyKey"')
    delay = options.get("delay")
    read = TriggerCall(
        task=task,
        body=body,
        raw_payload=fields.get("payload"),
        payload_type=payload_type if isinstance(payload_type, str) else "application/json",
        producer_key=key if isinstance(key, str) and key else None,
        key_lifetime=key_lifetime(options.get("idempotencyKeyTTL")),
        delay=delay if isinstance(delay, str) else None,
        shown_key=_shown_key(options.get("idempotencyKeyOptions")),
        tags=tags_of(options.get("tags")),
    )
    return _emitted(read, options)


def _emitted(call: TriggerCall, options: Mapping[str, JSON]) -> TriggerCall:
    """The call with the run that makes it, as its own options say or those of its batch. SDK 3 names no run, and the
    attempt that waits."""
    parent = options.get("parentRunId")
    has_parent = isinstance(parent, str) and bool(parent) and storable(parent)
    awaited = options.get("resumeParentOnCompletion") is True or isinstance(options.get("dependentAttempt"), str)
    return replace(call, parent=parent if has_parent else call.parent, is_awaited=call.is_awaited or awaited)


def tags_of(given: JSON) -> tuple[str, ...]:
    """Tags as they are given, one or many: each once, without empty ones, in order."""
    listed = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    return tuple(sorted({tag for tag in listed if isinstance(tag, str) and tag.strip()}))


def _shown_key(key_options: JSON) -> str | None:
    shown = key_options.get("key") if isinstance(key_options, dict) else None
    return shown if isinstance(shown, str) and shown else None


def _with_key(item: dict[str, JSON], key: str) -> dict[str, JSON]:
    options = item.get("options")
    return {**item, "options": {**(options if isinstance(options, dict) else {}), "idempotencyKey": key}}


def delayed_until(delay: str, now: datetime) -> datetime | None:
    """An ISO instant or a duration such as `1h30m`; None for anything else (no delay, as upstream). Nothing waits
    longer than until 2100."""
    parts = _DELAY_PART.findall(delay)
    if parts and "".join(count + unit for count, unit in parts) == delay:
        seconds = sum(int(count) * _SECONDS[unit] for count, unit in parts)
        return min(now + timedelta(seconds=min(seconds, 10**10)), _LATEST_START)
    try:
        moment = datetime.fromisoformat(delay)
    except ValueError:
        return None
    return min(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC), _LATEST_START)


def _kind(value: JSON) -> str:
    """The JavaScript name of a value's type, as the platform's validator writes it."""
    return next((name for types, name in _KINDS if isinstance(value, types)), "null")
