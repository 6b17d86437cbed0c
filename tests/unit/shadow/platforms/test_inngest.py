"""How events go to Inngest, and what its answers mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadow.model.ids import Seed
from shadow.platforms.adapter import Delivered, Failed, Misconfigured, Rejected, Result, Throttled
from shadow.platforms.inngest import InngestEvents
from shadow.platforms.registry import adapters
from tests.unit.shadow.platforms.platforms import NOW, SEED, Wire, catalogue, delivery, event, spent_quota


def adapter(wire: Wire) -> InngestEvents:
    found = adapters(catalogue(), wire.client)["inngest"]
    assert isinstance(found, InngestEvents)
    return found


def accepts(request: httpx.Request) -> httpx.Response:
    """As the platform answers: text/plain, one id an event."""
    count = len(orjson.loads(request.content))
    seed = Seed.parse(request.headers["x-inngest-event-id-seed"])
    assert seed is not None
    body = {"ids": [seed.ulid(index) for index in range(count)], "status": 200}
    return httpx.Response(200, content=orjson.dumps(body), headers={"content-type": "text/plain; charset=utf-8"})


async def one(wire: Wire, **changes: Any) -> Result:
    return (await adapter(wire).deliver([delivery(seeded=True, **changes)]))[0]


async def test_a_group_shifts_the_seed_so_that_each_event_keeps_its_id() -> None:
    wire = Wire(accepts)
    group = [delivery(position, seeded=True) for position in (5, 6, 7)]
    results = await adapter(wire).deliver(group)
    assert results == [Delivered(upstream_id=SEED.ulid(position)) for position in (5, 6, 7)]
    assert wire.requests[0].headers["x-inngest-event-id-seed"] == SEED.shifted(5).header()
    assert str(wire.requests[0].url) == "http://inngest/e/a%2Fkey"


@given(st.lists(st.integers(0, 60), unique=True, max_size=40))
def test_only_neighbours_of_one_batch_share_a_request(positions: list[int]) -> None:
    wire = Wire(accepts)
    groups = adapter(wire).groups([delivery(position, seeded=True) for position in positions])
    assert sorted(item.position for group in groups for item in group) == sorted(positions)
    for group in groups:
        assert 1 <= len(group) <= 3
        assert [item.position - group[0].position for item in group] == list(range(len(group)))


def test_events_of_different_batches_never_share_a_request() -> None:
    other = SEED.shifted(1000)
    first, second = delivery(0, seeded=True), delivery(1, seeded=True, seed=other)
    assert len(adapter(Wire(accepts)).groups([first, second])) == 2


async def test_an_event_says_its_id_its_time_and_what_else_its_producer_sent() -> None:
    wire = Wire(accepts)
    request = orjson.dumps({"name": "x", "data": {}, "user": {"id": 1}, "v": "1", "meta": {"s": 1}, "ts": 1, "id": "x"})
    await one(wire, request=request, data=b'{"a":1.50}')
    (sent,) = wire.body()
    assert sent == {
        "name": "order/created",
        "data": {"a": 1.5},
        "id": "o-0",
        "ts": int(NOW.timestamp() * 1000),
        "user": {"id": 1},
        "v": "1",
        "meta": {"s": 1},
    }
    assert b'"data":{"a":1.50}' in wire.requests[0].content, "the data goes as it came"


@pytest.mark.parametrize(
    ("occurred", "scheduled", "ts"),
    [
        (None, None, NOW),
        (NOW - timedelta(hours=1), None, NOW - timedelta(hours=1)),
        (NOW + timedelta(hours=1), None, NOW),  # a provider's clock: the candidate alone would wait for it
        (NOW, NOW + timedelta(days=7), NOW + timedelta(days=7)),  # the start is what the platform waits for
        (datetime(1970, 1, 1, tzinfo=UTC), None, None),  # it would be refused: the platform's own time then
    ],
)
async def test_its_time_is_the_scheduled_start_or_when_it_happened(
    occurred: datetime | None, scheduled: datetime | None, ts: datetime | None
) -> None:
    wire = Wire(accepts)
    await one(wire, event=event(occurred_at=occurred, scheduled_at=scheduled))
    assert wire.body()[0].get("ts") == (None if ts is None else int(ts.timestamp() * 1000))


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (200, {"ids": ["01M85HH3V3000G40R40M30E20A"], "status": 400, "error": "bad"}, Rejected("HTTP 400: bad", 400)),
        (400, {"ids": [""], "status": 400, "error": "event name is empty"}, Rejected),
        (413, {"error": "too large", "status": 413}, Rejected),
        (401, {"status": 401, "message": "", "error": "Event key not found"}, Misconfigured),
        (404, {"status": 404, "error": "no such key"}, Misconfigured),
        (200, {"status": 500, "error": "internal"}, Failed),
        (200, {"ids": [], "status": 200}, Failed),  # it does not say that it has the event
        (200, {"ids": [""], "status": 200}, Failed),
        (502, "bad gateway", Failed),
        (200, "no json", Failed),
        (301, {}, Failed),  # a redirect is not followed
        (429, {"error": "rate limited", "status": 429}, Throttled(timedelta(seconds=5))),
    ],
)
async def test_what_an_answer_means(status: int, body: Any, result: Result | type[Result]) -> None:
    content = body.encode() if isinstance(body, str) else orjson.dumps(body)
    given = await one(Wire(lambda request: httpx.Response(status, content=content)))
    if isinstance(result, type):
        assert isinstance(given, result)
    else:
        assert given == result


async def test_a_refused_batch_is_taken_apart_and_only_the_bad_event_stays_behind() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        events = orjson.loads(request.content)
        if any(item["data"]["id"] == 1 for item in events):
            return httpx.Response(400, json={"ids": ["01X"], "status": 400, "error": "event 1 is bad"})
        return accepts(request)

    wire = Wire(answer)
    results = await adapter(wire).deliver([delivery(position, seeded=True) for position in range(3)])
    assert results == [
        Delivered(upstream_id=SEED.ulid(0)),
        Rejected("HTTP 400: event 1 is bad", 400),
        Delivered(upstream_id=SEED.ulid(2)),
    ]


async def test_a_platform_that_does_not_honour_the_seed_is_believed() -> None:
    wire = Wire(lambda request: httpx.Response(200, json={"ids": ["01OTHER"], "status": 200}))
    assert await one(wire) == Delivered(upstream_id="01OTHER")


@pytest.mark.parametrize(("remaining", "rests"), [(0, True), (1, False)])
async def test_the_last_request_of_a_quota_says_when_the_next_may_come(remaining: int, rests: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        accepted = accepts(request)
        accepted.headers.update(spent_quota(remaining))
        return accepted

    given = await one(Wire(answer))
    assert isinstance(given, Delivered)
    assert (given.rest is not None) is rests
    assert given.rest is None or timedelta(seconds=7) < given.rest <= timedelta(seconds=9)


async def test_no_connection_is_a_failure() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    assert isinstance(await one(Wire(refuse)), Failed)


async def test_no_two_reads_have_the_same_address() -> None:
    wire = Wire(lambda request: httpx.Response(200, json={"data": []}))
    api = adapter(wire).api
    for _ in range(3):
        await api.event_runs("01M85K61QG0MKR39JNHEFCC9V4")
    assert len({str(request.url) for request in wire.requests}) == 3
    assert wire.requests[0].headers["authorization"].startswith("Bearer signkey-test-3a103a4e")
