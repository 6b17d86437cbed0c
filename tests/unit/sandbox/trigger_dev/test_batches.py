"""Batches of every SDK generation (reference 2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import httpx
import orjson
import pytest

from sandbox.trigger_dev import PretendTriggerDev, RateLimit

from .conftest import Clients, new_platform, retrieve
from .transcripts import FOLDER, VOLATILE

NDJSON = {"content-type": "application/x-ndjson"}


def _items(*names: str) -> list[dict[str, Any]]:
    return [{"index": i, "task": "hello", "payload": {"name": name}} for i, name in enumerate(names)]


async def _stream(client: httpx.AsyncClient, batch_id: str, items: list[dict[str, Any]]) -> httpx.Response:
    async def lines() -> AsyncIterator[bytes]:
        # One chunk ends in the middle of a line.
        body = b"".join(orjson.dumps(item) + b"\n" for item in items)
        yield body[:20]
        yield body[20:]

    return await client.post(f"/api/v3/batches/{batch_id}/items", content=lines(), headers=NDJSON)


async def _create(client: httpx.AsyncClient, run_count: int, **members: Any) -> httpx.Response:
    return await client.post("/api/v3/batches", json={"runCount": run_count, **members})


async def test_a_two_phase_batch_answers_as_the_sdk_saw_it(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    wire = [orjson.loads(line) for line in (FOLDER / "sdk-wire-posts.jsonl").read_bytes().splitlines()]
    create, stream = next(
        (first, second) for first, second in pairwise(wire) if first["req"]["url"] == "/api/v3/batches"
    )
    answer = await dev.post("/api/v3/batches", content=create["req"]["body"])
    recorded = orjson.loads(create["res"]["body"])
    assert answer.status_code == create["res"]["status"] == 202
    assert answer.json() == {**recorded, "id": answer.json()["id"]}
    assert set(answer.headers) - VOLATILE == set(create["res"]["headers"]) - VOLATILE
    claims = orjson.loads(answer.headers["x-trigger-jwt-claims"])
    assert list(claims) == ["sub", "pub"]

    batch_id = answer.json()["id"]
    streamed = await dev.post(f"/api/v3/batches/{batch_id}/items", content=stream["req"]["body"], headers=NDJSON)
    assert streamed.status_code == stream["res"]["status"]
    assert streamed.json() == {**orjson.loads(stream["res"]["body"]), "id": batch_id}
    # Phase two bypasses the limiter, so it shows none of its headers.
    assert set(streamed.headers) - VOLATILE == set(stream["res"]["headers"]) - VOLATILE

    await pretend.settled()
    shown = (await dev.get(f"/api/v2/batches/{batch_id}")).json()
    assert (shown["status"], shown["runCount"], len(shown["runs"])) == ("COMPLETED", 3, 3)
    assert shown["processing"]["errors"] == []
    members = (await dev.get("/api/v1/runs", params={"filter[batch]": batch_id})).json()["data"]
    assert [item["id"] for item in members] == list(reversed(shown["runs"]))
    run = await retrieve(dev, shown["runs"][1])
    assert (run["batchId"], run["triggerFunction"], run["tags"]) == (batch_id, "batchTrigger", ["b2"])


async def test_a_batch_is_sealed_when_all_items_are_there_and_repeated_items_count_once(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    batch_id = (await _create(dev, 3)).json()["id"]
    first = (await _stream(dev, batch_id, _items("a", "b"))).json()
    assert first == {
        "id": batch_id,
        "itemsAccepted": 2,
        "itemsDeduplicated": 0,
        "sealed": False,
        "enqueuedCount": 2,
        "expectedCount": 3,
        "runCount": 3,
    }
    assert (await dev.get(f"/api/v2/batches/{batch_id}")).json()["status"] == "PENDING"
    second = (await _stream(dev, batch_id, _items("a", "b", "c"))).json()
    assert (second["itemsAccepted"], second["itemsDeduplicated"], second["sealed"]) == (1, 2, True)
    assert len(pretend.runs()) == 3


async def test_a_sealed_batch_takes_no_more_items(dev: httpx.AsyncClient) -> None:
    batch_id = (await _create(dev, 1)).json()["id"]
    await _stream(dev, batch_id, _items("a"))
    again = await _stream(dev, batch_id, _items("a"))
    assert again.status_code == 422
    assert "already sealed" in again.json()["error"]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b'{"index":0', NDJSON, 400),
        (b'{"index":0}', NDJSON, 422),
        (b'{"index":5,"task":"hello"}', NDJSON, 422),
        (b'{"index":0,"task":"hello"}', {"content-type": "application/json"}, 415),
    ],
)
async def test_bad_items_are_refused(
    dev: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    batch_id = (await _create(dev, 1)).json()["id"]
    answer = await dev.post(f"/api/v3/batches/{batch_id}/items", content=content, headers=headers)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}


async def test_items_of_an_unknown_batch_are_refused_and_reading_them_is_no_method(
    dev: httpx.AsyncClient,
) -> None:
    assert (await _stream(dev, "batch_nope", _items("a"))).status_code == 422
    answer = await dev.get("/api/v3/batches/batch_nope/items")
    assert (answer.status_code, list(answer.json())) == (405, ["error"])


@pytest.mark.parametrize(
    ("run_count", "status"), [(1000, 202), (1001, 400), (0, 400), (-1, 400), ("3", 400), (None, 400)]
)
async def test_a_batch_has_between_one_and_a_thousand_runs(dev: httpx.AsyncClient, run_count: Any, status: int) -> None:
    assert (await _create(dev, run_count)).status_code == status


async def test_a_second_batch_with_the_same_key_is_the_first(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    first = await _create(dev, 2, idempotencyKey="b")
    second = await _create(dev, 2, idempotencyKey="b")
    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json() == {"id": first.json()["id"], "runCount": 2, "isCached": True}
    pretend.traps.batch_key_forgotten = True
    third = await _create(dev, 2, idempotencyKey="b")
    assert third.status_code == 422
    assert "already been created with the same idempotency key" in third.json()["error"]


async def test_the_batch_limiter_counts_runs_and_resets_in_seconds(clients: Clients) -> None:
    pretend = new_platform(batch_rate_limit=RateLimit(burst=5, refill=5, interval=5.0))
    dev = clients(pretend)
    assert (await _create(dev, 4)).status_code == 202
    refused = await _create(dev, 2)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 5
    # The general limiter's header is in milliseconds; this one in seconds.
    assert len(refused.headers["x-ratelimit-reset"]) == 10


async def test_an_item_the_platform_refuses_is_an_error_of_the_batch(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    items = _items("a", "b")
    items[1]["options"] = {"tags": [f"t{n}" for n in range(11)]}
    batch_id = (await _create(dev, 2)).json()["id"]
    await _stream(dev, batch_id, items)
    await pretend.settled()
    shown = (await dev.get(f"/api/v2/batches/{batch_id}")).json()
    assert (shown["status"], len(shown["runs"])) == ("PARTIAL_FAILED", 1)
    error = shown["processing"]["errors"][0]
    assert (error["index"], error["taskIdentifier"]) == (1, "hello")


async def test_an_oversized_item_makes_no_run_but_is_no_error_of_the_request(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    batch_id = (await _create(dev, 1)).json()["id"]
    streamed = await _stream(dev, batch_id, _items("x" * (3 * 1024 * 1024)))
    assert streamed.json()["sealed"] is True
    shown = (await dev.get(f"/api/v2/batches/{batch_id}")).json()
    assert shown["status"] == "ABORTED"
    assert shown["processing"]["errors"][0]["errorCode"] == "PAYLOAD_TOO_LARGE"


async def test_a_v2_batch_names_no_runs(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    items = [{"task": "hello", "payload": {}}, {"task": "flaky", "payload": {}}]
    answer = await dev.post("/api/v2/tasks/batch", json={"items": items})
    assert answer.status_code == 202
    assert answer.json() == {"id": answer.json()["id"], "runCount": 2}
    await pretend.settled()
    shown = (await dev.get(f"/api/v2/batches/{answer.json()['id']}")).json()
    assert shown["status"] == "COMPLETED"
    assert [run.task for run in pretend.runs()] == ["hello", "flaky"]


async def test_a_v1_batch_lists_its_runs_and_repeats_them_for_its_key(dev: httpx.AsyncClient) -> None:
    items = [{"task": "hello", "payload": {}, "options": {"idempotencyKey": "i"}}, {"task": "flaky"}]
    headers = {"idempotency-key": "b"}
    first = await dev.post("/api/v1/tasks/batch", json={"items": items}, headers=headers)
    assert first.status_code == 202
    body = first.json()
    assert (body["isCached"], body["idempotencyKey"]) == (False, "b")
    assert [(run["taskIdentifier"], run["isCached"]) for run in body["runs"]] == [
        ("hello", False),
        ("flaky", False),
    ]
    assert body["runs"][0]["idempotencyKey"] == "i"
    again = (await dev.post("/api/v1/tasks/batch", json={"items": items}, headers=headers)).json()
    assert again["isCached"] is True
    assert [run["id"] for run in again["runs"]] == [run["id"] for run in body["runs"]]
    shown = (await dev.get(f"/api/v1/batches/{body['id']}")).json()
    assert "processing" not in shown


async def test_the_v1_path_answers_with_failed_runs(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    items = [{"task": "fails", "payload": {}, "options": {"idempotencyKey": "i"}}]
    first = (await dev.post("/api/v1/tasks/batch", json={"items": items})).json()
    await pretend.settled()
    second = (await dev.post("/api/v1/tasks/batch", json={"items": items})).json()
    assert second["runs"][0] == {**first["runs"][0], "isCached": True}


async def test_a_batch_of_one_task_answers_with_run_ids(dev: httpx.AsyncClient) -> None:
    answer = await dev.post("/api/v1/tasks/hello/batch", json={"items": [{"payload": {}}, {"payload": {}}]})
    assert answer.status_code == 200
    assert list(answer.json()) == ["batchId", "runs"]
    assert len(answer.json()["runs"]) == 2


@pytest.mark.parametrize(
    ("path", "items", "error"),
    [
        ("/api/v1/tasks/batch", [], "Batch cannot be triggered with no items"),
        ("/api/v2/tasks/batch", [{"task": "hello"}] * 501, "Batch size of 501 is too large."),
        ("/api/v2/tasks/batch", [{"payload": {}}], 'Validation error: Required at "items[0].task"'),
        ("/api/v1/tasks/hello/batch", [], "No items to trigger"),
        ("/api/v1/tasks/hello/batch", [{}] * 101, "Too many items."),
    ],
)
async def test_bad_batches_are_400(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient, path: str, items: list[Any], error: str
) -> None:
    answer = await dev.post(path, json={"items": items})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)
    assert pretend.runs() == []
