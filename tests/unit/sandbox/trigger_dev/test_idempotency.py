"""Idempotency keys: unique per environment and task, lazy expiry, freed by failure (reference 6)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from sandbox.trigger_dev import PretendTriggerDev
from sandbox.trigger_dev.tasks import sdk_idempotency_key

from .conftest import retrieve, trigger


async def _trigger(client: httpx.AsyncClient, task: str, options: dict[str, Any], **headers: str) -> Any:
    body = {"payload": {}, "options": options}
    return (await client.post(f"/api/v1/tasks/{task}/trigger", json=body, headers=headers)).json()


async def test_the_same_key_answers_with_the_first_run_whatever_the_payload(dev: httpx.AsyncClient) -> None:
    first = await _trigger(dev, "hello", {"idempotencyKey": "order-1"})
    again = await dev.post(
        "/api/v1/tasks/hello/trigger",
        json={"payload": {"other": True}, "options": {"idempotencyKey": "order-1"}},
    )
    assert first["isCached"] is False
    assert again.status_code == 200
    assert again.json() == {"id": first["id"], "isCached": True}


async def test_the_key_is_bound_to_its_task_and_environment(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient, prod: httpx.AsyncClient
) -> None:
    key = {"idempotencyKey": "k"}
    answers = [
        await _trigger(dev, "hello", key),
        await _trigger(dev, "flaky", key),
        await _trigger(prod, "hello", key),
    ]
    assert [answer["isCached"] for answer in answers] == [False, False, False]
    assert len(pretend.runs()) == 3


async def test_the_header_wins_over_the_body(dev: httpx.AsyncClient) -> None:
    first = await _trigger(dev, "hello", {"idempotencyKey": "body"}, **{"idempotency-key": "header"})
    same = await _trigger(dev, "hello", {}, **{"idempotency-key": "header"})
    other = await _trigger(dev, "hello", {"idempotencyKey": "body"})
    assert same == {"id": first["id"], "isCached": True}
    assert other["isCached"] is False


async def test_concurrent_duplicates_make_one_run(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(_trigger(dev, "hello", {"idempotencyKey": "k"}) for _ in range(20)))
    assert len({answer["id"] for answer in answers}) == 1
    assert sorted(answer["isCached"] for answer in answers) == [False] + [True] * 19
    assert len(pretend.runs()) == 1


@pytest.mark.parametrize(
    ("task", "freed"),
    [
        ("hello", False),
        ("fails", True),
        ("crashes", True),
        ("times-out", True),
    ],
)
async def test_only_an_unsuccessful_run_frees_its_key(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient, task: str, freed: bool
) -> None:
    first = await _trigger(dev, task, {"idempotencyKey": "k"})
    await pretend.settled()
    second = await _trigger(dev, task, {"idempotencyKey": "k"})
    assert (second["id"] != first["id"]) is freed
    assert second["isCached"] is not freed
    # A freed key is no longer shown on the run it was taken from.
    assert ("idempotencyKey" in await retrieve(dev, first["id"])) is not freed


async def test_a_cancelled_run_keeps_its_key(dev: httpx.AsyncClient) -> None:
    first = await _trigger(dev, "hello", {"idempotencyKey": "k", "delay": "1h"})
    await dev.post(f"/api/v2/runs/{first['id']}/cancel")
    assert (await _trigger(dev, "hello", {"idempotencyKey": "k"}))["isCached"] is True


@pytest.mark.parametrize(
    ("ttl", "expired"),
    [
        ("0s", True),
        ("1h", False),
        # No such format: the default of thirty days.
        ("0w", False),
        ("banana", False),
    ],
)
async def test_a_key_expires_when_it_is_used_again(dev: httpx.AsyncClient, ttl: str, expired: bool) -> None:
    first = await _trigger(dev, "hello", {"idempotencyKey": "k", "idempotencyKeyTTL": ttl})
    second = await _trigger(dev, "hello", {"idempotencyKey": "k"})
    assert (second["id"] != first["id"]) is expired


async def test_a_read_shows_the_users_key_and_the_list_the_wire_key(dev: httpx.AsyncClient) -> None:
    wire = sdk_idempotency_key("my-key")
    run_id = await trigger(dev, "hello", idempotencyKey=wire, idempotencyKeyOptions={"key": "my-key", "scope": "run"})
    assert (await retrieve(dev, run_id))["idempotencyKey"] == "my-key"
    listed = (await dev.get("/api/v1/runs")).json()["data"][0]
    assert listed["idempotencyKey"] == wire


def test_the_wire_key_is_the_sdks() -> None:
    # The check value of the reference (6.1).
    expected = "5e78863ed1ffb9fc66b1d61634b126bf8eb20267e7996297eeeb9b19c8c0f732"
    assert sdk_idempotency_key("my-key") == expected
    assert sdk_idempotency_key(expected) == expected


async def test_a_key_can_be_reset_by_its_wire_value(dev: httpx.AsyncClient) -> None:
    first = await _trigger(dev, "hello", {"idempotencyKey": "k"})
    reset = await dev.post("/api/v1/idempotencyKeys/k/reset", json={"taskIdentifier": "hello"})
    assert reset.json() == {"id": "k"}
    assert (await _trigger(dev, "hello", {"idempotencyKey": "k"}))["id"] != first["id"]
    unknown = await dev.post("/api/v1/idempotencyKeys/x/reset", json={"taskIdentifier": "hello"})
    assert unknown.status_code == 404


async def test_a_debounced_trigger_postpones_the_waiting_run(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    first = await _trigger(dev, "hello", {"debounce": {"key": "d", "delay": "1h"}})
    due = (await retrieve(dev, first["id"]))["delayedUntil"]
    again = await _trigger(dev, "hello", {"debounce": {"key": "d", "delay": "2h"}})
    assert again == {"id": first["id"], "isCached": False}
    assert (await retrieve(dev, first["id"]))["delayedUntil"] > due
    assert len(pretend.runs()) == 1
