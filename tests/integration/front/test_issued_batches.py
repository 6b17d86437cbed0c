"""Batches of producers when the candidate has authority for all of their items, or for some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import orjson
import psycopg
import pytest

from api.front.intents import Intents
from shadow.causes import batches
from shadow.cutover.decision import Phase, Ramp
from tests.integration.front.door import Door
from tests.integration.front.world import KEY

MIXED = tuple({"task": task, "payload": {"n": n}} for n, task in enumerate(("hello", "fails", "hello")))
ALIKE = tuple({"task": "fails", "payload": {"n": n}} for n in range(2))


@pytest.fixture(autouse=True)
def _moved(door: Door) -> None:
    """One task is the candidate's, and the other legacy's."""
    door.world.routing.of["fails"] = Phase.LIVE


async def _whole(door: Door, path: str, items: Sequence[Any], **headers: str) -> httpx.Response:
    sent = {**KEY, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await door.world.client.post(path, json={"items": list(items)}, headers=sent)


async def _stream(door: Door, batch: str, items: Sequence[Any]) -> httpx.Response:
    lines = b"\n".join(orjson.dumps({"index": index, **item}) for index, item in enumerate(items))
    headers = {**KEY, "content-type": "application/x-ndjson"}
    return await door.world.client.post(f"/api/v3/batches/{batch}/items", content=lines, headers=headers)


def _legacy(door: Door) -> list[int]:
    return sorted(run.payload["n"] for run in door.world.trigger.runs())


async def _issued(door: Door) -> list[str]:
    rows = await door.world.rows(
        "SELECT event.name FROM events AS event JOIN dispatches ON event_id = event.id"
        " WHERE authority = 'candidate' AND side = 'candidate' AND state = 'due' AND due_at <= now() ORDER BY event.id"
    )
    return [name for (name,) in rows]


@pytest.mark.parametrize("path", ["/api/v1/tasks/batch", "/api/v2/tasks/batch"])
async def test_a_mixed_batch_is_answered_as_one_and_split(door: Door, path: str) -> None:
    answer = await _whole(door, path, MIXED)
    assert answer.status_code == 202, answer.text
    if "runs" in answer.json():
        known = {run.id for run in door.world.trigger.runs()}
        assert [run["id"] in known for run in answer.json()["runs"]] == [True, False, True]
    else:
        assert answer.json()["runCount"] == 3
    await door.world.trigger.settled()
    assert (_legacy(door), await _issued(door)) == ([0, 2], ["fails/asked"])
    read = await door.get(f"/api/v2/batches/{answer.json()['id']}")
    assert (read["runCount"], len(read["runs"]), read["status"]) == (3, 3, "PENDING")


@pytest.mark.parametrize("path", ["/api/v1/tasks/batch", "/api/v2/tasks/batch", "/api/v1/tasks/fails/batch"])
async def test_a_batch_of_the_candidates_alone_is_issued_in_order(door: Door, path: str) -> None:
    answer = await _whole(door, path, ALIKE, idempotency_key="the-batch")
    said = answer.json()
    again = await _whole(door, path, ALIKE, idempotency_key="the-batch")
    assert said.get("id", said.get("batchId")) == again.json().get("id", again.json().get("batchId"))
    assert (_legacy(door), await _issued(door)) == ([], ["fails/asked"] * 2)
    read = await door.get(f"/api/v2/batches/{said.get('id', said.get('batchId'))}")
    assert read["runCount"] == 2
    payloads = [(await door.read(run))["payload"]["n"] for run in read["runs"]]
    assert payloads == [0, 1]
    if "runs" in said:
        assert [run["id"] if isinstance(run, dict) else run for run in said["runs"]] == read["runs"]


@pytest.mark.parametrize("tasks", [{}, {"taskIdentifiers": ["hello", "fails"]}])
async def test_a_two_phase_batch_is_announced_to_trigger_dev_for_its_part_only(
    door: Door, tasks: dict[str, Any]
) -> None:
    announced = await door.post("/api/v3/batches", {"runCount": 3, **tasks})
    name = announced.json()["id"]
    assert f"read:batch:{name}" in announced.headers["x-trigger-jwt-claims"]
    assert (await _stream(door, name, MIXED)).json() == {
        "id": name,
        "itemsAccepted": 3,
        "itemsDeduplicated": 0,
        "sealed": True,
        "runCount": 3,
    }
    await door.world.trigger.settled()
    assert (_legacy(door), await _issued(door)) == ([0, 2], ["fails/asked"])
    assert (await _stream(door, name, MIXED)).json()["itemsDeduplicated"] == 3
    assert (len(_legacy(door)), len(await _issued(door))) == (2, 1)


async def test_a_batch_of_tasks_that_stay_is_trigger_devs_own(door: Door) -> None:
    announced = await door.post("/api/v3/batches", {"runCount": 1, "taskIdentifiers": ["hello"]})
    assert (await _stream(door, announced.json()["id"], MIXED[:1])).json()["sealed"] is True
    await door.world.trigger.settled()
    assert (_legacy(door), await _issued(door)) == ([0], [])


async def test_a_batch_that_was_announced_before_the_move_is_legacys_whole(door: Door) -> None:
    door.world.routing.of.clear()
    name = (await door.post("/api/v3/batches", {"runCount": 3})).json()["id"]
    door.world.routing.of["fails"] = Phase.LIVE
    assert (await _stream(door, name, MIXED)).json()["sealed"] is True
    await door.world.trigger.settled()
    assert (_legacy(door), await _issued(door)) == ([0, 1, 2], [])
    rows = await door.world.rows("SELECT DISTINCT authority FROM events")
    assert rows == [("legacy",)]


async def test_a_batch_that_is_sent_again_after_the_move_is_what_it_was(door: Door) -> None:
    door.world.routing.of.clear()
    keyed = [{"task": "hello", "payload": {"n": n}, "options": {"idempotencyKey": f"item-{n}"}} for n in range(3)]
    first = (await _whole(door, "/api/v1/tasks/batch", keyed)).json()["runs"]
    door.world.routing.phase = Phase.LIVE
    new = {"task": "hello", "payload": {"n": 9}, "options": {"idempotencyKey": "item-9"}}
    again = (await _whole(door, "/api/v1/tasks/batch", [*keyed, new])).json()["runs"]
    assert [run["id"] for run in again[:3]] == [run["id"] for run in first]
    assert (_legacy(door), await _issued(door)) == ([0, 1, 2], ["hello/said"])


async def test_in_a_ramp_each_item_goes_by_its_own_tenant(door: Door) -> None:
    door.world.routing.of["fails"] = Phase.RAMP
    door.world.routing.ramp = Ramp(0, allow=frozenset({"acme"}))
    items = [{"task": "fails", "payload": {"n": n, "tenantId": tenant}} for n, tenant in enumerate(("acme", "zeta"))]
    answer = await _whole(door, "/api/v1/tasks/batch", items)
    known = {run.id for run in door.world.trigger.runs()}
    assert [run["id"] in known for run in answer.json()["runs"]] == [False, True]
    name = (await door.post("/api/v3/batches", {"runCount": 2})).json()["id"]
    assert (await _stream(door, name, items)).json()["sealed"] is True
    await door.world.trigger.settled()
    assert (_legacy(door), await _issued(door)) == ([1, 1], ["fails/asked"] * 2)


async def test_what_trigger_dev_refuses_of_a_batch_starts_nothing_on_the_candidate(door: Door) -> None:
    bad = {"task": "hello", "payload": {}, "options": {"maxAttempts": "x"}}
    assert (await _whole(door, "/api/v2/tasks/batch", [ALIKE[0], bad])).status_code == 400
    assert await door.world.count("events") == 0


async def test_after_a_move_back_an_item_whose_key_was_issued_stays_so_in_a_two_phase_batch(door: Door) -> None:
    keyed = {"task": "fails", "payload": {"n": 1}, "options": {"idempotencyKey": "mine"}}
    run = (await _whole(door, "/api/v1/tasks/batch", [keyed])).json()["runs"][0]["id"]
    door.world.routing.of.clear()
    name = (await door.post("/api/v3/batches", {"runCount": 2})).json()["id"]
    answer = await _stream(door, name, [MIXED[0], keyed])
    assert (answer.status_code, answer.json()["sealed"]) == (200, True), answer.text
    await door.world.trigger.settled()
    assert (_legacy(door), await _issued(door)) == ([0], ["fails/asked"])
    assert run in (await door.get(f"/api/v2/batches/{name}"))["runs"]


@pytest.mark.parametrize(("keyed", "status"), [({}, 202), ({"idempotency_key": "the-batch"}, 503)])
async def test_a_batch_that_is_stored_is_sent_again_only_by_who_would_be_recognised(
    door: Door, monkeypatch: pytest.MonkeyPatch, keyed: dict[str, str], status: int
) -> None:
    async def unreachable(*_given: object, **_named: object) -> None:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(batches, "seal", unreachable)
    answer = await _whole(door, "/api/v1/tasks/batch", ALIKE, **keyed)
    assert (answer.status_code, await _issued(door)) == (status, ["fails/asked"] * 2)


async def test_a_batchs_key_from_before_the_switch_is_the_batch_that_trigger_dev_has(door: Door) -> None:
    door.world.routing.of.clear()
    announcement = {"runCount": 3, "idempotencyKey": "nightly"}
    name = (await door.post("/api/v3/batches", announcement)).json()["id"]
    await _stream(door, name, MIXED)
    door.world.routing.of["fails"] = Phase.LIVE
    again = await door.post("/api/v3/batches", announcement)
    assert (again.status_code, again.json()["id"], again.json()["isCached"]) == (200, name, True)
    assert await _issued(door) == []


async def test_a_batchs_key_stands_for_it_until_its_time_is_over(door: Door) -> None:
    announcement = {"runCount": 2, "idempotencyKey": "nightly"}
    name = (await door.post("/api/v3/batches", announcement)).json()["id"]
    await _stream(door, name, ALIKE)
    await _older(door, 29)
    assert (await door.post("/api/v3/batches", announcement)).json()["isCached"] is True
    await _older(door, 2)
    later = (await door.post("/api/v3/batches", announcement)).json()
    assert (later["isCached"], later["id"] != name) == (False, True)
    assert (await _stream(door, later["id"], ALIKE)).json()["itemsAccepted"] == 2
    assert await _issued(door) == ["fails/asked"] * 4
    assert (await door.post("/api/v3/batches", announcement)).json()["id"] == later["id"]
    assert (await door.get(f"/api/v2/batches/{name}"))["runCount"] == 2


async def _older(door: Door, days: int) -> None:
    """Time goes by."""
    await door.world.rows(
        "UPDATE trigger_batches SET created_at = created_at - %s * interval '1 day' RETURNING 1", days
    )


async def test_a_run_that_another_call_was_told_of_stays_when_the_batch_that_brought_it_is_refused(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed = {"payload": {"n": 1}, "options": {"idempotencyKey": "mine"}}
    bad = {"task": "hello", "payload": {}, "options": {"maxAttempts": "x"}}
    told: list[str] = []
    forward = Intents.forward

    async def meanwhile(*given: Any, **named: Any) -> Any:
        told.append((await door.world.trigger_call("fails", keyed)).json()["id"])
        return await forward(*given, **named)

    monkeypatch.setattr(Intents, "forward", meanwhile)
    answer = await _whole(door, "/api/v2/tasks/batch", [{"task": "fails", **keyed}, bad])
    assert answer.status_code == 400
    assert (await door.read(told[0]))["status"] == "QUEUED"
    assert await _issued(door) == ["fails/asked"]
    assert await door.world.count("events") == 1
