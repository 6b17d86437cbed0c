"""How runs are started on Trigger.dev, and what its answers mean."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest

from shadow.platforms.adapter import (
    Cancellation,
    Delivered,
    Delivery,
    Failed,
    Misconfigured,
    Rejected,
    Result,
    Throttled,
    Unknown,
    derived_key,
)
from shadow.platforms.registry import adapters
from shadow.platforms.trigger_dev import TriggerDev
from tests.unit.shadow.platforms.platforms import NOW, Wire, catalogue, delivery, event


def adapter(wire: Wire) -> TriggerDev:
    found = adapters(catalogue(), wire.client)["trigger"]
    assert isinstance(found, TriggerDev)
    return found


def starts(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"id": "run_1", "isCached": False})


def called(**changes: Any) -> Delivery:
    """A producer's own call, known by its request."""
    values: dict[str, Any] = {
        "event": event(door="trigger.dev"),
        "request": b'{"payload":  "as it came"}',
        "headers": (("traceparent", "00-a-b-01"), ("idempotency-key", "theirs")),
        "idempotency_key": "theirs",
    }
    return delivery(**(values | changes))


async def test_a_run_is_started_with_the_mapped_payload_under_a_key() -> None:
    wire = Wire(starts)
    first = delivery(7)
    (result,) = await adapter(wire).deliver([first])
    assert result == Delivered("run_1")
    (request,) = wire.requests
    assert request.url.raw_path == b"/api/v1/tasks/sync%2Forder/trigger"
    assert request.headers["authorization"] == "Bearer tr_prod_secret"
    assert request.headers["idempotency-key"] == first.key
    assert request.headers["x-trigger-api-version"] == "2025-07-16"
    assert wire.body() == {"payload": {"order": 7}, "options": {"queue": {"name": "slow"}}}


async def test_beside_an_issued_run_legacys_has_the_producers_call_marked_and_without_its_key() -> None:
    wire = Wire(lambda request: starts(request) if request.method == "POST" else httpx.Response(200, json={"data": []}))
    options = {"idempotencyKey": "theirs", "idempotencyKeyOptions": {"key": "readable"}, "delay": "1h", "tags": ["t"]}
    issued = called(
        event=event(door="trigger.dev", authority="candidate", scheduled_at=NOW + timedelta(days=5)),
        request=orjson.dumps({"payload": "as it came", "options": options}),
        idempotency_key=None,
    )
    await adapter(wire).deliver([issued])
    assert wire.body() == {
        "payload": "as it came",
        "options": {"tags": ["t", "shadow:contained"], "delay": "2026-11-29T01:00:00+00:00"},
    }
    assert wire.requests[-1].headers["idempotency-key"] == derived_key(issued.event, "sync")


@pytest.mark.parametrize("authority", [None, "candidate"])
async def test_a_run_without_authority_is_tagged_so_that_one_made_from_it_has_none(authority: str | None) -> None:
    wire = Wire(starts)
    await adapter(wire).deliver([delivery(event=event(authority=authority))])
    assert wire.body()["options"] == {"queue": {"name": "slow"}, "tags": ["shadow:contained"]}


async def test_a_delayed_event_is_delayed_by_the_platform() -> None:
    wire = Wire(starts)
    await adapter(wire).deliver([delivery(event=event(scheduled_at=NOW + timedelta(days=5)))])
    assert wire.body()["options"]["delay"] == "2026-11-29T01:00:00+00:00"


def test_the_key_is_the_producers_or_derived_from_the_stored_event() -> None:
    first = event()
    assert derived_key(first, "sync") == derived_key(event(id=first.id), "sync")
    assert len(derived_key(first, "sync")) == 64
    # its producer called it the same, after the day for which Inngest remembers that
    again = event(external_id=first.external_id, delivery_id=first.delivery_id)
    other = event(id=first.id, source="other")
    keys = {derived_key(one, "sync") for one in (first, again, other)} | {derived_key(first, "other")}
    assert len(keys) == 4
    assert delivery(idempotency_key="theirs").key == "theirs"


async def test_an_event_that_cannot_be_mapped_is_refused_without_a_call() -> None:
    wire = Wire(starts)
    (result,) = await adapter(wire).deliver([delivery(data=b'{"no": "id"}')])
    assert isinstance(result, Rejected)
    assert wire.requests == []


