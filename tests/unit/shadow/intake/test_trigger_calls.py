"""Trigger calls and batches, as the SDKs of every generation send them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.intake.trigger_calls import (
    DEFAULT_KEY_LIFETIME,
    CallRefused,
    announced_batch,
    batch_calls,
    derived_key,
    kept_headers,
    key_lifetime,
    keyed_batch,
    keyed_line,
    streamed_calls,
    trigger_call,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def call(options: Any = None, payload: Any = None, headers: dict[str, str] | None = None) -> Any:
    body = {"payload": payload, **({"options": options} if options is not None else {})}
    return trigger_call("hello", orjson.dumps(body), headers or {})


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        # the transcripts' words
        (b"", 400, "Request body is empty"),
        (b'{"payload":', 400, "Invalid JSON"),
        (b"[1]", 400, "Validation error: Expected object, received array"),
        (b"null", 400, "Validation error: Expected object, received null"),
        (b'"x"', 400, "Validation error: Expected object, received string"),
        (b"true", 400, "Validation error: Expected object, received boolean"),
        (b"1.5", 400, "Validation error: Expected object, received number"),
    ],
)
def test_what_is_no_call_is_refused_in_the_platforms_words(body: bytes, status: int, error: str) -> None:
    with pytest.raises(CallRefused, match=re.escape(error)) as refusal:
        trigger_call("hello", body, {})
    assert refusal.value.status == status


def test_the_body_is_kept_byte_for_byte() -> None:
    body = b'{ "payload": {"n": 1.10} ,"options":{} }'
    assert trigger_call("hello", body, {}).body == body


def test_the_sdks_payload_is_decoded() -> None:
    options = {"payloadType": "application/super+json", "payloadSize": 23}
    assert call(options, '{"json":{"name":"sdk"}}').payload() == {"name": "sdk"}


@pytest.mark.parametrize(
    ("options", "headers", "key"),
    [
        ({}, {}, None),
        ({"idempotencyKey": "body"}, {}, "body"),
        ({}, {"idempotency-key": "header"}, "header"),
        ({"idempotencyKey": "body"}, {"idempotency-key": "header"}, "header"),  # the header wins
        ({"idempotencyKey": ""}, {}, None),  # empty is none
        ({"idempotencyKey": 7}, {}, None),  # the platform refuses this itself
        ("nonsense", {}, None),
    ],
)
def test_the_producers_key_is_found(options: Any, headers: dict[str, str], key: str | None) -> None:
    assert call(options, headers=headers).producer_key == key


@pytest.mark.parametrize(
    ("options", "headers", "error"),
    [
        ({"idempotencyKey": "a\x00b"}, {}, 'Expected text without NUL at "options.idempotencyKey"'),
        ({}, {"idempotency-key": "a\x00b"}, "idempotency-key holds a NUL"),
    ],
)
def test_a_key_that_cannot_be_kept_is_refused(options: Any, headers: dict[str, str], error: str) -> None:
    with pytest.raises(CallRefused, match=error) as refusal:
        call(options, headers=headers)
    assert refusal.value.status == 400


def test_an_item_whose_key_cannot_be_kept_refuses_its_batch() -> None:
    item = {"index": 0, "task": "a", "options": {"idempotencyKey": "a\x00b"}}
    with pytest.raises(CallRefused, match=r'at "items\[0\]\.options\.idempotencyKey"') as refusal:
        batch_calls(orjson.dumps({"items": [item]}))
    assert refusal.value.status == 400
    with pytest.raises(CallRefused, match=r'at "options\.idempotencyKey"') as refusal:
        streamed_calls(orjson.dumps(item))
    assert refusal.value.status == 422


@pytest.mark.parametrize(
    ("text", "lifetime"),
    [
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("1h", timedelta(hours=1)),
        ("7d", timedelta(days=7)),
        ("99999999d", timedelta(days=3650)),  # no calendar reaches that far
        ("1w", DEFAULT_KEY_LIFETIME),  # no weeks
        ("1h30m", DEFAULT_KEY_LIFETIME),  # nothing compound
        ("banana", DEFAULT_KEY_LIFETIME),
        (None, DEFAULT_KEY_LIFETIME),
        (60, DEFAULT_KEY_LIFETIME),
    ],
)
def test_a_keys_lifetime(text: Any, lifetime: timedelta) -> None:
    assert key_lifetime(text) == lifetime


def test_a_lifetime_in_the_header_wins() -> None:
    found = call({"idempotencyKeyTTL": "1h"}, headers={"idempotency-key": "k", "idempotency-key-ttl": "5m"})
    assert found.key_lifetime == timedelta(minutes=5)


@pytest.mark.parametrize(
    ("delay", "start"),
    [
        ("90s", NOW + timedelta(seconds=90)),
        ("1h30m", NOW + timedelta(hours=1, minutes=30)),
        ("2hr", NOW + timedelta(hours=2)),
        ("1w2d", NOW + timedelta(days=9)),
        ("2026-03-04T06:00:00.000Z", datetime(2026, 3, 4, 6, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(2100, 1, 1, tzinfo=UTC)),  # a deadline after it would leave the calendar
        ("9999-12-31T23:59:59-10:00", datetime(2100, 1, 1, tzinfo=UTC)),
        ("999999999w", datetime(2100, 1, 1, tzinfo=UTC)),
        ("2020-01-01T00:00:00Z", None),  # in the past: now
        ("banana", None),  # no delay, and no error
        ("h", None),
        (7, None),
        (None, None),
    ],
)
def test_a_delayed_start(delay: Any, start: datetime | None) -> None:
    assert call({"delay": delay}).scheduled_at(NOW) == start


@given(st.text(max_size=12))
def test_no_delay_text_breaks_anything(delay: str) -> None:
    start = call({"delay": delay.encode(errors="ignore").decode()}).scheduled_at(NOW)
    assert start is None or start > NOW


def test_v1_and_v2_batches_name_a_task_in_each_item() -> None:
    body = orjson.dumps({"items": [{"task": "a", "payload": 1}, {"task": "b", "options": {"idempotencyKey": "k"}}]})
    _document, calls = batch_calls(body)
    assert [(item.task, item.index, item.producer_key) for item in calls] == [("a", 0, None), ("b", 1, "k")]
    assert orjson.loads(calls[0].body) == {"payload": 1}


def test_the_oldest_batches_name_it_in_the_path() -> None:
    _document, calls = batch_calls(b'{"items":[{"payload":{"n":1}}]}', "hello")
    assert calls[0].task == "hello"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{}", 'Validation error: Required at "items"'),
        (b'{"items":{}}', 'Validation error: Expected array, received object at "items"'),
        (b'{"items":[1]}', 'Validation error: Expected object, received number at "items[0]"'),
        (b'{"items":[{}]}', 'Validation error: Required at "items[0].task"'),
        (b'{"items":[{"task":1}]}', 'Validation error: Expected string, received number at "items[0].task"'),
    ],
)
def test_what_is_no_batch_is_refused(body: bytes, error: str) -> None:
    with pytest.raises(CallRefused, match=f"^{re.escape(error)}$"):
        batch_calls(body)


def test_a_batch_gets_keys_only_where_they_are_given() -> None:
    body = {"items": [{"task": "a", "payload": 1}, {"task": "b", "options": {"tags": "x", "idempotencyKey": "k"}}]}
    document, _calls = batch_calls(orjson.dumps({**body, "parentRunId": "run_1"}))
    assert orjson.loads(keyed_batch(document, ["ours", None])) == {
        "items": [{"task": "a", "payload": 1, "options": {"idempotencyKey": "ours"}}, body["items"][1]],
        "parentRunId": "run_1",
    }


def test_a_part_of_a_batch_has_the_items_at_those_places() -> None:
    document, _calls = batch_calls(orjson.dumps({"items": [{"task": "a"}, {"task": "b"}, {"task": "c"}]}))
    items = orjson.loads(keyed_batch(document, [None, None, "ours"], [0, 2]))["items"]
    assert items == [{"task": "a"}, {"task": "c", "options": {"idempotencyKey": "ours"}}]
    assert orjson.loads(keyed_line(b'{"index":2,"task":"c"}', None, 1)) == {"index": 1, "task": "c"}


def test_an_announcement_says_who_asks_and_for_what() -> None:
    body = {"runCount": 2, "taskIdentifiers": ["a"], "parentRunId": "run_1", "idempotencyKey": "k"}
    batch = announced_batch(orjson.dumps(body))
    assert batch is not None
    assert (batch.run_count, batch.tasks, batch.parent, batch.key, batch.is_awaited) == (2, ("a",), "run_1", "k", False)
    least = announced_batch(b'{"runCount":1,"resumeParentOnCompletion":true}')
    assert least is not None
    assert (least.tasks, least.parent, least.key, least.is_awaited) == (None, None, None, True)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"runCount":0}', b'{"runCount":true}', b'{"runCount":1001}']
)
def test_what_announces_nothing_is_left_to_the_platform(body: bytes) -> None:
    assert announced_batch(body) is None


@pytest.mark.parametrize(
    ("options", "parent", "awaits"),
    [
        ({"parentRunId": "run_1"}, "run_1", False),
        ({"parentRunId": "run_1", "resumeParentOnCompletion": True}, "run_1", True),
        ({"dependentAttempt": "attempt_1"}, None, True),  # SDK 3
        ({"parentAttempt": "attempt_1"}, None, False),
    ],
)
def test_a_call_says_whose_it_is_and_whether_that_waits(
    options: dict[str, Any], parent: str | None, awaits: bool
) -> None:
    call = trigger_call("hello", orjson.dumps({"options": options}), {})
    assert (call.parent, call.is_awaited) == (parent, awaits)
    _document, (item,) = batch_calls(orjson.dumps({"items": [{"task": "hello"}], **options}))
    assert (item.parent, item.is_awaited) == (parent, awaits)


def test_the_wire_of_a_streamed_batch_is_read_line_by_line() -> None:
    lines = (
        b'{"index":0,"task":"hello","payload":"{\\"json\\":{\\"name\\":\\"b1\\"}}",'
        b'"options":{"payloadType":"application/super+json","payloadSize":22}}\n'
        b'{"index":1,"task":"hello","payload":"two","options":{"payloadType":"text/plain"}}\n'
    )
    calls = [item for _line, item in streamed_calls(lines)]
    assert [(item.index, item.payload()) for item in calls] == [(0, {"name": "b1"}), (1, "two")]


@pytest.mark.parametrize(
    ("line", "status", "error"),
    [
        (b'{"index":', 400, "Invalid JSON at line 1"),
        (b"[]", 422, "Invalid item at index 0: Expected object, received array"),
        (b'{"task":"a"}', 422, 'Invalid item at index 0: Expected a number from 0 at "index"'),
        (b'{"index":-1,"task":"a"}', 422, "Invalid item"),
        (b'{"index":true,"task":"a"}', 422, "Invalid item"),
        (b'{"index":0}', 422, 'Invalid item at index 0: Required at "task"'),
    ],
)
def test_a_bad_line_refuses_the_stream(line: bytes, status: int, error: str) -> None:
    with pytest.raises(CallRefused, match=re.escape(error)) as refusal:
        streamed_calls(line + b"\n")
    assert refusal.value.status == status


def test_blank_lines_do_not_count() -> None:
    assert [item.index for _line, item in streamed_calls(b'\n{"index":0,"task":"a"}\n\n{"index":1,"task":"a"}')] == [
        0,
        1,
    ]


def test_a_line_gets_its_key() -> None:
    assert orjson.loads(keyed_line(b'{"index":0,"task":"a","options":{"tags":"t"}}', "k")) == {
        "index": 0,
        "task": "a",
        "options": {"tags": "t", "idempotencyKey": "k"},
    }


def test_derived_keys_look_like_the_sdks_own_and_differ_by_every_part() -> None:
    keys = {derived_key("a", "b"), derived_key("ab"), derived_key("b", "a")}
    assert len(keys) == 3
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)


def test_no_credential_is_kept() -> None:
    headers = [
        ("authorization", "Bearer tr_x"),
        ("cookie", "c"),
        ("trigger-version", "4.5.12"),
        ("traceparent", "00-1"),
    ]
    assert kept_headers(headers) == (("trigger-version", "4.5.12"), ("traceparent", "00-1"))
