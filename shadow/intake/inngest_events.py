"""What a producer sends to Inngest's event API, checked as Inngest checks it.

Pure: bytes in, events out. Rules: reference inngest_api.md 1.2-1.7. Unlike upstream, a request is taken whole or not at
all: a bad event stores nothing of its request.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from comparators.nesting import WRITABLE
from shadow.intake.arrival import DedupeKey
from shadow.intake.storable import LONGEST, key_of, storable

JSON = Any

MOST_EVENTS = 5000
DEDUPE_WINDOW = timedelta(hours=24)
"""How long Inngest starts no second run for an event id."""
_RESERVED_PREFIX = "inngest/"
_EARLIEST = 315_532_800_000
"""1980-01-01 in milliseconds; what is before was most likely meant as seconds."""
_LATEST = 4_102_444_800_000
"""2100-01-01 in milliseconds."""


class EventRefused(Exception):
    """An event that Inngest would not take; `str()` is the error it answers with."""


@dataclass(slots=True)
class InngestEvent:
    """One event of a request. Never changed."""

    name: str
    data: bytes
    """A JSON object."""
    fields: dict[str, JSON]
    """`data`, parsed."""
    id: str | None
    occurred_at: datetime | None
    request: bytes | None
    """The event as sent, when it carries more than name, data, id and ts (`user`, `v`, `meta`), so that the
    adapter can send those along."""

    def scheduled_at(self, now: datetime) -> datetime | None:
        """When its runs shall start, if later than now."""
        return self.occurred_at if self.occurred_at is not None and self.occurred_at > now else None

    def dedupe(self, source: str, seed: str | None, index: int) -> DedupeKey | None:
        """What makes a second one the same: its own id, else its place in a request that is sent again."""
        if self.id is not None:
            return DedupeKey(source, key_of("id", self.name, self.id), DEDUPE_WINDOW)
        if seed is not None:
            return DedupeKey(source, key_of("seed", seed, str(index)), DEDUPE_WINDOW)
        return None


def parse(body: bytes) -> list[InngestEvent]:
    """Read a request of the event API: one event or an array of them. An empty body holds none.

    Raises:
        EventRefused: some part of it is not as Inngest wants it.
    """
    if not body:
        return []
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise EventRefused(f"invalid JSON: {error.msg} at byte {error.pos}") from None
    if isinstance(document, dict):
        return [_event(document)]
    if not isinstance(document, list):
        raise EventRefused("expected an event object or an array of event objects")
    if len(document) == 1:
        return [_event(document[0])]
    if len(document) > MOST_EVENTS:
        raise EventRefused(f"a request may hold at most {MOST_EVENTS} events, found {len(document)}")
    return [_event(event) for event in document]


def _event(event: JSON) -> InngestEvent:
    if not isinstance(event, dict):
        raise EventRefused("expected each event to be an object")
    name = event.get("name")
    if not name:
        raise EventRefused("event name is empty")
    if not isinstance(name, str) or not storable(name):
        raise EventRefused(f"event name must be text of at most {LONGEST} bytes")
    if name[: len(_RESERVED_PREFIX)].lower() == _RESERVED_PREFIX:
        raise EventRefused(f"event name is reserved for internal use: {name}")
    fields = event.get("data")
    if fields is None:
        fields = {}
    if not isinstance(fields, dict):
        raise EventRefused(f"event data must be an object or null: {name}")
    fields.pop("_inngest", None)  # the platform's own: it deletes what senders put there
    identifier = event.get("id")
    if identifier is not None and not (isinstance(identifier, str) and storable(identifier)):
        raise EventRefused(f"event id must be text of at most {LONGEST} bytes: {name}")
    try:
        data, request = orjson.dumps(fields), _extras(event)
    except TypeError:
        raise EventRefused(f"event is nested deeper than {WRITABLE} levels: {name}") from None
    ts = event.get("ts")
    return InngestEvent(name, data, fields, identifier or None, None if ts is None else _moment(ts), request)


def _moment(ts: JSON) -> datetime | None:
    if ts == 0:
        return None
    if not isinstance(ts, int) or isinstance(ts, bool):
        raise EventRefused("event ts must be a whole number of milliseconds since 1970")
    if ts < _EARLIEST:
        raise EventRefused("timestamp is before Jan 1, 1980")
    if ts > _LATEST:
        raise EventRefused("timestamp is after Jan 1, 2100")
    return datetime.fromtimestamp(ts / 1000, UTC)


def _extras(event: dict[str, JSON]) -> bytes | None:
    find = event.get
    if find("user") is None and find("v") is None and find("meta") is None:
        return None
    return orjson.dumps(event)
