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
    return Delivery(
        source=source,
        body=body,
        headers=headers,
        delivery_id=_delivery_id(mapper, fields, document),
        read=_read(mapper, document, fields),
        by_body=by_body,
    )


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
    return Arrival(
        source=delivery.source,
        door=Door.WEBHOOK,
        origin=Origin.PRODUCER,
        name=mapped.name if mapped else f"{delivery.source}/{IGNORED if isinstance(read, Ignored) else UNMAPPED}",
        data=orjson.dumps(mapped.data) if mapped else b"{}",
        dispatches=dispatches,
        decision=decision,
        tenant=mapped.tenant if mapped else None,
        external_id=identifier,
        delivery_id=(mapped.id if mapped else None) or derived,
        occurred_at=mapped.occurred_at if mapped else None,
        dedupe=_dedupe(delivery, mapped),
        request=delivery.body if kept else None,
        headers=delivery.headers if kept else (),
        mapping_error=read.reason if isinstance(read, Unmapped) else None,
        ramp_key=ramp_key,
    )


def _is_forwarded(dispatches: tuple[PlannedDispatch, ...]) -> bool:
    for dispatch in dispatches:  # noqa: SIM110 (a generator costs more than what it would go through)
        if dispatch.stage is Stage.FORWARD:
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
        for what, value in (("name", read.name), ("id", read.id), ("tenant", read.tenant)):
            if value is not None and not storable(value):
                return Unmapped(f"{what}: cannot be stored, it is too long or holds a NUL")
    return read


def _one_line(error: Exception) -> str:
    return " ".join(f"{error}".split())[:500].replace("\x00", "") or type(error).__name__
