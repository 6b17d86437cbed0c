"""What Inngest's event API takes and refuses, by the reference and the transcripts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.intake.inngest_events import EventRefused, parse


def one(**fields: Any) -> Any:
    return parse(orjson.dumps({"name": "order/created", "data": {}, **fields}))[0]


def test_an_object_is_one_event_and_an_array_are_many() -> None:
    assert [event.name for event in parse(b'{"name":"a","data":{}}')] == ["a"]
    assert [event.name for event in parse(b'[{"name":"a"},{"name":"b"}]')] == ["a", "b"]


@pytest.mark.parametrize("body", [b"", b"[]"])
def test_a_request_may_hold_no_event(body: bytes) -> None:
    assert parse(body) == []


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"data": {}}, "event name is empty"),
        ({"name": ""}, "event name is empty"),
        ({"name": 7}, "event name must be text"),
        ({"name": "a\x00b"}, "event name must be text"),  # PostgreSQL keeps no NUL
        ({"name": "inngest/function.finished"}, "event name is reserved for internal use: inngest/function.finished"),
        ({"name": "InnGest/x"}, "event name is reserved for internal use: InnGest/x"),  # whatever its case
        ({"name": "a", "data": [1]}, "event data must be an object or null"),
        ({"name": "a", "data": "x"}, "event data must be an object or null"),
        ({"name": "a", "id": 7}, "event id must be text"),
        ({"name": "a", "id": "x" * 2000}, "event id must be text of at most 1024 bytes"),
        ({"name": "a", "ts": "now"}, "event ts must be a whole number"),
        ({"name": "a", "ts": 1.5}, "event ts must be a whole number"),
        ({"name": "a", "ts": True}, "event ts must be a whole number"),
        ({"name": "a", "ts": 1700000000}, "timestamp is before Jan 1, 1980"),  # seconds
        ({"name": "a", "ts": 9_999_999_999_999_999}, "timestamp is after Jan 1, 2100"),
        ("a", "expected each event to be an object"),
    ],
)
def test_a_bad_event_refuses_its_whole_request(event: Any, error: str) -> None:
    with pytest.raises(EventRefused, match=re.escape(error)):
        parse(orjson.dumps([{"name": "good", "data": {}}, event]))


@pytest.mark.parametrize("body", [b"{bad", b'{"name":"a"}\n{"name":"b"}', b'"a"', b"name=a"])
def test_what_is_no_json_object_or_array_is_refused(body: bytes) -> None:
    with pytest.raises(EventRefused):
        parse(body)


def test_at_most_5000_events_come_at_once() -> None:
    with pytest.raises(EventRefused, match="5000"):
        parse(orjson.dumps([{"name": "a"}] * 5001))


def test_data_may_be_null_and_the_platforms_own_key_is_dropped() -> None:
    assert one(data=None).data == b"{}"
    assert orjson.loads(one(data={"a": 1, "_inngest": {"fn_id": "x"}}).data) == {"a": 1}


def test_a_start_in_the_future_is_scheduled() -> None:
    now = datetime(2026, 3, 4, tzinfo=UTC)
    later = now + timedelta(hours=1)
    event = one(ts=int(later.timestamp() * 1000))
    assert (event.occurred_at, event.scheduled_at(now)) == (later, later)
    assert event.scheduled_at(later) is None
    assert one(ts=0).occurred_at is None


def test_only_an_event_with_more_than_shadow_knows_is_kept_as_sent() -> None:
    assert one(id="1", ts=1772600000000, unknown="dropped upstream").request is None
    sent = one(user={"id": 7}, v="1", meta={"sessions": {"a": "b"}}).request
    assert orjson.loads(sent)["user"] == {"id": 7}


def test_an_id_dedupes_by_name_and_id_for_a_day() -> None:
    dedupe = one(id="evt-1").dedupe("app", "1,seed", 3)
    assert (dedupe.scope, dedupe.key, dedupe.lifetime) == ("app", "id:order/created:evt-1", timedelta(hours=24))


def test_a_name_and_an_id_that_read_alike_together_are_still_two_events() -> None:
    first = one(name="a:b", id="c").dedupe("app", None, 0)
    second = one(name="a", id="b:c").dedupe("app", None, 0)
    assert first.key != second.key


def test_without_an_id_the_place_in_a_repeated_request_does() -> None:
    assert one().dedupe("app", "1,seed", 3).key == "seed:1,seed:3"
    assert one().dedupe("app", None, 3) is None


@given(st.text(max_size=600), st.text(max_size=600))
def test_a_key_always_fits_the_index_and_tells_ids_apart(first: str, second: str) -> None:
    keys = [
        one(id="x" + text.encode(errors="ignore").decode().replace("\x00", "")).dedupe("app", None, 0).key
        for text in (first, second)
    ]
    assert all(len(key) <= 200 for key in keys)
    same = first.encode(errors="ignore").replace(b"\x00", b"") == second.encode(errors="ignore").replace(b"\x00", b"")
    assert (keys[0] == keys[1]) is same
