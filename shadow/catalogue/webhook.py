"""From a webhook's body and headers to an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from shadow.catalogue.casts import CastFailed, kind_of, to_datetime, to_string
from shadow.catalogue.expressions import CompiledExpression, Document, MappingFailed
from shadow.catalogue.model import EventMapping, SignatureScheme, WebhookSource
from shadow.catalogue.paths import JSON, MISSING
from shadow.catalogue.problems import Path, dotted

T = TypeVar("T")

DELIVERY_IDS: Mapping[SignatureScheme, tuple[str, ...]] = {
    # One id a delivery, the same on every retry. X-Shopify-Event-Id would not do: all topics that one action of
    # a merchant sets off share it. (shopify.dev, "Verify webhook deliveries")
    SignatureScheme.SHOPIFY: ("header:x-shopify-webhook-id",),
    # docs.github.com, "Best practices for using webhooks": the same on a redelivery
    SignatureScheme.GITHUB: ("header:x-github-delivery",),
    # docs.stripe.com, "Handle duplicate events": the event's id
    SignatureScheme.STRIPE: ("$.id",),
    # github.com/standard-webhooks, specification: the same when a message is sent again. Svix, where the scheme is
    # from, has names of its own (docs.svix.com, "Verifying payloads").
    SignatureScheme.STANDARD: ("header:webhook-id", "header:svix-id"),
    # docs.slack.dev, "The Events API": unique over all workspaces
    SignatureScheme.SLACK: ("$.event_id",),
}
"""Where each scheme's providers put the id of a delivery, the first that is there; `hmac` is nobody's in particular."""


@dataclass(slots=True)  # not frozen: one is made for every delivery, and freezing doubles what that costs
class MappedEvent:
    """What a delivery tells."""

    name: str
    id: str | None
    data: dict[str, Any]
    """May share parts with the body."""
    tenant: str | None
    occurred_at: datetime | None
    """In UTC."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A delivery to be acknowledged and dropped."""

    clause: str
    """The catalogue's key of the clause that says so."""


class Compile(Protocol):
    """Compiles the expression at `path`; what is wrong with it is collected, not raised."""

    def __call__(
        self, expression: JSON, path: Path, *, optional: bool = False, at_key: bool = False
    ) -> CompiledExpression: ...


@dataclass(frozen=True, slots=True)
class _Clause:
    """A `when`: every expression has one of its values."""

    conditions: tuple[tuple[CompiledExpression, tuple[JSON, ...]], ...]

    def holds(self, document: Document) -> bool:
        for found, values in self.conditions:  # noqa: SIM110 (a generator costs more than what it would go through)
            if not _is_one_of(found.find(document), values):
                return False
        return True


@dataclass(frozen=True, slots=True)
class _Mapping:
    where: str
    clause: _Clause
    name: str
    id: CompiledExpression | None
    data: CompiledExpression
    tenant: CompiledExpression | None
    occurred_at: CompiledExpression | None