async def test_a_producers_call_goes_again_byte_for_byte_under_its_key() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": []}) if request.method == "GET" else starts(request)

    wire = Wire(answer)
    (result,) = await adapter(wire).deliver([called()])
    assert result == Delivered("run_1")
    request = wire.requests[-1]
    assert request.content == b'{"payload":  "as it came"}'
    assert request.headers.get_list("idempotency-key") == ["theirs"]
    assert request.headers["traceparent"] == "00-a-b-01"
    assert request.headers["authorization"] == "Bearer tr_prod_secret"


@pytest.mark.parametrize(
    ("shown", "origin", "found"),
    [
        ("theirs", "producer", True),  # the wire's form
        ("readable", "producer", True),  # what the SDK's user called it
        ("readable", "legacy", False),  # inside a task that name may stand for many runs
        ("another", "producer", False),
    ],
)
async def test_a_repeated_delivery_is_looked_for_before_it_is_sent(shown: str, origin: str, found: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"data": [{"id": "run_old", "idempotencyKey": shown}]})
        return starts(request)

    wire = Wire(answer)
    request = orjson.dumps({"options": {"idempotencyKeyOptions": {"key": "readable", "scope": "global"}}})
    again = called(event=event(door="trigger.dev", origin=origin), request=request)
    (result,) = await adapter(wire).deliver([again])
    assert result == (Delivered("run_old", cached=True) if found else Delivered("run_1"))
    listed = wire.requests[0].url.params
    assert listed["filter[taskIdentifier]"] == "sync/order"
    assert int(listed["filter[createdAt][from]"]) < NOW.timestamp() * 1000


