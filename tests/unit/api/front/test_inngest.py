"""The Inngest door: `POST /e/{key}` as the SDKs know it, and what passes through."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest

from shadow.catalogue import parse
from shadow.catalogue.model import Origin, Side
from shadow.intake.arrival import Door
from shadow.model.ids import Seed
from tests.unit.api.front.listener import NOW, Listener
from tests.unit.shadow.catalogues import TEXT

PAYOUT = {"name": "payout/approved", "data": {"requestId": "wd_1", "tenantId": "acme"}}
FORWARDING = TEXT.replace("keys: [producer-key]", "keys: [producer-key], unknown: forward")


async def test_the_ids_are_the_ulids_that_upstream_will_assign() -> None:
    front = Listener()
    answer = await front.client.post("/e/producer-key", json=[PAYOUT, PAYOUT])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["status"] == 200
    assert len(body["ids"]) == 2
    assert all(len(identifier) == 26 for identifier in body["ids"])


async def test_an_event_is_stored_with_its_tenant_and_dispatched_to_both_sides() -> None:
    front = Listener()
    await front.client.post("/e/producer-key", json={**PAYOUT, "id": "evt-1", "ts": 1772600000000, "user": {"id": 1}})
    (arrival,) = front.accepted
    assert (arrival.source, arrival.door, arrival.origin) == ("app-events", Door.INNGEST, Origin.PRODUCER)
    assert (arrival.external_id, arrival.delivery_id) == ("evt-1", "evt-1")
    assert arrival.tenant == "acme"
    assert orjson.loads(arrival.request or b"{}")["user"] == {"id": 1}
    assert [(item.side, item.task) for item in arrival.dispatches] == [(Side.LEGACY, "pay"), (Side.CANDIDATE, None)]


async def test_without_an_id_the_ulid_is_the_id_that_runs_carry() -> None:
    front = Listener()
    await front.client.post("/e/producer-key", json=PAYOUT)
    assert front.accepted[0].delivery_id is None


async def test_a_repeated_seed_gets_the_same_ids() -> None:
    front = Listener()
    headers = {"x-inngest-event-id-seed": Seed.new().header()}
    first = await front.client.post("/e/producer-key", json=[PAYOUT, PAYOUT], headers=headers)
    second = await front.client.post("/e/producer-key", json=[PAYOUT, PAYOUT], headers=headers)
    assert first.json() == second.json()
    assert len(front.accepted) == 2


async def test_a_malformed_seed_is_ignored() -> None:
    front = Listener()
    for _ in range(2):
        await front.client.post("/e/producer-key", json=PAYOUT, headers={"x-inngest-event-id-seed": "x,y"})
    assert len(front.accepted) == 2


async def test_a_start_in_the_future_is_kept() -> None:
    front = Listener()
    later = NOW + timedelta(days=2)
    await front.client.post("/e/producer-key", json={**PAYOUT, "ts": int(later.timestamp() * 1000)})
    assert front.accepted[0].scheduled_at == later


@pytest.mark.parametrize("content", [b"", b"[]"])
async def test_a_request_without_events_is_answered_with_one_empty_id(content: bytes) -> None:
    answer = await Listener().client.post("/e/producer-key", content=content)
    assert (answer.status_code, answer.json()) == (200, {"ids": [""], "status": 200})


@pytest.mark.parametrize(
    ("path", "content", "status", "error"),
    [
        ("/e/wrong", b"[]", 401, "Event key not found"),
        ("/e/", b"[]", 401, "Event key not found"),
        ("/e/tr_dev_producer", b"[]", 401, "Event key not found"),  # another door's key
        ("/e/producer-key", b"{bad", 400, "invalid JSON"),
        ("/e/producer-key", orjson.dumps([PAYOUT, {"data": {}}]), 400, "event name is empty"),
        ("/e/producer-key", b'{"name":"inngest/x"}', 400, "reserved"),
        # names the nearest that it knows
        ("/e/producer-key", b'{"name":"payout/aproved"}', 400, "events of this source: payout/approved"),
        # an event that another source brings
        ("/e/producer-key", b'{"name":"creator/applied"}', 400, "is not in the catalogue"),
        ("/e/producer-key", b" " * (3 * 1024 * 1024 + 1), 413, "larger"),
    ],
)
async def test_a_bad_request_is_refused_in_the_sdks_shape_and_nothing_of_it_is_stored(
    path: str, content: bytes, status: int, error: str
) -> None:
    front = Listener()
    answer = await front.client.post(path, content=content)
    assert answer.status_code == status
    assert answer.json()["status"] == status
    assert error in answer.json()["error"]
    assert front.accepted == []


async def test_while_nothing_can_be_stored_the_sdk_comes_again() -> None:
    front = Listener()
    front.intake.failing = True
    answer = await front.client.post("/e/producer-key", json=PAYOUT)
    assert (answer.status_code, answer.json()["status"]) == (503, 503)
    assert int(answer.headers["retry-after"]) > 0


async def test_what_nobody_foresaw_is_answered_in_the_sdks_shape() -> None:
    front = Listener()
    front.intake.breaking = True
    answer = await front.client.post("/e/producer-key", json=PAYOUT)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/json")
    assert answer.json() == {"ids": [""], "status": 500, "error": "internal server error"}


async def test_an_unknown_event_goes_to_the_candidate_alone_where_the_source_says_so() -> None:
    front = Listener(parse(FORWARDING, "forwarding.yaml", {}))
    answer = await front.client.post("/e/producer-key", json=[PAYOUT, {"name": "nobody/listens", "data": {}}])
    assert answer.status_code == 200
    unknown = front.accepted[1]
    assert unknown.decision is None
    assert [(item.side, item.platform) for item in unknown.dispatches] == [(Side.CANDIDATE, "inngest")]


@pytest.mark.parametrize(
    ("key", "origin", "side"),
    [("legacy-key", Origin.LEGACY, Side.LEGACY), ("candidate-key", Origin.CANDIDATE, Side.CANDIDATE)],
)
async def test_what_a_worker_emits_goes_to_its_own_side_only(key: str, origin: Origin, side: Side) -> None:
    front = Listener()
    await front.client.post(f"/e/{key}", json=PAYOUT)
    (arrival,) = front.accepted
    assert arrival.origin is origin
    assert {item.side for item in arrival.dispatches} == {side}


async def test_events_are_posted_and_browsers_may_ask_first() -> None:
    front = Listener()
    answer = await front.client.get("/e/producer-key")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "POST", b"")
    answer = await front.client.options(
        "/e/producer-key",
        headers={"access-control-request-method": "POST", "access-control-request-headers": "content-type"},
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == "content-type"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/events/01ABC/runs?limit=2"),
        ("PUT", "/fn/register"),
        ("POST", "/v0/runs/x/batch"),
        ("POST", "/v2/events"),
        ("POST", "/invoke/app-fn"),
    ],
)
async def test_everything_else_of_inngests_passes_through(method: str, path: str) -> None:
    def upstream(request: httpx.Request) -> httpx.Response:
        return httpx.Response(207, content=b"theirs", headers=[("x-a", "1"), ("x-a", "2")])

    front = Listener(upstream=upstream)
    answer = await front.client.request(method, path, headers={"authorization": "Bearer signkey"})
    assert (answer.status_code, answer.content) == (207, b"theirs")
    assert answer.headers.get_list("x-a") == ["1", "2"]
    assert front.requests[0].headers["authorization"] == "Bearer signkey"
    assert front.requests[0].extensions["target"] == path.encode()


async def test_what_only_begins_like_their_paths_does_not() -> None:
    front = Listener()
    assert (await front.client.get("/v10/x")).status_code == 404
    assert front.requests == []


async def test_an_unreachable_platform_is_a_502_in_its_shape() -> None:
    answer = await Listener().client.get("/v1/events")
    assert (answer.status_code, answer.json()["status"]) == (502, 502)
    assert "ConnectError" in answer.json()["error"]


async def test_the_invoke_path_goes_to_the_event_api() -> None:
    catalogue: Any = TEXT.replace('event_url: "http://127.0.0.1:9"', 'event_url: "http://127.0.0.1:7"')
    front = Listener(parse(catalogue, "two.yaml", {}))
    await front.client.post("/invoke/app-fn")
    await front.client.get("/v1/events")
    assert [request.url.port for request in front.requests] == [7, 9]
