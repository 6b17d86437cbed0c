"""Every error of the control API is a problem detail that says what was wrong and what was expected."""

from __future__ import annotations

import gzip
from typing import Any

import httpx
import pytest

from api.control.app import MOST_BYTES
from shadow.reports import parity

NOBODYS = "018f3a1e-0000-7000-8000-000000000000"
"""The id of nothing."""


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem that an answer carries; fails when it is not one in every respect."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"]
    assert body["title"]
    assert body["detail"]
    return body


@pytest.mark.parametrize(
    "path",
    [
        "/v1/nothing",
        "/v1/tasks/nope",
        "/v1/tasks/nope/parity",
        f"/v1/pairs/{NOBODYS}",
        "/v1/signatures/s1-nope",
        "/v1/events/nope",
        f"/v1/events/{NOBODYS}",
    ],
)
async def test_what_does_not_exist_is_404(client: httpx.AsyncClient, path: str) -> None:
    problem(await client.get(path), 404)


async def test_a_method_that_is_not_served_is_405_and_says_which_are(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/v1/tasks")
    problem(answer, 405)
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize(
    ("path", "field", "found", "expected"),
    [
        ("/v1/pairs?limit=0", "query.limit", "0", "greater than or equal to 1"),
        ("/v1/pairs?limit=201", "query.limit", "201", "less than or equal to 200"),
        ("/v1/pairs?limit=many", "query.limit", "many", "integer"),
        ("/v1/pairs?verdict=good", "query.verdict", "good", "'match', 'allowed', 'mismatch'"),
        ("/v1/pairs?since=yesterday", "query.since", "yesterday", "datetime"),
        ("/v1/pairs?since=2026-05-01T00:00:00", "query.since", "2026-05-01T00:00:00", "timezone"),
        ("/v1/pairs?cursor=bogus", "query.cursor", "bogus", "`next_cursor`"),
        ("/v1/pairs?verdcit=match", "query.verdcit", "match", "one of task, verdict"),  # misspelt
        ("/v1/tasks?task=order-sync", "query.task", "order-sync", "no parameters"),
        ("/v1/pairs/7", "path.pair", "7", "UUID"),
        ("/v1/dead-letters?side=left", "query.side", "left", "'legacy'"),
        ("/v1/tasks/order-sync/parity?since=2026-13-01", "query.since", "2026-13-01", "month"),
        ("/v1/tasks/order-sync/parity?since=2026-05-02&until=2026-05-01", "query.until", "2026-05-01", "2026-05-02"),
    ],
)
async def test_a_wrong_parameter_is_named_with_what_was_found_and_expected(
    client: httpx.AsyncClient, path: str, field: str, found: str, expected: str
) -> None:
    body = problem(await client.get(path), 422)
    assert body["type"] == "/problems/invalid-request"
    (error,) = body["errors"]
    assert (error["field"], error["found"]) == (field, found)
    assert expected in error["expected"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/pairs?task=%00",
        "/v1/pairs?signature=%00",
        "/v1/pairs?tenant=a%00b",
        "/v1/signatures?task=%00",
        "/v1/signatures/%00",
        "/v1/events/%00",
        "/v1/dead-letters?task=%00",
        "/v1/moves?task=%00",
        "/v1/tasks/order-sync/parity?tenant=%00",
    ],
)
async def test_text_that_no_database_can_hold_is_wrong_and_no_fault_of_the_service(
    client: httpx.AsyncClient, path: str
) -> None:
    assert problem(await client.get(path), 422)["type"] == "/problems/invalid-request"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/pairs?since=1900-01-01T00:00:00Z",
        "/v1/pairs?until=1900-01-01T00:00:00Z",
        "/v1/pairs?since=0001-01-01T00:00:00%2B10:00&until=9999-12-31T23:59:59-10:00",
        "/v1/tasks/order-sync/parity?since=0001-01-01&until=9999-12-31",
    ],
)
async def test_any_moment_that_can_be_written_can_be_asked_for(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"phase": "shadow"}, "body.reason"),
        ({"phase": "shadow", "reason": ""}, "body.reason"),
        ({"phase": "moon", "reason": "why not"}, "body.phase"),
        ({"phase": "shadow", "reason": "x", "forse": True}, "body.forse"),
    ],
)
async def test_a_wrong_body_is_named_by_its_field(client: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    answer = problem(await client.post("/v1/phases/order-sync", json=body), 422)
    assert [error["field"] for error in answer["errors"]] == [field]


@pytest.mark.parametrize("content", [b"{", b"", b"[]"])
async def test_a_body_that_is_no_object_is_refused(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post("/v1/phases/order-sync", content=content, headers={"Content-Type": "application/json"})
    problem(answer, 422)


@pytest.mark.parametrize(
    ("task", "phase", "status", "says"),
    [
        ("nope", "shadow", 404, "nope"),
        ("order-sync", "ramp", 409, "a ramp needs a share"),  # what a move refuses
        ("order-sync", "legacy", 409, "already"),
    ],
)
async def test_a_move_that_may_not_be_made_says_why(
    client: httpx.AsyncClient, task: str, phase: str, status: int, says: str
) -> None:
    # Without a first move the task counts as never moved: the last case needs one.
    await client.post("/v1/phases/order-sync", json={"phase": "legacy", "reason": "start"})
    answer = await client.post(f"/v1/phases/{task}", json={"phase": phase, "reason": "try"})
    assert says in problem(answer, status)["detail"]


async def test_a_bug_is_a_500_that_tells_nothing_of_itself(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(parity, "tasks", broken)
    answer = await client.get("/v1/tasks")
    problem(answer, 500)
    assert "swordfish" not in answer.text


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"reason":"' + b"x" * MOST_BYTES + b'"}', {}, 413),
        (b'{"reason":' + b"[" * 500 + b"]" * 500 + b"}", {}, 400),
        (b"[" * 100_000, {}, 400),
        (gzip.compress(b'{"reason":"x"}', mtime=0), {"content-encoding": "gzip"}, 415),
    ],
)
async def test_bodies_have_limits(client: httpx.AsyncClient, body: bytes, headers: dict[str, str], status: int) -> None:
    sent = {"content-type": "application/json", **headers}
    problem(await client.post("/v1/allowances", content=body, headers=sent), status)
