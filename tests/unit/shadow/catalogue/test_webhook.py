"""From a delivery to an event: which clause takes it, what becomes of it, and what its id is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shadow.catalogue import Ignored, MappedEvent, MappingFailed, WebhookMapper
from tests.unit.shadow.catalogue.generated import resolved

TOPIC = {"x-topic": "orders/create", "x-shop": "a.shop"}


def mapper(source: str, scheme: str = "shopify") -> WebhookMapper:
    """Of a catalogue whose webhook source has these further lines."""
    text = "\n".join(f"    {line}" for line in source.splitlines())
    return resolved(("    events:\n", f"{text}\n    events:\n"), ("scheme: shopify", f"scheme: {scheme}")).webhook(
        "shopify"
    )


def events(*clauses: str) -> WebhookMapper:
    """Of a catalogue whose webhook source has only these events."""
    lines = "\n".join(f"      - {clause}" for clause in clauses)
    old = """\
      - when: {"header:x-topic": orders/create}
        name: shopify/order.created
        tenant: {lookup: tenants, key: "header:x-shop"}
        data: {orderId: {path: $.id, as: string}}"""
    return resolved((old, lines)).webhook("shopify")


def test_a_delivery_becomes_an_event() -> None:
    mapped = (
        resolved(
            ("        name: shopify", '        id: "header:x-id"\n        occurred_at: $.at\n        name: shopify')
        )
        .webhook("shopify")
        .map({"id": 5, "at": "2026-01-01T00:00:00+01:00"}, {**TOPIC, "x-id": "w1"})
    )
    assert mapped == MappedEvent(
        "shopify/order.created", "w1", {"orderId": "5"}, "tenant_a", datetime(2025, 12, 31, 23, tzinfo=UTC)
    )


def test_without_further_expressions_the_body_is_the_data_and_the_rest_is_unknown() -> None:
    assert events("name: any").map({"a": 1}, {}) == MappedEvent("any", None, {"a": 1}, None, None)


@pytest.mark.parametrize(
    ("body", "headers", "name"),
    [
        ({}, {"topic": "a"}, "first"),
        ({}, {"topic": "b"}, "first"),
        ({"kind": "c"}, {}, "second"),
        ({"kind": "c"}, {"topic": "a"}, "first"),
        ({"live": True}, {}, "third"),
        # a JSON number is no JSON boolean, whatever Python says
        ({"live": 1}, {}, "fourth"),
        ({"kind": None}, {}, "fourth"),
    ],
)
def test_the_first_event_whose_clause_holds_is_taken(body: object, headers: dict[str, str], name: str) -> None:
    mapped = events(
        '{when: {"header:topic": [a, b]}, name: first}',
        "{when: {$.kind: c}, name: second}",
        "{when: {$.live: true}, name: third}",
        "{when: {$.live: 1}, name: fourth}",
        "{when: {$.kind: ~}, name: fourth}",
    ).map(body, headers)
    assert isinstance(mapped, MappedEvent)
    assert mapped.name == name


def test_all_conditions_of_a_clause_must_hold() -> None:
    one = events("{when: {$.a: 1, $.b: 2}, name: both}", "{name: other}")
    assert [one.map(body, {}) for body in ({"a": 1, "b": 2}, {"a": 1})] == [
        MappedEvent("both", None, {"a": 1, "b": 2}, None, None),
        MappedEvent("other", None, {"a": 1}, None, None),
    ]


def test_an_ignored_delivery_names_its_clause_and_is_ignored_before_events_are_looked_at() -> None:
    one = mapper("ignore: [{$.other: 1}, {$.test: true}]")
    assert one.map({"id": 1, "test": True}, TOPIC) == Ignored("sources.shopify.ignore[1]")


def test_the_empty_clause_ignores_what_no_event_takes() -> None:
    one = mapper("ignore: [{}]")
    assert isinstance(one.map({"id": 1}, TOPIC), MappedEvent)
    assert one.map({"id": 1}, {"x-topic": "orders/paid"}) == Ignored("sources.shopify.ignore[0]")


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (
            {"id": 1},
            {"x-topic": "orders/paid"},
            "sources.shopify.events: found header:x-topic = 'orders/paid', expected a delivery that one of",
        ),
        ({"id": 1}, {}, "sources.shopify.events: found header:x-topic = nothing, expected"),
        ({}, TOPIC, "sources.shopify.events[0].data.orderId: found nothing, expected a value at $.id"),
        ([], TOPIC, "sources.shopify.events[0].data.orderId: found nothing, expected a value at $.id"),
        (
            {"id": 1},
            {**TOPIC, "x-shop": "b.shop"},
            "sources.shopify.events[0].tenant: found 'b.shop', expected a row of the table tenants",
        ),
    ],
)
def test_a_delivery_that_cannot_be_mapped_says_why(body: object, headers: dict[str, str], message: str) -> None:
    with pytest.raises(MappingFailed) as caught:
        resolved().webhook("shopify").map(body, headers)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("clause", "message"),
    [
        ("{name: a, data: $.list}", "sources.shopify.events[0].data: found a list, expected a mapping"),
        ("{name: a, id: $.empty}", "sources.shopify.events[0].id: found empty text, expected text that is not empty"),
        ("{name: a, tenant: $.list}", "sources.shopify.events[0].tenant: found a list, expected text"),
        ("{name: a, occurred_at: $.word}", "sources.shopify.events[0].occurred_at: found text, expected a time"),
    ],
)
def test_a_part_of_the_wrong_kind_is_a_failed_mapping(clause: str, message: str) -> None:
    with pytest.raises(MappingFailed) as caught:
        events(clause).map({"list": [], "empty": "", "word": "soon"}, {})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("scheme", "headers", "body", "delivery_id"),
    [
        ("shopify", {"x-shopify-webhook-id": "w", "x-shopify-event-id": "e"}, {}, "w"),
        ("github", {"x-github-delivery": "g"}, {}, "g"),
        ("stripe", {}, {"id": "evt_1"}, "evt_1"),
        ("slack", {}, {"event_id": "Ev1"}, "Ev1"),
        ("standard-webhooks", {"webhook-id": "msg_1"}, {}, "msg_1"),
        # Svix's own names; with both sets the signed one, as the other may have been added on the way
        ("standard-webhooks", {"svix-id": "msg_2"}, {}, "msg_2"),
        ("standard-webhooks", {"svix-id": "msg_2", "svix-signature": "v1,", "webhook-id": "msg_1"}, {}, "msg_2"),
        ("standard-webhooks", {"svix-id": "msg_2", "webhook-signature": "v1,", "webhook-id": "msg_1"}, {}, "msg_1"),
        # nobody's in particular
        ("hmac, header: x-signature", {"x-id": "1"}, {"id": 1}, None),
        # none was sent, or none that can be one
        ("shopify", {}, {}, None),
        ("stripe", {}, {"id": ""}, None),
        ("stripe", {}, {"id": ["a"]}, None),
        ("stripe", {}, "text", None),
    ],
)
def test_each_scheme_has_its_own_place_for_the_delivery_id(
    scheme: str, headers: dict[str, str], body: object, delivery_id: str | None
) -> None:
    assert mapper("", scheme).delivery_id(headers, body) == delivery_id


def test_a_source_may_say_where_its_delivery_id_stands() -> None:
    one = mapper("delivery_id: $.delivery")
    assert one.delivery_id({"x-shopify-webhook-id": "w"}, {"delivery": 7}) == "7"
    assert one.delivery_id({"x-shopify-webhook-id": "w"}, {}) is None
