"""Bodies of events are read with the real server's rules and refused with its texts."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.inngest.decoding import MAX_EVENT_BYTES, decode_events


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{bad", "invalid character 'b' looking for beginning of object key string"),
        (b'{"name":', "unexpected end of JSON input"),
        (b'{"name" 1}', "invalid character '1' after object key"),
        (b'{"name":"a" "x":1}', "invalid character '\"' after object key:value pair"),
        (b'{"name":"a","data":{"x":[1 2]}}', "invalid character '2' after array element"),
        (b'{"name":"a","ts":NaN}', "invalid character 'N' looking for beginning of value"),
        (b'{"name":"a"}\n{"name":"b"}', "invalid character '{' after top-level value"),  # NDJSON
        (b'"text"', "Request body must contain an event object or an array of event objects"),
        (b"nonsense", "invalid character 'n' looking for beginning of value"),
        (b'{"data":{}}', "event name is empty"),
        (b'{"name":""}', "event name is empty"),
        (b"[null]", "event name is empty"),
        (b"[7]", "json: cannot unmarshal number into Go value of type event.raw"),
        (b'{"name":7}', "json: cannot unmarshal number into Go struct field raw.name of type string"),
        (b'{"name":"x","id":7}', "json: cannot unmarshal number into Go struct field raw.id of type string"),
        (
            b'{"name":"x","data":[1]}',
            "json: cannot unmarshal array into Go struct field raw.data of type map[string]interface {}",
        ),
        (
            b'{"name":"x","data":"y"}',
            "json: cannot unmarshal string into Go struct field raw.data of type map[string]interface {}",
        ),
        (b'{"name":"x","ts":"1"}', "json: cannot unmarshal string into Go struct field raw.ts of type int64"),
        (
            b'{"name":"x","ts":1.5}',
            "json: cannot unmarshal number 1.5 into Go struct field raw.ts of type int64",
        ),
        (b'{"name":"x","ts":true}', "json: cannot unmarshal bool into Go struct field raw.ts of type int64"),
        (b'{"name":"x","ts":1700000000}', "timestamp is before Jan 1, 1980"),  # seconds
        (b'{"name":"x","ts":4200000000000}', "timestamp is after Jan 1, 2100"),
        (b'{"name":"x","ts":9300000000000}', "timestamp is before Jan 1, 1980"),  # overflows nanoseconds
        (b'{"name":"inngest/x"}', "event name is reserved for internal use: inngest/x"),
        (b'{"name":"InnGest/x"}', "event name is reserved for internal use: InnGest/x"),
    ],
)
def test_a_bad_body_is_refused_with_the_text_of_the_real_server(body: bytes, error: str) -> None:
    with pytest.raises(ValueError) as refused:
        list(decode_events(body))
    assert str(refused.value) == error


@pytest.mark.parametrize("body", [b"", b"  ", b"[]", b" [ ] "])
def test_nothing_yields_no_event(body: bytes) -> None:
    assert list(decode_events(body)) == []


def test_events_before_a_bad_one_are_yielded_even_when_the_json_breaks_later() -> None:
    events = decode_events(b'[{"name":"one"}, {"name":"two"}, {broken')
    assert [next(events)["name"], next(events)["name"]] == ["one", "two"]
    with pytest.raises(ValueError, match="beginning of object key string"):
        next(events)


def test_the_servers_own_key_and_unknown_fields_are_dropped() -> None:
    body = b'{"name":"x","data":{"_inngest":{"fn_id":"y"},"a":1},"extra":1,"v":"2","user":{"id":1}}'
    assert list(decode_events(body)) == [
        {"name": "x", "data": {"a": 1}, "ts": 0, "v": "2", "user": {"id": 1}},
    ]


def test_the_size_limit_counts_each_event_alone() -> None:
    filler = "x" * (MAX_EVENT_BYTES // 2)
    body = orjson.dumps([{"name": "x", "data": {"filler": filler}}] * 3)
    assert len(list(decode_events(body))) == 3
    too_large = orjson.dumps([{"name": "x", "data": {"filler": filler * 2}}])
    with pytest.raises(ValueError, match=r"^Event is over the max size: Max 3145728 bytes / Size \d+ bytes$"):
        list(decode_events(too_large))


def test_the_event_after_the_five_thousandth_is_refused_after_the_others() -> None:
    events = decode_events(b"[" + b",".join([b'{"name":"x"}'] * 5001) + b"]")
    taken = [next(events) for _ in range(5000)]
    assert len(taken) == 5000
    with pytest.raises(ValueError, match="Cannot have more than 5000 events in a batch"):
        next(events)


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3), max_size=5))
def test_the_streaming_reader_agrees_with_the_fast_one(data: list[dict[str, int | str]]) -> None:
    events = [{"name": "x", "data": each} for each in data]
    try:
        body = orjson.dumps(events)
    except TypeError:  # an integer beyond 64 bits
        return
    broken = body[:-1] + b", {oops]" if events else b"[{oops]"
    read = []
    reader = decode_events(broken)
    with pytest.raises(ValueError, match="beginning of object key string"):
        while True:
            read.append(next(reader))
    assert read == list(decode_events(body))
