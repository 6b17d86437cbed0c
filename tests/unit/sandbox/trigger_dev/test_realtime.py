"""The realtime feed: snapshot, live poll, restart (reference 4.1)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import orjson
import pytest

from sandbox.trigger_dev import PretendTriggerDev

from .conftest import CURRENT, Clients, new_platform, trigger

MODERN = {"x-trigger-electric-version": "1.0.0-beta.1", **CURRENT}
UP_TO_DATE = {"headers": {"control": "up-to-date"}}


async def _poll(client: httpx.AsyncClient, path: str, **query: Any) -> httpx.Response:
    return await client.get(path, params=query, headers=MODERN)


async def _live(client: httpx.AsyncClient, path: str, last: httpx.Response) -> httpx.Response:
    return await _poll(
        client,
        path,
        live="true",
        handle=last.headers["electric-handle"],
        offset=last.headers["electric-offset"],
        cursor=last.headers.get("electric-cursor", ""),
    )


async def test_a_run_is_followed_from_its_snapshot_to_its_end(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    run_id = await trigger(dev, "hello", {"name": "rt"}, delay="1h", tags=['quo"te', "b"])
    path = f"/realtime/v1/runs/{run_id}"
    snapshot = await _poll(dev, path, offset="-1")
    change, end = snapshot.json()
    assert end == UP_TO_DATE
    assert change["headers"] == {"operation": "insert"}
    row = change["value"]
    assert (row["friendlyId"], row["id"], row["status"]) == (run_id, run_id.removeprefix("run_"), "DELAYED")
    assert change["key"] == f'"public"."TaskRun"/"{row["id"]}"'
    # Values as PostgreSQL writes them; times without the zone, which the SDK adds.
    assert (row["isTest"], row["number"], row["runTags"]) == ("f", "1", '{"b","quo\\"te"}')
    assert not row["createdAt"].endswith("Z") and row["completedAt"] is None
    schema = orjson.loads(snapshot.headers["electric-schema"])
    assert list(schema) == list(row)
    assert schema["runTags"] == {"type": "text", "dims": 1}

    async def release() -> None:
        await asyncio.sleep(0.02)
        await dev.post(f"/api/v2/runs/{run_id}/cancel")

    live, _ = await asyncio.gather(_live(dev, path, snapshot), release())
    assert live.json()[0]["headers"] == {"operation": "update"}
    assert live.json()[0]["value"]["status"] == "CANCELED"
    assert orjson.loads(live.json()[0]["value"]["error"]) == {"type": "STRING_ERROR", "raw": "Canceled by user"}
    assert live.headers["electric-cursor"]


async def test_a_poll_behind_the_last_change_answers_at_once(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    run_id = await trigger(dev, "hello", {"name": "rt"})
    path = f"/realtime/v1/runs/{run_id}"
    snapshot = await _poll(dev, path, offset="-1")
    await pretend.settled()
    row = (await _live(dev, path, snapshot)).json()[0]["value"]
    assert row["status"] == "COMPLETED_SUCCESSFULLY"
    assert orjson.loads(row["output"])["greeting"] == "hello rt"
    assert row["completedAt"] is not None


async def test_a_quiet_poll_is_held_and_then_says_only_up_to_date(clients: Clients) -> None:
    pretend = new_platform(realtime_hold_seconds=0.1)
    dev = clients(pretend)
    run_id = await trigger(dev, "hello", delay="1h")
    snapshot = await _poll(dev, f"/realtime/v1/runs/{run_id}", offset="-1")
    started = time.monotonic()
    live = await _live(dev, f"/realtime/v1/runs/{run_id}", snapshot)
    assert time.monotonic() - started >= 0.09
    assert live.json() == [UP_TO_DATE]
    assert live.headers["electric-offset"] == snapshot.headers["electric-offset"]
    await pretend.stop()


async def test_the_tag_feed_tells_of_new_runs_that_carry_all_tags(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    await trigger(dev, "hello", tags=["a"], delay="1h")
    path = "/realtime/v1/runs"
    snapshot = await dev.get(path, params={"offset": "-1", "tags": "a,b"}, headers=MODERN)
    assert snapshot.json() == [UP_TO_DATE]
    matching = await trigger(dev, "hello", tags=["a", "b", "c"], delay="1h")
    live = await dev.get(
        path,
        params={
            "tags": "a,b",
            "live": "true",
            "handle": snapshot.headers["electric-handle"],
            "offset": snapshot.headers["electric-offset"],
        },
        headers=MODERN,
    )
    assert live.json()[0]["headers"] == {"operation": "insert"}
    assert live.json()[0]["value"]["friendlyId"] == matching
    assert len(live.json()) == 2


async def test_the_batch_feed_holds_the_batchs_runs(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    await trigger(dev, "hello")
    items = {"items": [{"task": "hello", "payload": {}}, {"task": "hello", "payload": {}}]}
    batch_id = (await dev.post("/api/v2/tasks/batch", json=items)).json()["id"]
    snapshot = await _poll(dev, f"/realtime/v1/batches/{batch_id}", offset="-1")
    assert len(snapshot.json()) == 3


async def test_an_unknown_handle_must_start_again(dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "hello")
    path = f"/realtime/v1/runs/{run_id}"
    answer = await _poll(dev, path, offset="7_0", handle="from-before", live="true")
    assert answer.status_code == 409
    assert answer.json() == [{"headers": {"control": "must-refetch"}}]
    fresh = await _poll(dev, path, offset="-1")
    assert answer.headers["electric-handle"] == fresh.headers["electric-handle"]


async def test_old_clients_get_the_old_header_names_and_no_dequeued(clients: Clients) -> None:
    pretend = new_platform(latency=0.05)
    dev = clients(pretend)
    run_id = await trigger(dev, "hello")
    path = f"/realtime/v1/runs/{run_id}"
    for _ in range(200):
        modern = await _poll(dev, path, offset="-1")
        if modern.json()[0]["value"]["status"] == "DEQUEUED":
            break
        await asyncio.sleep(0.005)
    old = await dev.get(path, params={"offset": "-1"})
    assert old.json()[0]["value"]["status"] == "EXECUTING"
    assert old.headers["electric-shape-id"] == modern.headers["electric-handle"]
    assert "electric-chunk-last-offset" in old.headers
    await pretend.stop()


async def test_skipped_columns_are_left_out_but_never_the_reserved_ones(dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "hello")
    answer = await _poll(dev, f"/realtime/v1/runs/{run_id}", offset="-1", skipColumns="payload,output,status")
    row = answer.json()[0]["value"]
    assert "payload" not in row and "output" not in row
    assert "status" in row


@pytest.mark.parametrize("path", ["/realtime/v1/runs/run_nope", "/realtime/v1/batches/batch_nope"])
async def test_feeds_of_nothing_are_404(dev: httpx.AsyncClient, path: str) -> None:
    assert (await _poll(dev, path, offset="-1")).status_code == 404
