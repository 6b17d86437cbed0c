"""Requests that came whole are taken without a task: the doors do for them what they do for all others."""

from __future__ import annotations

import gc
from typing import Any

import httpx
import orjson
import pytest
import structlog

from api.front.application import FrontApp
from api.front.opening import Opening
from shadow.observe import metrics
from tests.unit.api.front.listener import Listener
from tests.unit.api.front.test_inngest import PAYOUT
from tests.unit.api.front.test_webhook import github, shopify

EVENT = {"content": orjson.dumps(PAYOUT), "headers": {}}


class Offered:
    """What became of a request that the application was offered."""

    def __init__(self, app: FrontApp | Opening, path: str, request: dict[str, Any], method: str = "POST") -> None:
        self.replies: list[tuple[int, bytes, dict[bytes, bytes]]] = []
        headers = [(name.encode(), value.encode()) for name, value in request["headers"].items()]
        scope = {"type": "http", "method": method, "path": path, "headers": headers}
        self.is_taken = app.direct(scope, request["content"], self._reply)

    def _reply(self, status: int, body: bytes, headers: Any) -> None:
        self.replies.append((status, body, dict(headers)))


@pytest.mark.parametrize(
    ("path", "request_"),
    [
        ("/webhooks/shopify", shopify()),
        ("/webhooks/shopify", shopify(topic="nobody/knows")),
        ("/webhooks/shopify", {**shopify(), "content": b"{}"}),
        ("/webhooks/shopify", shopify(b"{bad")),
        ("/webhooks/shopify", shopify(b"{bad", **{"content-encoding": "gzip"})),
        ("/webhooks/shopify", shopify(b" " * (3 * 1024 * 1024 + 1))),
        ("/e/producer-key", EVENT),
        ("/e/producer-key", {"content": b"[]", "headers": {}}),
        ("/e/producer-key", {"content": orjson.dumps([PAYOUT, PAYOUT]), "headers": {}}),
        ("/e/producer-key", {"content": b"[{}]", "headers": {}}),
        ("/e/producer-key", {"content": b"\x1f\x8b", "headers": {"content-encoding": "gzip"}}),
        ("/e/producer-key", {"content": b" " * (3 * 1024 * 1024 + 1), "headers": {}}),
    ],
)
@pytest.mark.parametrize("how", ["", "failing", "breaking"])
async def test_the_answer_is_the_same_as_by_a_task(path: str, request_: dict[str, Any], how: str) -> None:
    directly, usually = Listener(), Listener()
    if how:
        setattr(directly.intake, how, True)
        setattr(usually.intake, how, True)
    offered = Offered(directly.app, path, request_)
    answer = await usually.client.post(path, **request_)
    assert offered.is_taken
    ((status, body, headers),) = offered.replies
    assert status == answer.status_code
    told = {name: value for name, value in answer.headers.raw if name != b"content-length"}
    assert headers == told
    assert _without_ids(body) == _without_ids(answer.content)
    assert [arrival.name for arrival in directly.accepted] == [arrival.name for arrival in usually.accepted]


@pytest.mark.parametrize(("path", "request_"), [("/webhooks/shopify", shopify()), ("/e/producer-key", EVENT)])
@pytest.mark.parametrize("how", ["", "failing", "breaking"])
async def test_nothing_of_a_request_is_left_to_the_garbage_collector(
    path: str, request_: dict[str, Any], how: str
) -> None:
    front = Listener()
    if how:
        setattr(front.intake, how, True)
    Offered(front.app, path, request_)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            with structlog.testing.capture_logs():  # to show an error leaves some itself
                Offered(front.app, path, request_)
        assert gc.collect() < 20
    finally:
        gc.enable()


def _without_ids(body: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads(body)
    return {**answer, "id": None, "ids": [bool(identifier) for identifier in answer.get("ids", [])]}


@pytest.mark.parametrize(
    ("path", "request_", "method"),
    [
        ("/webhooks/nobody", shopify(), "POST"),  # no such source
        ("/webhooks/shopify", shopify(), "PUT"),
        ("/webhooks/forwarding", github(b"{}"), "POST"),  # passed on, which takes a while
        ("/e/nobodys-key", EVENT, "POST"),
        ("/e/producer-key", EVENT, "OPTIONS"),
        ("/e/legacy-key", EVENT, "POST"),  # a worker's, whose run is looked for
        ("/e/producer-key", {**EVENT, "headers": {"x-shadow-run": "r"}}, "POST"),
        ("/e/producer-key", {**EVENT, "headers": {"x-shadow-event": "e"}}, "POST"),
        ("/api/v1/tasks/welcome/trigger", EVENT, "POST"),
        ("/healthz", EVENT, "POST"),
    ],
)
async def test_what_needs_more_is_left_to_a_task_and_nothing_is_done(
    path: str, request_: dict[str, Any], method: str
) -> None:
    front = Listener()
    offered = Offered(front.app, path, request_, method)
    assert not offered.is_taken
    assert (offered.replies, front.accepted) == ([], [])


async def test_it_counts_in_the_doors_figures() -> None:
    def counted() -> tuple[float, float]:
        text = metrics.exposition("text/plain")[0].decode()
        refused = 'shadow_requests_refused_total{door="webhook",status="401"} '
        taken = 'shadow_accept_seconds_count{door="webhook"} '
        return tuple(  # type: ignore[return-value]  # two of them
            next((float(line[len(name) :]) for line in text.splitlines() if line.startswith(name)), 0.0)
            for name in (taken, refused)
        )

    before = counted()
    front = Listener()
    Offered(front.app, "/webhooks/shopify", shopify())
    Offered(front.app, "/webhooks/shopify", {**shopify(), "content": b"{}"})
    after = counted()
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)


async def test_what_goes_by_a_task_is_answered_by_the_same_code() -> None:
    front = Listener()
    answer: httpx.Response = await front.client.post("/webhooks/shopify", **shopify())
    again = Offered(front.app, "/webhooks/shopify", shopify())
    assert orjson.loads(again.replies[0][1]) == {"id": answer.json()["id"], "duplicate": True}


async def test_doors_that_are_not_open_take_nothing_directly() -> None:
    front, opening = Listener(), Opening()
    assert not Offered(opening, "/webhooks/shopify", shopify()).is_taken
    opening.whole(front.app)
    assert Offered(opening, "/webhooks/shopify", shopify()).is_taken
    opening.shut("for a moment")
    assert not Offered(opening, "/webhooks/shopify", shopify()).is_taken
    assert len(front.accepted) == 1