def broken(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("reset")


@pytest.mark.parametrize(
    ("listed", "result"),
    [
        (httpx.Response(500, json={"error": "Something went wrong"}), Failed),
        (httpx.Response(400, json={"error": "Query Error"}), Failed),  # what is wrong is the question
        (httpx.Response(200, json={"data": None}), Failed),
        (httpx.Response(401, json={"error": "Invalid API key"}), Misconfigured),
        (httpx.Response(429, headers={"retry-after": "3"}), Throttled),
        (None, Failed),  # no answer at all
    ],
)
async def test_what_cannot_be_looked_for_is_not_started_again(
    listed: httpx.Response | None, result: type[Result]
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return starts(request)
        return broken(request) if listed is None else listed

    wire = Wire(answer)
    (given,) = await adapter(wire).deliver([delivery(attempt=2)])
    assert isinstance(given, result)
    assert [request.method for request in wire.requests] == ["GET"]


async def test_deliveries_that_wait_together_go_as_one_batch_and_are_told_apart_by_their_keys() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        items = orjson.loads(request.content)["items"]
        runs = [
            {
                "id": f"run_{item['payload']['order']}",
                "isCached": False,
                "idempotencyKey": item["options"]["idempotencyKey"],
            }
            for item in reversed(items)
        ]
        return httpx.Response(202, json={"id": "batch_1", "runs": runs})

    wire = Wire(answer)
    deliveries = [delivery(position) for position in range(3)]
    (group,) = adapter(wire).groups(deliveries)
    assert await adapter(wire).deliver(group) == [Delivered("run_0"), Delivered("run_1"), Delivered("run_2")]
    assert wire.requests[0].url.path == "/api/v1/tasks/batch"
    assert len(wire.requests) == 1


async def test_what_a_batch_does_not_name_is_delivered_alone() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/batch"):
            key = orjson.loads(request.content)["items"][0]["options"]["idempotencyKey"]
            return httpx.Response(202, json={"id": "b", "runs": [{"id": "run_0", "idempotencyKey": key}]})
        return starts(request)

    results = await adapter(Wire(answer)).deliver([delivery(0), delivery(1)])
    assert results == [Delivered("run_0"), Delivered("run_1")]


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_batch_that_is_refused_is_delivered_one_by_one(status: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/batch"):
            return httpx.Response(status, json={"error": "no"})
        if orjson.loads(request.content)["payload"]["order"] == 1:
            return httpx.Response(422, json={"error": "bad tags"})
        return starts(request)

    results = await adapter(Wire(answer)).deliver([delivery(0), delivery(1)])
    assert results == [Delivered("run_1"), Rejected("HTTP 422: bad tags", 422)]


def test_repeated_deliveries_and_producers_calls_go_alone() -> None:
    groups = adapter(Wire(starts)).groups([delivery(0), delivery(1, attempt=2), called(), delivery(2)])
    assert sorted(len(group) for group in groups) == [1, 1, 2]


def test_a_batch_keeps_below_what_the_platform_takes() -> None:
    big = [delivery(position, data=orjson.dumps({"id": "x" * 300_000})) for position in range(5)]
    assert [len(group) for group in adapter(Wire(starts)).groups(big)] == [2, 2, 1]
    many = [delivery(position) for position in range(120)]
    assert [len(group) for group in adapter(Wire(starts)).groups(many)] == [50, 50, 20]


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (400, {"error": "Invalid JSON"}, Rejected("HTTP 400: Invalid JSON", 400)),
        (413, {"error": "Request body too large"}, Rejected),
        (422, {"error": "tags"}, Rejected),
        (401, {"error": "Invalid API key"}, Misconfigured("HTTP 401: Invalid API key", 401)),
        (404, {"error": "Not Found"}, Misconfigured),
        (500, {"error": "Something went wrong"}, Failed),
        (503, {}, Failed),
        (409, {}, Failed),
        (302, {}, Failed),
        (200, {"nothing": 1}, Failed),
    ],
)
async def test_what_an_answer_means(status: int, body: Any, result: Result | type[Result]) -> None:
    wire = Wire(lambda request: httpx.Response(status, json=body))
    (given,) = await adapter(wire).deliver([delivery()])
    if isinstance(result, type):
        assert isinstance(given, result)
    else:
        assert given == result


async def test_a_rate_limit_is_read_from_the_reset_in_milliseconds() -> None:
    headers = {
        "x-ratelimit-limit": "750",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(int((time.time() + 9) * 1000)),
    }
    wire = Wire(lambda request: httpx.Response(429, json={"title": "Rate Limit Exceeded"}, headers=headers))
    (given,) = await adapter(wire).deliver([delivery()])
    assert isinstance(given, Throttled)
    assert timedelta(seconds=7) < given.retry_after <= timedelta(seconds=9)


@pytest.mark.parametrize(("remaining", "rests"), [("0", True), ("1", False)])
async def test_the_last_request_of_a_quota_says_when_the_next_may_come(remaining: str, rests: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        headers = {
            "x-ratelimit-limit": "750",
            "x-ratelimit-remaining": remaining,
            "x-ratelimit-reset": str(int((time.time() + 9) * 1000)),
        }
        if request.url.path.endswith("/batch"):
            items = orjson.loads(request.content)["items"]
            runs = [{"id": "run_1", "idempotencyKey": item["options"]["idempotencyKey"]} for item in items]
            return httpx.Response(202, json={"id": "b", "runs": runs}, headers=headers)
        return httpx.Response(200, json={"id": "run_1"}, headers=headers)

    subject = adapter(Wire(answer))
    cancelled = await subject.cancel(Cancellation(event(), catalogue().tasks["sync"], "run_1"))
    results = [*await subject.deliver([delivery()]), *await subject.deliver([delivery(1), delivery(2)]), cancelled]
    for given in results:
        assert isinstance(given, Delivered)
        assert (given.rest is not None) is rests
        assert given.rest is None or timedelta(seconds=7) < given.rest <= timedelta(seconds=9)


@pytest.mark.parametrize(
    ("run", "status", "result"),
    [
        ("run_1", 200, Delivered("run_1")),
        ("run_1", 404, Unknown()),
        (None, 200, Unknown()),  # nobody has told which run it is
    ],
)
async def test_a_run_is_cancelled_by_its_id(run: str | None, status: int, result: Result) -> None:
    wire = Wire(lambda request: httpx.Response(status, json={"id": run}))
    cancellation = Cancellation(event(), catalogue().tasks["sync"], run)
    assert await adapter(wire).cancel(cancellation) == result
    assert [request.url.path for request in wire.requests] == ["/api/v2/runs/run_1/cancel"] * (run is not None)
