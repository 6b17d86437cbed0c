"""The failure switches."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from sandbox.trigger_dev import PretendTriggerDev, Traps

from .conftest import DEV_KEY, Clients, new_platform, retrieve, trigger


def test_everything_is_off_by_default() -> None:
    assert PretendTriggerDev(secret_keys=[DEV_KEY]).traps == Traps()


async def test_a_limit_per_window_refuses_the_next_request(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    pretend.traps.limit_per_window = 2
    pretend.traps.limit_window = 60.0
    statuses = [(await dev.get("/api/v1/runs")).status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]


async def test_a_lost_response_leaves_its_run(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    pretend.traps.lose_responses = 1
    lost = await dev.post("/api/v1/tasks/hello/trigger", json={"payload": {"n": 1}})
    assert lost.status_code == 500
    assert len(pretend.runs()) == 1
    # Only the next creating request is lost, and reads are not.
    again = await dev.post("/api/v1/tasks/hello/trigger", json={"payload": {"n": 2}})
    assert again.status_code == 200
    assert len(pretend.runs()) == 2


async def test_a_key_saves_the_client_whose_response_was_lost(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    pretend.traps.lose_responses = 1
    body = {"payload": {}, "options": {"idempotencyKey": "k"}}
    assert (await dev.post("/api/v1/tasks/hello/trigger", json=body)).status_code == 500
    retried = await dev.post("/api/v1/tasks/hello/trigger", json=body)
    assert retried.json() == {"id": pretend.runs()[0].id, "isCached": True}


async def test_a_closed_connection_is_seen_over_http() -> None:
    async with new_platform(traps=Traps(lose_responses=1, lose_as="close")) as pretend:
        headers = {"authorization": f"Bearer {DEV_KEY}"}
        async with httpx.AsyncClient(base_url=pretend.url, headers=headers) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post("/api/v1/tasks/hello/trigger", json={"payload": {}})
            assert len(pretend.runs()) == 1
            assert (await client.get("/api/v1/runs")).status_code == 200


async def test_a_closed_connection_is_an_error_in_process(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    pretend.traps.lose_responses = 1
    pretend.traps.lose_as = "close"
    with pytest.raises(ConnectionResetError):
        await dev.post("/api/v3/batches", json={"runCount": 1})


async def test_a_slow_replica_does_not_know_a_new_run_yet(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    pretend.traps.replica_lag_ms = 60
    run_id = await trigger(dev, "hello")
    early = await dev.get(f"/api/v3/runs/{run_id}")
    assert (early.status_code, early.headers["x-should-retry"]) == (404, "true")
    await asyncio.sleep(0.07)
    assert (await retrieve(dev, run_id))["id"] == run_id


async def test_a_lagging_list_shows_runs_as_they_were(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "slow", {"seconds": 0.15})
    pretend.traps.list_lag_ms = 100
    assert (await dev.get("/api/v1/runs")).json()["data"] == []
    await pretend.settled()
    assert (await retrieve(dev, run_id))["status"] == "COMPLETED"
    listed = (await dev.get("/api/v1/runs")).json()["data"][0]
    assert listed["status"] == "EXECUTING"
    pretend.traps.list_lag_ms = 0
    assert (await dev.get("/api/v1/runs")).json()["data"][0]["status"] == "COMPLETED"


async def test_slow_answers_are_slow(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    pretend.traps.slow_ms = 50
    started = time.monotonic()
    await dev.get("/api/v1/runs")
    assert time.monotonic() - started >= 0.05


async def test_an_expired_key_is_refused(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    pretend.traps.expired_keys.add(DEV_KEY)
    answer = await dev.post("/api/v1/tasks/hello/trigger", json={"payload": {}})
    assert (answer.status_code, answer.json()) == (401, {"error": "Invalid API key"})
    assert pretend.runs() == []


async def test_traps_may_be_given_at_the_start(clients: Clients) -> None:
    pretend = new_platform(traps=Traps(expired_keys={DEV_KEY}))
    assert (await clients(pretend).get("/api/v1/runs")).status_code == 401
