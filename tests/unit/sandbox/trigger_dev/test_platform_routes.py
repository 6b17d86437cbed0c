"""The smaller routes: packets, queues, tags, metadata; and serving over HTTP."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import httpx
import orjson
import pytest

import sandbox.trigger_dev
from sandbox.trigger_dev import PretendTriggerDev

from .conftest import DEV_KEY, Clients, new_platform, retrieve, trigger, until_status

_PATH = "trigger/hello/1795481979-abc/payload.json"


async def test_a_payload_goes_through_the_packet_store(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient, clients: Clients
) -> None:
    # SDKs encode the path as one segment.
    address = (await dev.put(f"/api/v2/packets/{_PATH.replace('/', '%2F')}")).json()
    assert list(address) == ["presignedUrl", "storagePath"]
    document = orjson.dumps({"json": {"name": "stored"}})
    # The store wants no key.
    anonymous = clients(pretend, None)
    kind = {"content-type": "application/super+json"}
    assert (await anonymous.put(address["presignedUrl"], content=document, headers=kind)).status_code == 200
    run_id = await trigger(dev, "hello", address["storagePath"], payloadType="application/store")
    await pretend.settled()
    shown = await retrieve(dev, run_id)
    assert shown["output"]["greeting"] == "hello stored"
    assert (await anonymous.get(shown["payloadPresignedUrl"])).content == document
    found = (await dev.get(f"/api/v1/packets/{_PATH.replace('/', '%2F')}")).json()
    assert (await anonymous.get(found["presignedUrl"])).content == document


async def test_a_signed_address_is_good_for_one_method_and_one_object(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    address = (await dev.put(f"/api/v1/packets/{_PATH}")).json()["presignedUrl"]
    assert (await dev.get(address)).status_code == 403
    assert (await dev.put(address.replace("payload.json", "other.json"), content=b"{}")).status_code == 403
    missing = (await dev.get(f"/api/v1/packets/{_PATH}")).json()["presignedUrl"]
    assert (await dev.get(missing)).status_code == 404


async def test_a_missing_packet_fails_the_run(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "hello", "nowhere.json", payloadType="application/store")
    await pretend.settled()
    assert "nowhere.json" in (await retrieve(dev, run_id))["error"]["message"]


async def test_a_store_payload_must_be_a_path(dev: httpx.AsyncClient) -> None:
    body = {"payload": {}, "options": {"payloadType": "application/store"}}
    answer = await dev.post("/api/v1/tasks/hello/trigger", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith('application/store at "payload"')


async def test_the_queue_list_names_every_deployed_task(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    pretend.queue("emails", concurrency_limit=3)
    listed = (await dev.get("/api/v1/queues", params={"perPage": 100})).json()["data"]
    assert {"hello", "fails", "parent"} <= {queue["name"] for queue in listed if queue["type"] == "task"}
    custom = [queue for queue in listed if queue["type"] == "custom"]
    assert [(queue["name"], queue["concurrencyLimit"]) for queue in custom] == [("emails", 3)]
    page = (await dev.get("/api/v1/queues", params={"perPage": 2, "page": 2})).json()
    assert (len(page["data"]), page["pagination"]["currentPage"]) == (2, 2)


async def test_a_paused_queue_accepts_runs_and_holds_them(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    paused = await dev.post("/api/v1/queues/hello/pause", json={"type": "task", "action": "pause"})
    assert paused.json()["paused"] is True
    run_id = await trigger(dev, "hello")
    await asyncio.sleep(0.02)
    assert (await retrieve(dev, run_id))["status"] == "QUEUED"
    queue = (await dev.get("/api/v1/queues/hello", params={"type": "task"})).json()
    assert (queue["queued"], queue["running"]) == (1, 0)
    by_id = (await dev.get(f"/api/v1/queues/{queue['id']}", params={"type": "id"})).json()
    assert by_id == queue
    await dev.post("/api/v1/queues/hello/pause", json={"type": "task", "action": "resume"})
    await until_status(dev, run_id, "COMPLETED")


async def test_an_unknown_queue_is_404(dev: httpx.AsyncClient) -> None:
    answer = await dev.get("/api/v1/queues/nope", params={"type": "custom"})
    assert (answer.status_code, answer.json()) == (404, {"error": "queue-not-found"})


async def test_tags_are_added_up_to_ten(dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "hello", tags=["a"])
    path = f"/api/v1/runs/{run_id}/tags"
    assert (await dev.post(path, json={"tags": "b"})).json() == {"message": "Successfully set 1 new tags."}
    assert (await dev.post(path, json={"tags": ["a", "b"]})).json() == {"message": "No new tags to add"}
    refused = await dev.post(path, json={"tags": [f"t{n}" for n in range(9)]})
    assert refused.status_code == 422
    assert (await retrieve(dev, run_id))["tags"] == ["a", "b"]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"type": "set", "key": "b", "value": 2}, {"a": [1], "n": 1, "b": 2}),
        ({"type": "delete", "key": "a"}, {"n": 1}),
        ({"type": "append", "key": "a", "value": 2}, {"a": [1, 2], "n": 1}),
        ({"type": "append", "key": "new", "value": 2}, {"a": [1], "n": 1, "new": [2]}),
        ({"type": "remove", "key": "a", "value": 1}, {"a": [], "n": 1}),
        ({"type": "increment", "key": "n", "value": 4}, {"a": [1], "n": 5}),
        ({"type": "update", "value": {"x": 1}}, {"x": 1}),
    ],
)
async def test_metadata_operations(dev: httpx.AsyncClient, operation: dict[str, Any], expected: dict[str, Any]) -> None:
    run_id = await trigger(dev, "hello", metadata={"a": [1], "n": 1})
    path = f"/api/v1/runs/{run_id}/metadata"
    assert (await dev.put(path, json={"operations": [operation]})).json() == {"metadata": expected}
    assert (await dev.get(path)).json()["metadata"] == expected
    assert (await dev.put(path, json={"metadata": {"whole": 1}})).json() == {"metadata": {"whole": 1}}


async def test_metadata_may_be_changed_through_a_child(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    parent = await trigger(dev, "parent", {})
    await pretend.settled()
    child = next(run.id for run in pretend.runs() if run.parent_id == parent)
    body = {"parentOperations": [{"type": "set", "key": "seen", "value": True}]}
    await dev.put(f"/api/v1/runs/{child}/metadata", json=body)
    assert (await retrieve(dev, parent))["metadata"] == {"seen": True}


async def test_it_serves_http_on_a_free_port_and_stops() -> None:
    async with new_platform() as pretend:
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {DEV_KEY}"}) as client:
            answer = await client.post(f"{pretend.url}/api/v1/tasks/hello/trigger", json={"payload": {}})
            assert answer.status_code == 200
            await pretend.settled()
        address = pretend.url
    with pytest.raises(RuntimeError, match="not serving"):
        _ = pretend.url
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(address)


async def test_it_starts_by_hand_with_an_example_task() -> None:
    root = os.path.dirname(os.path.dirname(os.path.dirname(sandbox.trigger_dev.__file__)))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sandbox.trigger_dev", "--port", "0", "--key", DEV_KEY),
        cwd=root,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        first = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()
        address = first.removeprefix("TRIGGER_API_URL=")
        headers = {"authorization": f"Bearer {DEV_KEY}"}
        async with httpx.AsyncClient(base_url=address, headers=headers) as client:
            run_id = await trigger(client, "hello", {"name": "by hand", "failures": 1})
            shown = await until_status(client, run_id, "COMPLETED")
        assert shown["output"]["greeting"] == "hello by hand"
        assert shown["attemptCount"] == 2
    finally:
        process.terminate()
        await process.wait()
