"""Rows, events, Slack, Meta and GA4: what is notation there."""

from __future__ import annotations

import pytest

from comparators import JSON, canonical
from comparators.kinds import normal, register_kind, unregister_kind
from comparators.kinds.instants import instant


def call(body: JSON) -> JSON:
    return {"method": "POST", "path": "/", "body": body}


def conversion(**user: JSON) -> JSON:
    return call({"data": [{"event_name": "Lead", "event_time": 1, "user_data": user}]})


def hit(**members: JSON) -> JSON:
    return call({"client_id": "1.2", "events": [{"name": "purchase", "params": {"value": 5}}], **members})


def section(**members: JSON) -> JSON:
    return call({"channel": "#a", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x"}, **members}]})


def actions(**members: JSON) -> JSON:
    return call({"channel": "#a", "blocks": [{"type": "actions", "elements": [], **members}]})


HASH = "ab" * 32

EQUAL: list[tuple[str, str, JSON, JSON]] = [
    ("zones of PostgreSQL", "sql", {"at": "2026-01-05 10:00:00.120+00"}, {"at": "2026-01-05T11:00:00.12+01:00"}),
    ("zones in a state", "state", [{"at": "2026-01-05T10:00:00Z"}], [{"at": "2026-01-05 05:30:00-0430"}]),
    ("a moment without a zone", "sql", {"at": "2026-01-05 10:00:00"}, {"at": "2026-01-05T10:00:00.000"}),
    ("a whole float", "sql", {"n": 1.0}, {"n": 1}),
    ("JSON as text", "sql", {"by": '{"a": 1,\n "b": ["\\u00e9", 2.0]}'}, {"by": '{"b":["é",2],"a":1}'}),
    (
        "when an event is due",
        "event",
        {"scheduledFor": "2026-01-05T10:00:00Z"},
        {"scheduledFor": "2026-01-05T10:00:00.000+00:00"},
    ),
    (
        "what an SDK adds",
        "event",
        {"name": "a/b", "data": {"n": 1}, "id": "x", "v": "1"},
        {"name": "a/b", "data": {"n": 1}, "idempotencyKey": "y"},
    ),
    ("a block's name", "http", section(block_id="aB3"), section()),
    ("a hash in a list", "http", conversion(em=HASH, ph=["2", "1"]), conversion(em=[HASH.upper()], ph=["1", "2"])),
    ("microseconds as text", "http", hit(timestamp_micros="1767600000000000"), hit(timestamp_micros=1767600000000000)),
]


@pytest.mark.parametrize(("kind", "one", "other"), [row[1:] for row in EQUAL], ids=[row[0] for row in EQUAL])
def test_another_notation_says_the_same(kind: str, one: JSON, other: JSON) -> None:
    assert canonical(normal(kind, one)) == canonical(normal(kind, other))


OTHER: list[tuple[str, str, JSON, JSON]] = [
    ("an object for JSON as text", "sql", {"by": '{"a":1}'}, {"by": {"a": 1}}),
    ("another value in JSON as text", "sql", {"by": '{"a":1}'}, {"by": '{"a":"1"}'}),
    ("a text that begins like JSON", "sql", {"by": "[draft] a"}, {"by": "[draft]  a"}),
    ("a number as text", "sql", {"n": 12}, {"n": "12"}),
    ("a null for nothing", "sql", {"n": None}, {}),
    ("an exact number in a float", "sql", {"n": "12.5"}, {"n": 12.5}),
    ("another instant", "sql", {"at": "2026-01-05T10:00:00Z"}, {"at": "2026-01-05T10:00:00+01:00"}),
    ("a zone more", "sql", {"at": "2026-01-05T10:00:00"}, {"at": "2026-01-05T10:00:00Z"}),
    ("a fraction", "sql", {"at": "2026-01-05T10:00:00.1Z"}, {"at": "2026-01-05T10:00:00Z"}),
    ("an id in an event's data", "event", {"id": "a"}, {"id": "b"}),
    ("an event's name", "event", {"name": "a/b", "data": {}}, {"name": "a/c", "data": {}}),
    ("the name of a block with buttons", "http", actions(block_id="approve-1"), actions(block_id="approve-2")),
    ("a hash", "http", conversion(em=HASH), conversion(em="cd" * 32)),
    ("a hash more", "http", conversion(em=[HASH]), conversion(em=[HASH, "cd" * 32])),
    ("a client", "http", hit(), hit(client_id="1.3")),
]


@pytest.mark.parametrize(("kind", "one", "other"), [row[1:] for row in OTHER], ids=[row[0] for row in OTHER])
def test_what_says_something_else_is_something_else(kind: str, one: JSON, other: JSON) -> None:
    assert canonical(normal(kind, one)) != canonical(normal(kind, other))


@pytest.mark.parametrize(("kind", "data"), [(row[1], row[side]) for row in (*EQUAL, *OTHER) for side in (2, 3)])
def test_what_is_in_its_normal_form_stays(kind: str, data: JSON) -> None:
    once = normal(kind, data)
    assert normal(kind, once) == once


@pytest.mark.parametrize(
    "text",
    ["2026-01-05", "2026-13-05T10:00:00Z", "10:00:00", "order 2026-01-05T10:00:00Z", "0001-01-01T00:00:00+14:00"],
)
def test_what_is_no_moment_stays(text: str) -> None:
    assert instant(text) == text


def test_a_kind_of_ones_own_says_what_is_notation_there() -> None:
    register_kind("sms", lambda data: {**data, "text": str(data["text"]).strip()} if isinstance(data, dict) else data)
    try:
        assert normal("sms", {"text": " a "}) == {"text": "a"}
        with pytest.raises(ValueError, match="'sms' has a normaliser already"):
            register_kind("sms", lambda data: data)
    finally:
        unregister_kind("sms")
    assert normal("sms", {"text": " a "}) == {"text": " a "}
    with pytest.raises(ValueError, match="'http' has a normaliser already"):
        register_kind("http", lambda data: data)