class WebhookMapper:
    """Maps the deliveries of one webhook source."""

    def __init__(self, name: str, source: WebhookSource, compiled: Compile) -> None:
        """
        Args:
            compiled: compiles an expression of this source.
        """
        self.name = name
        self._tables = source.tables
        root: Path = ("sources", name)
        self._events = [
            _event(mapping, (*root, "events", index), compiled) for index, mapping in enumerate(source.events)
        ]
        clauses = [
            (dotted((*root, "ignore", index)), _clause(when, (*root, "ignore", index), compiled))
            for index, when in enumerate(source.ignore)
        ]
        self._ignored_first = [(where, clause) for where, clause in clauses if clause.conditions]
        self._ignored_else = next((where for where, clause in clauses if not clause.conditions), None)
        places: tuple[JSON, ...] = DELIVERY_IDS.get(source.signature.scheme, ())
        if source.delivery_id is not None:
            places = (source.delivery_id,)
        self._delivery_ids = tuple(compiled(place, (*root, "delivery_id"), optional=True) for place in places)

    def map(self, body: JSON, headers: Mapping[str, str]) -> MappedEvent | Ignored:
        """The event that a delivery tells.

        Args:
            body: parsed.
            headers: names in lower case.

        Raises:
            MappingFailed: no clause holds, or an expression of the one that holds cannot make its value.
        """
        document = Document(body, headers, self._tables)
        for where, clause in self._ignored_first:
            if clause.holds(document):
                return Ignored(where)
        for event in self._events:
            if event.clause.holds(document):
                return _mapped(event, document)
        if self._ignored_else is not None:
            return Ignored(self._ignored_else)
        raise MappingFailed(
            f"sources.{self.name}.events",
            "a delivery that one of their when clauses takes",
            self._seen(document),
        )

    def delivery_id(self, headers: Mapping[str, str], body: JSON) -> str | None:
        """The provider's id of this delivery; None when it carries none."""
        document = Document(body, headers, self._tables)
        places = self._delivery_ids
        if "svix-signature" in headers and "webhook-signature" not in headers:
            places = places[::-1]  # the other id is not signed, so that anybody could change it to be taken for new
        for place in places:
            try:
                value = place.evaluate(document)
                if value is not None and (found := to_string(value)):
                    return found
            except (MappingFailed, CastFailed):
                continue
        return None

    def _seen(self, document: Document) -> str:
        """What the clauses looked at: without it nobody could add the one that is missing."""
        seen: dict[str, str] = {}
        for event in self._events:
            for condition, _ in event.clause.conditions:
                value = condition.find(document)
                shown = "nothing" if value is MISSING else repr(value)[:60]
                seen[str(condition.source)] = shown if not isinstance(value, dict | list) else kind_of(value)
        return ", ".join(f"{name} = {value}" for name, value in seen.items()) or "no clause"


def _clause(when: Mapping[str, JSON], path: Path, compiled: Compile) -> _Clause:
    return _Clause(
        tuple(
            (
                compiled(expression, (*path, expression), optional=True, at_key=True),
                tuple(wanted) if isinstance(wanted, list) else (wanted,),
            )
            for expression, wanted in when.items()
        )
    )


def _event(mapping: EventMapping, path: Path, compiled: Compile) -> _Mapping:
    def maybe(expression: JSON, key: str) -> CompiledExpression | None:
        return None if expression is None else compiled(expression, (*path, key))

    return _Mapping(
        where=dotted(path),
        clause=_clause(mapping.when, (*path, "when"), compiled),
        name=mapping.name,
        id=maybe(mapping.id, "id"),
        data=compiled(mapping.data, (*path, "data")),
        tenant=maybe(mapping.tenant, "tenant"),
        occurred_at=maybe(mapping.occurred_at, "occurred_at"),
    )


def _mapped(event: _Mapping, document: Document) -> MappedEvent:
    data = event.data.evaluate(document)
    if not isinstance(data, dict):
        raise MappingFailed(f"{event.where}.data", "a mapping", kind_of(data))
    where, tenant, moment = event.where, event.tenant, event.occurred_at
    return MappedEvent(
        name=event.name,
        id=None if event.id is None else _value(event.id, _name, where, "id", document),
        data=data,
        tenant=None if tenant is None else _value(tenant, _name, where, "tenant", document),
        occurred_at=None if moment is None else _value(moment, to_datetime, where, "occurred_at", document),
    )


def _value(
    expression: CompiledExpression, convert: Callable[[JSON], T], where: str, key: str, document: Document
) -> T | None:
    value = expression.evaluate(document)
    if value is None:
        return None
    try:
        return convert(value)
    except CastFailed as error:
        raise MappingFailed(f"{where}.{key}", error.expected, error.found) from None


def _name(value: JSON) -> str:
    text = to_string(value)
    if not text:
        # All events with an empty id would be duplicates of one another.
        raise CastFailed("text that is not empty", value)
    return text


def _is_one_of(value: object, wanted: tuple[JSON, ...]) -> bool:
    # True is no 1: Python takes them for equal, JSON does not.
    for one in wanted:  # noqa: SIM110 (see above)
        if value == one and isinstance(value, bool) == isinstance(one, bool):
            return True
    return False
