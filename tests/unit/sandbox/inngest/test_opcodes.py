"""An app's answer is read by status and headers, whichever SDK wrote it."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from sandbox.inngest.opcodes import Answer, Failure, Operations, Output, read_answer

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SDK = {"x-inngest-sdk": "inngest-py:v0.5.19", "x-inngest-req-version": "2"}


@pytest.mark.parametrize(("body", "value"), [(b'{"a":1}', {"a": 1}), (b"null", None), (b"", None), (b"hi", "hi")])
def test_200_is_the_functions_output(body: bytes, value: object) -> None:
    reply = read_answer(Answer(200, body, SDK), NOW)
    assert reply.result == Output(value)
    assert reply.request_version == 2


def test_an_answer_without_the_sdk_header_is_a_failure_whatever_its_status() -> None:
    reply = read_answer(Answer(200, b"{}", {}), NOW)
    assert isinstance(reply.result, Failure)
    assert not reply.result.no_retry


def test_206_holds_one_opcode_or_a_list() -> None:
    one = {"op": "StepRun", "id": "h", "name": "n", "displayName": "shown", "data": 1}
    for body in (one, [one]):
        result = read_answer(Answer(206, orjson.dumps(body), SDK), NOW).result
        assert isinstance(result, Operations)
        assert [(each.op, each.id, each.display_name, each.data) for each in result.items] == [
            ("StepRun", "h", "shown", 1)
        ]


def test_206_with_something_else_is_a_failure_that_says_so() -> None:
    result = read_answer(Answer(206, b'["x"]', SDK), NOW).result
    assert isinstance(result, Failure)
    assert "expected an opcode" in result.reason


def test_201_wraps_another_answer_whose_body_may_be_a_string() -> None:
    for inner in ({"done": True}, orjson.dumps({"done": True}).decode()):
        body = orjson.dumps({"status": 200, "body": inner, "headers": {"X-Inngest-Req-Version": "1"}})
        reply = read_answer(Answer(201, body, SDK), NOW)
        assert reply.result == Output({"done": True})
        assert reply.request_version == 1


def test_whether_to_retry_is_told_by_headers_not_by_status() -> None:
    headers = {**SDK, "x-inngest-no-retry": "true", "retry-after": "30"}
    result = read_answer(Answer(500, b'{"name":"E","message":"m"}', headers), NOW).result
    assert result == Failure({"name": "E", "message": "m"}, "invalid status code: 500", True, 30.0)
    kinder = read_answer(Answer(400, b"{}", SDK), NOW).result
    assert isinstance(kinder, Failure)
    assert not kinder.no_retry
