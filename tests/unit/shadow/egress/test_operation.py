"""Which operation a call is, and what of it makes it that call."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from shadow.catalogue import MappingFailed
from shadow.catalogue.outside import Target
from shadow.egress.address import address
from shadow.egress.disposition import CallEffect
from shadow.egress.operation import MatchedOperation, Operations


def operations(*declared: dict[str, Any], **target: Any) -> Operations:
    return Operations.of("pay", Target.model_validate({"url": "https://pay.example", "operations": declared, **target}))


def match(found: Operations, call: str, **headers: str) -> MatchedOperation | None:
    method, _, path = call.partition(" ")
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return found.match(method, address(path.encode()), fields)


def shown(found: MatchedOperation | None) -> tuple[str, str, dict[str, str]] | None:
    return None if found is None else (found.template, found.effect.value, dict(found.params))


DECLARED = operations(
    {"match": "GET /v1/transfers/search"},
    {"match": "GET /v1/transfers/{id}"},
    {"match": "POST /v1/transfers/{id}/reversals/{reversal}"},
    {"match": "* /graphql", "effect": "read"},
    {"match": "GET /files/{+path}"},
    {"match": "GET /orders/{id}.json"},
    {"match": "GET /fire", "effect": "write"},
)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("GET /v1/transfers/search", ("GET /v1/transfers/search", "read", {})),
        ("GET /v1/transfers/tr_1", ("GET /v1/transfers/{id}", "read", {"id": "tr_1"})),
        ("GET /v1//transfers/tr%5F1/", ("GET /v1/transfers/{id}", "read", {"id": "tr_1"})),
        (
            "POST /v1/transfers/tr_1/reversals/9",
            ("POST /v1/transfers/{id}/reversals/{reversal}", "write", {"id": "tr_1", "reversal": "9"}),
        ),
        ("POST /graphql", ("POST /graphql", "read", {})),
        ("GET /files/a/b%2Fc.txt", ("GET /files/{+path}", "read", {"path": "a/b/c.txt"})),
        ("GET /orders/12.json", ("GET /orders/{id}.json", "read", {"id": "12"})),
        ("GET /fire", ("GET /fire", "write", {})),
        ("GET /%66ire", ("GET /fire", "write", {})),
        # undeclared: by method and path, with what looks generated left out
        ("PUT /v1/transfers/tr_1", ("PUT /v1/transfers/tr_1", "write", {})),
        ("DELETE /carts/12345/lines/7", ("DELETE /carts/{id}/lines/{id2}", "write", {"id": "12345", "id2": "7"})),
        (
            "HEAD /blobs/7b9c1f36-51a5-4c0d-8a52-0e7f6d1f1f1f",
            ("HEAD /blobs/{id}", "read", {"id": "7b9c1f36-51a5-4c0d-8a52-0e7f6d1f1f1f"}),
        ),
        ("OPTIONS /x", ("OPTIONS /x", "read", {})),
    ],
)
def test_a_call_is_the_first_operation_that_fits(call: str, expected: tuple[str, str, dict[str, str]]) -> None:
    assert shown(match(DECLARED, call)) == expected


def test_a_path_may_be_cut_in_several_ways_and_is_cut_as_the_first_takes_most() -> None:
    found = operations({"match": "GET /{+a}/x/{+b}/{c}-{d}"})
    assert shown(match(found, "GET /1/x/2/x/3%20%C3%A9/4-5-6")) == (
        "GET /{+a}/x/{+b}/{c}-{d}",
        "read",
        {"a": "1/x/2", "b": "3 é", "c": "4-5", "d": "6"},
    )
    assert match(operations({"match": "GET /{a}.{b}~{c}"}, undeclared="refuse"), "GET /a.b") is None


@pytest.mark.parametrize("template", ["/{+a}/x/{+b}/x/{+c}/x/{+d}/y", "/{a}x{b}x{c}x{d}y", "/{+a}/x/{b}/y"])
def test_no_path_that_a_worker_sends_takes_long_to_be_known(template: str) -> None:
    found = operations({"match": f"GET {template}"}, undeclared="refuse")
    began = time.process_time()
    assert match(found, "GET " + "/x" * 8_000) is None
    assert match(found, "GET /" + "x" * 16_000) is None
    assert time.process_time() - began < 1.0


def test_an_undeclared_call_is_none_where_that_is_refused() -> None:
    found = operations({"match": "GET /a"}, undeclared="refuse")
    assert match(found, "GET /b") is None
    assert match(found, "POST /a") is None
    assert shown(match(found, "GET /a")) == ("GET /a", "read", {})


@pytest.mark.parametrize("header", ["x_http_method_override", "x_http_method", "x_method_override"])
def test_a_read_that_asks_to_be_something_else_writes(header: str) -> None:
    found = match(DECLARED, "GET /v1/transfers/tr_1", **{header: "DELETE"})
    assert found is not None
    assert found.effect is CallEffect.WRITE
    reading = operations({"match": "POST /graphql", "effect": "read"})
    assert shown(match(reading, "POST /graphql")) == ("POST /graphql", "read", {})
    assert shown(match(reading, "POST /graphql", **{header: "DELETE"})) == ("POST /graphql", "write", {})


def identity(declared: dict[str, Any], call: str, **document: Any) -> str | None:
    found = match(operations(declared), call)
    assert found is not None
    return found.identity({"params": dict(found.params), "query": {}, "body": None, **document})


def test_identity_is_what_is_declared_else_the_paths_parameters_else_nothing() -> None:
    transfer = {"match": "POST /t", "identity": ["$.body.requestId", "$.query.part"]}
    assert identity(transfer, "POST /t", body={"requestId": "wd_1"}, query={"part": "2"}) == "wd_1 / 2"
    assert identity(transfer, "POST /t", body={"requestId": 12}) == "12"
    assert identity(transfer, "POST /t", body={}) is None
    assert identity(transfer, "POST /t", body="text") is None
    assert identity({"match": "GET /a/{x}/b/{y}"}, "GET /a/1/b/2") == "1 / 2"
    assert identity({"match": "GET /a/{x}", "identity": ["$.query.q"]}, "GET /a/1") == "1"
    assert identity({"match": "GET /a"}, "GET /a") is None


def test_the_providers_idempotency_key_is_found_where_it_is_declared() -> None:
    call: dict[str, Any] = {"body": {"key": "b1"}}
    by_default = match(operations({"match": "POST /a"}), "POST /a")
    by_header = match(operations({"match": "POST /a", "idempotency_key": "X-Request-Key"}), "POST /a")
    by_path = match(operations({"match": "POST /a", "idempotency_key": "$.body.key"}), "POST /a")
    assert by_default is not None
    assert by_header is not None
    assert by_path is not None
    headers = {"idempotency-key": "h1", "x-request-key": "h2"}
    assert [found.idempotency_key(headers, call) for found in (by_default, by_header, by_path)] == ["h1", "h2", "b1"]
    assert by_default.idempotency_key({}, call) is None
    assert by_path.idempotency_key(headers, {"body": None}) is None


def test_a_stub_says_back_what_was_asked_for() -> None:
    body = {"id": "tr_stub", "amount": "$.body.amount", "of": "$.params.id"}
    found = match(operations({"match": "POST /t/{id}", "stub": {"status": 201, "body": body}}), "POST /t/9")
    assert found is not None
    assert found.stub is not None
    assert (found.stub.status, found.stub.headers) == (201, (("content-type", "application/json"),))
    document = {"params": {"id": "9"}, "query": {}, "body": {"amount": 100}}
    assert orjson.loads(found.stub.answer(document)) == {"id": "tr_stub", "amount": 100, "of": "9"}
    with pytest.raises(MappingFailed):
        found.stub.answer({"params": {"id": "9"}, "query": {}, "body": {}})


def test_an_operation_without_a_stub_has_the_targets() -> None:
    found = operations({"match": "POST /a", "stub": {"status": 202}}, {"match": "POST /b"}, stub={"status": 200})
    assert [
        (operation.stub and operation.stub.status)
        for call in ("POST /a", "POST /b", "POST /undeclared")
        if (operation := match(found, call)) is not None
    ] == [202, 200, 200]


def test_a_stub_of_text_is_text() -> None:
    stub = {"headers": {"content-type": "text/plain"}, "body": "ok"}
    found = match(operations({"match": "POST /a", "stub": stub}), "POST /a")
    assert found is not None
    assert found.stub is not None
    assert found.stub.answer({}) == b"ok"
