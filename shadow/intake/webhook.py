"""A webhook delivery, verified, as an arrival. Pure: what the mapping made of it comes in, an `Arrival` goes out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl

import orjson

from comparators.nesting import read
from shadow.catalogue import Ignored, MappedEvent
from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Decision
from shadow.intake.arrival import Arrival, DedupeKey, Door, PlannedDispatch, Stage, State
from shadow.intake.storable import key_of, storable

JSON = Any
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"

# An enumeration's members are looked up more slowly than names of a module.
_DOOR, _PRODUCER, _FORWARD = Door.WEBHOOK, Origin.PRODUCER, Stage.FORWARD

UNMAPPED = "unmapped"
IGNORED = "ignored"


class BadBody(ValueError):
    """The body is not in the encoding it claims."""


class Mapper(Protocol):
    """What the catalogue offers for each webhook source."""

    def map(self, body: JSON, headers: Mapping[str, str]) -> MappedEvent | Ignored: ...

    def delivery_id(self, headers: Mapping[str, str], body: JSON) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Unmapped:
    """The mapping failed; the delivery is kept as a dead letter."""

    reason: str


@dataclass(slots=True)
class Delivery:
    """One delivery of a source, its signature checked. Never changed."""

    source: str
    body: bytes
    headers: tuple[tuple[str, str], ...]
    """As they came."""
    delivery_id: str | None
    read: MappedEvent | Ignored | Unmapped
    by_body: bool = False
    """Whether it is known again by its bytes, whatever its id is."""


def document(body: bytes, content_type: str) -> JSON:
    """The body parsed: JSON, or a form (Slack's commands) as an object of its last values.

    Raises:
        BadBody: it is neither.
    """
    if content_type != _JSON and content_type.partition(";")[0].strip().lower() == _FORM:
        try:
            return dict(parse_qsl(body.decode(), keep_blank_values=True))
        except UnicodeDecodeError as error:
            raise BadBody("expected a form in UTF-8") from error
    try:
        return read(body)
    except orjson.JSONDecodeError as error:
        raise BadBody(f"expected JSON: {error.msg} at byte {error.pos}") from None


def delivery(
    source: str,
    mapper: Mapper,
    body: bytes,
    document: JSON,
    headers: tuple[tuple[str, str], ...],
    fields: Mapping[str, str],
    *,
    by_body: bool = False,
) -> Delivery:
    """Map a delivery. Whatever the mapping does, something is returned: nothing accepted may be lost."""
    identifier, read = _delivery_id(mapper, fields, document), _read(mapper, document, fields)
    return Delivery(source, body, headers, identifier, read, by_body)


def arrival(
    delivery: Delivery,
    dispatches: tuple[PlannedDispatch, ...],
    decision: Decision | None,
    ramp_key: str | None = None,
) -> Arrival:
    """The delivery as an event to be stored.

    Args:
        dispatches: what is planned for it: deliveries for a mapped one, at most the forward for any other.
    """
    read, identifier = delivery.read, delivery.delivery_id
    mapped = read if isinstance(read, MappedEvent) else None
    if isinstance(read, Unmapped):
        dispatches = (*dispatches, PlannedDispatch(Side.LEGACY, Stage.MAP, delivery.source, None, State.DEAD))
    # A webhook is kept as it came only where it must be passed on, or mapped again later.
    kept = mapped is None or _is_forwarded(dispatches)
    derived = f"{delivery.source}:{identifier}" if identifier is not None else None
    name = f"{delivery.source}/{IGNORED if isinstance(read, Ignored) else UNMAPPED}" if mapped is None else mapped.name
    return Arrival(  # by place: by name it takes more than twice as long
        delivery.source,
        _DOOR,
        _PRODUCER,
        name,
        b"{}" if mapped is None else orjson.dumps(mapped.data),
        dispatches,
        decision,
        None,
        None if mapped is None else mapped.tenant,
        identifier,
        (None if mapped is None else mapped.id) or derived,
        None if mapped is None else mapped.occurred_at,
        None,
        _dedupe(delivery, mapped),
        request=delivery.body if kept else None,
        headers=delivery.headers if kept else (),
        mapping_error=read.reason if isinstance(read, Unmapped) else None,
        ramp_key=ramp_key,
    )


def _is_forwarded(dispatches: tuple[PlannedDispatch, ...]) -> bool:
    for dispatch in dispatches:  # noqa: SIM110 (a generator costs more than what it would go through)
        if dispatch.stage is _FORWARD:
            return True
    return False


def _dedupe(delivery: Delivery, mapped: MappedEvent | None) -> DedupeKey | None:
    """By the provider's id of the delivery, else by the event's own; or by its bytes."""
    if delivery.by_body:
        return DedupeKey(delivery.source, key_of("body", hashlib.sha256(delivery.body).hexdigest()))
    if delivery.delivery_id is not None:
        return DedupeKey(delivery.source, key_of("delivery", delivery.delivery_id))
    if mapped is not None and mapped.id:
        return DedupeKey(delivery.source, key_of("id", mapped.name, mapped.id))
    return None


def _delivery_id(mapper: Mapper, fields: Mapping[str, str], document: JSON) -> str | None:
    identifier = mapper.delivery_id(fields, document)
    if not identifier:
        return None
    return identifier if storable(identifier) else key_of(identifier)


def _read(mapper: Mapper, document: JSON, fields: Mapping[str, str]) -> MappedEvent | Ignored | Unmapped:
    try:
        read = mapper.map(document, fields)
    except (ValueError, RecursionError) as error:
        return Unmapped(_one_line(error))
    if isinstance(read, MappedEvent):
        if not storable(read.name):
            return _unstorable("name")
        if read.id is not None and not storable(read.id):
            return _unstorable("id")
        if read.tenant is not None and not storable(read.tenant):
            return _unstorable("tenant")
    return read


def _unstorable(what: str) -> Unmapped:
    return Unmapped(f"{what}: cannot be stored, it is too long or holds a NUL")


def _one_line(error: Exception) -> str:
    return " ".join(f"{error}".split())[:500].replace("\x00", "") or type(error).__name__
