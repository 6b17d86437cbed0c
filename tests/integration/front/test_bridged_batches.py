"""Batches of legacy's runs, some of whose items are the candidate's: split, and answered as one, for every SDK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest

from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase
from shadow.model.ids import derived_id
from tests.integration.front.world import WORKER, World

HEADERS = {"authorization": f"Bearer {WORKER}", "x-trigger-worker": "true"}
STAYS, MOVED, AGAIN = ({"task": task, "payload": {"n": n}} for task, n in (("hello", 0), ("fails", 1), ("hello", 2)))
MIXED = (STAYS, MOVED, AGAIN)
CANDIDATES = (MOVED, {"task": "fails", "payload": {"n": 3}})
ONE_CALL = ("/api/v1/tasks/batch", "/api/v2/tasks/batch")


@dataclass
class Parent:
    """A run of legacy with authority; the tasks that it starts have since moved, or not."""

    world: World
    run: str

    async def batch(self, path: str, items: Sequence[Any], **headers: str) -> httpx.Response:
        named = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.world.client.post(path, json={"items": list(items), "parentRunId": self.run}, headers=named)

    async def announce(self, count: int, **body: Any) -> httpx.Response:
        announced = {"runCount": count, "parentRunId": self.run, **body}
        return await self.world.client.post("/api/v3/batches", json=announced, headers=HEADERS)

    async def stream(self, batch: str, items: Sequence[Any]) -> httpx.Response:
        lines = b"\n".join(orjson.dumps({"index": index, **item}) for index, item in enumerate(items))
        return await self.world.client.post(
            f"/api/v3/batches/{batch}/items", content=lines, headers={**HEADERS, "content-type": "application/x-ndjson"}
        )

    async def read(self, path: str) -> httpx.Response:
        return await self.world.client.get(path, headers=HEADERS)

    def legacy(self) -> list[int]:
        """What Trigger.dev runs of the items."""
        return sorted(run.payload["n"] for run in self.world.trigger.runs() if run.id != self.run)

    async def candidate(self) -> list[tuple[Any, ...]]:
        """(task, authority, whose child) of what the candidate shall run."""
        return await self.world.rows(
            "SELECT event.task, event.authority, run.platform_run_id FROM events AS event"
            " JOIN runs AS run ON run.id = event.parent_run WHERE event.sides = ARRAY['candidate'] ORDER BY event.id"
        )

    async def waits(self) -> list[bool]:
        """Of each hand-over to the candidate, whether it rests."""
        rows = await self.world.rows("SELECT due_at > now() FROM dispatches WHERE side = 'candidate'")
        return [rests for (rests,) in rows]


@pytest.fixture
async def parent(world: World) -> Parent:
    world.routing.phase = Phase.LEGACY
    run = (await world.trigger_call(body={"payload": {"n": 99}})).json()["id"]
    await world.trigger.settled()
    world.routing.of["fails"] = Phase.LIVE
    return Parent(world, run)


@pytest.mark.parametrize("path", ONE_CALL)
async def test_a_mixed_batch_is_split_and_answered_as_one(parent: Parent, path: str) -> None:
    answer = await parent.batch(path, MIXED)
    assert answer.status_code == 202, answer.text
    if path == "/api/v1/tasks/batch":
        first, second, third = answer.json()["runs"]
        assert [run["taskIdentifier"] for run in (first, second, third)] == ["hello", "fails", "hello"]
        known = {run.id for run in parent.world.trigger.runs()}
        assert ({first["id"], third["id"]} <= known, second["id"] in known) == (True, False)
        assert second["id"].startswith("run_")
    else:
        assert answer.json()["runCount"] == 3
    assert parent.legacy() == [0, 2]
    assert await parent.candidate() == [("fails", "candidate", parent.run)]
    assert await parent.waits() == [False]


async def test_the_oldest_batch_has_one_task_and_is_bridged_whole(parent: Parent) -> None:
    answer = await parent.world.client.post(
        "/api/v1/tasks/fails/batch",
        json={"items": [{"payload": {"n": n}, "options": {"parentRunId": parent.run}} for n in (1, 2)]},
        headers=HEADERS,
    )
    assert answer.status_code == 200
    assert answer.json()["batchId"].startswith("batch_")
    assert len({run.removeprefix("run_") for run in answer.json()["runs"]}) == 2
    assert parent.legacy() == []
    assert len(await parent.candidate()) == 2


@pytest.mark.parametrize("path", ONE_CALL)
async def test_a_batch_that_is_the_candidates_alone_never_reaches_trigger_dev(parent: Parent, path: str) -> None:
    asked = len(parent.world.requests)
    answer = await parent.batch(path, CANDIDATES, idempotency_key="the-batch")
    assert answer.status_code == 202
    assert len(parent.world.requests) == asked
    assert f"read:batch:{answer.json()['id']}" in answer.headers["x-trigger-jwt-claims"]
    assert await parent.candidate() == [("fails", "candidate", parent.run)] * 2
    again = await parent.batch(path, CANDIDATES, idempotency_key="the-batch")
    assert again.json()["id"] == answer.json()["id"]
    assert len(await parent.candidate()) == 2


@pytest.mark.parametrize("tasks", [{}, {"taskIdentifiers": ["hello", "fails"]}])
async def test_a_two_phase_batch_is_announced_to_trigger_dev_once_its_part_is_known(
    parent: Parent, tasks: dict[str, Any]
) -> None:
    announced = await parent.announce(3, **tasks)
    assert (announced.status_code, announced.json()["isCached"]) == (202, False)
    name = announced.json()["id"]
    assert parent.world.trigger.runs()[1:] == []
    answer = await parent.stream(name, MIXED)
    assert answer.json() == {
        "id": name,
        "itemsAccepted": 3,
        "itemsDeduplicated": 0,
        "sealed": True,
        "runCount": 3,
    }
    await parent.world.trigger.settled()
    assert parent.legacy() == [0, 2]
    assert {run.parent_id for run in parent.world.trigger.runs()} == {None, parent.run}
    assert await parent.candidate() == [("fails", "candidate", parent.run)]
    # the SDK sends everything again, where the answer was lost
    again = await parent.stream(name, MIXED)
    assert (again.json()["sealed"], again.json()["itemsDeduplicated"]) == (True, 3)
    assert (len(parent.legacy()), len(await parent.candidate())) == (2, 1)


async def test_a_two_phase_batch_of_the_candidate_alone_is_ours(parent: Parent) -> None:
    asked = len(parent.world.requests)
    name = (await parent.announce(2, taskIdentifiers=["fails"])).json()["id"]
    assert (await parent.stream(name, CANDIDATES)).json()["sealed"] is True
    assert len(parent.world.requests) == asked
    assert len(await parent.candidate()) == 2


async def test_a_batch_that_comes_again_under_its_key_is_the_same(parent: Parent) -> None:
    first = (await parent.announce(3, idempotencyKey="batch-key")).json()
    assert (await parent.announce(3, idempotencyKey="batch-key")).json()["id"] == first["id"]
    await parent.stream(first["id"], MIXED)
    again = await parent.announce(3, idempotencyKey="batch-key")
    assert (again.status_code, again.json()["id"], again.json()["isCached"]) == (200, first["id"], True)


async def test_a_batch_whose_items_stay_is_trigger_devs_own_and_its_parent_is_known(parent: Parent) -> None:
    parent.world.routing.of.clear()
    announced = await parent.announce(2, taskIdentifiers=["hello"])
    assert (await parent.stream(announced.json()["id"], (STAYS, AGAIN))).json()["sealed"] is True
    await parent.world.trigger.settled()
    assert parent.legacy() == [0, 2]
    rows = await parent.world.rows(
        "SELECT run.platform_run_id, event.authority FROM events AS event"
        " JOIN runs AS run ON run.id = event.parent_run WHERE event.origin = 'legacy'"
    )
    assert rows == [(parent.run, "legacy")] * 2  # their lines do not name it


async def test_what_is_bridged_rests_on_disk_until_the_rest_has_been_taken(parent: Parent) -> None:
    """Should the process die meanwhile, both parts are the workers'."""
    seen: list[tuple[Any, ...]] = []

    async def look(request: httpx.Request) -> None:
        seen.extend(await parent.world.rows("SELECT side, due_at > now() FROM dispatches ORDER BY side"))

    parent.world.services.http.event_hooks["request"] = [look]
    assert (await parent.batch("/api/v2/tasks/batch", MIXED)).status_code == 202
    assert seen == [("candidate", True), ("legacy", True), ("legacy", True)]
    assert await parent.waits() == [False]


@pytest.mark.parametrize("path", ONE_CALL)
async def test_what_trigger_dev_refuses_starts_nothing_on_the_candidate(parent: Parent, path: str) -> None:
    bad = {"task": "hello", "payload": {}, "options": {"maxAttempts": "x"}}
    answer = await parent.batch(path, (MOVED, bad))
    assert answer.status_code == 400
    assert await parent.candidate() == []
    assert await parent.waits() == []


async def test_a_lost_answer_leaves_both_parts_to_the_workers_and_the_sdk_may_come_again(parent: Parent) -> None:
    parent.world.trigger.traps.lose_responses = 1
    key = {"x_trigger_request_idempotency_key": "r-1"}
    assert (await parent.batch("/api/v2/tasks/batch", MIXED, **key)).status_code == 500
    assert await parent.waits() == [False]
    answer = await parent.batch("/api/v2/tasks/batch", MIXED, **key)
    assert (answer.status_code, answer.json()["runCount"]) == (202, 3)
    assert parent.legacy() == [0, 2]
    assert len(await parent.candidate()) == 1


async def test_a_lost_announcement_of_legacys_part_is_made_again(parent: Parent) -> None:
    name = (await parent.announce(3)).json()["id"]
    parent.world.trigger.traps.lose_responses = 1
    assert (await parent.stream(name, MIXED)).status_code == 500
    assert (await parent.stream(name, MIXED)).json()["sealed"] is True
    await parent.world.trigger.settled()
    assert parent.legacy() == [0, 2]
    assert len(await parent.candidate()) == 1


async def test_what_was_legacys_when_it_was_first_asked_for_stays_legacys(parent: Parent) -> None:
    """The task moves before the run's next attempt asks for the same again, under the same key."""
    parent.world.routing.of.clear()
    keyed = [{**item, "options": {"idempotencyKey": f"item-{n}"}} for n, item in enumerate(MIXED)]
    first = await parent.batch("/api/v1/tasks/batch", keyed)
    parent.world.routing.of["fails"] = Phase.LIVE
    again = await parent.batch("/api/v1/tasks/batch", keyed)
    assert [run["id"] for run in again.json()["runs"]] == [run["id"] for run in first.json()["runs"]]
    assert await parent.candidate() == []


AWAITED = {"resumeParentOnCompletion": True}


@pytest.mark.parametrize("path", ONE_CALL)
async def test_a_run_that_waits_for_the_candidate_is_refused_for_good(parent: Parent, path: str) -> None:
    body = {"items": list(MIXED), "parentRunId": parent.run, **AWAITED}
    refused = await parent.world.client.post(path, json=body, headers=HEADERS)
    assert (refused.status_code, refused.headers["x-should-retry"]) == (503, "false")
    assert "waits for its result" in refused.json()["error"]
    early = await parent.announce(3, taskIdentifiers=["hello", "fails"], **AWAITED)
    assert (early.status_code, early.headers["x-should-retry"]) == (503, "false")
    assert (parent.legacy(), await parent.candidate()) == ([], [])


async def test_a_waiting_batch_that_stays_with_legacy_is_trigger_devs_own(parent: Parent) -> None:
    announced = await parent.announce(1, taskIdentifiers=["hello"], **AWAITED)
    assert (await parent.stream(announced.json()["id"], (STAYS,))).json()["sealed"] is True
    unsaid = await parent.announce(1, **AWAITED)  # an SDK that does not say the tasks
    assert (await parent.stream(unsaid.json()["id"], (AGAIN,))).json()["sealed"] is True
    refused = await parent.stream((await parent.announce(1, **AWAITED)).json()["id"], (MOVED,))
    assert (refused.status_code, refused.headers["x-should-retry"]) == (503, "false")
    await parent.world.trigger.settled()
    assert parent.legacy() == [0, 2]


async def test_a_batch_that_was_announced_before_the_move_is_to_be_started_again(parent: Parent) -> None:
    parent.world.routing.of.clear()
    name = (await parent.announce(3)).json()["id"]
    parent.world.routing.of["fails"] = Phase.LIVE
    refused = await parent.stream(name, MIXED)
    assert (refused.status_code, refused.headers["x-should-retry"]) == (503, "false")
    assert "start the batch again" in refused.json()["error"]
    assert (parent.legacy(), await parent.candidate()) == ([], [])


async def test_a_batch_whose_answer_was_lost_before_the_move_is_what_it_was(parent: Parent) -> None:
    """Its items come again, and are legacy's own as they were: run by the candidate too, they would run twice."""
    parent.world.routing.of.clear()
    name = (await parent.announce(3)).json()["id"]
    parent.world.trigger.traps.lose_responses = 1
    assert (await parent.stream(name, MIXED)).status_code == 500
    parent.world.routing.of["fails"] = Phase.LIVE
    again = await parent.stream(name, MIXED)
    assert again.status_code == 422  # says Trigger.dev, which has them all
    await parent.world.trigger.settled()
    assert (parent.legacy(), await parent.candidate()) == ([0, 1, 2], [])


async def test_a_run_that_waits_for_what_was_legacys_goes_on_waiting(parent: Parent) -> None:
    parent.world.routing.of.clear()
    options = {"parentRunId": parent.run, "idempotencyKey": "the-child", **AWAITED}
    body = {"payload": {"n": 1}, "options": options}
    first = await parent.world.client.post("/api/v1/tasks/hello/trigger", json=body, headers=HEADERS)
    parent.world.routing.of["hello"] = Phase.LIVE
    again = await parent.world.client.post("/api/v1/tasks/hello/trigger", json=body, headers=HEADERS)
    assert again.status_code == 200
    assert again.json() == {"id": first.json()["id"], "isCached": True}
    assert await parent.candidate() == []


async def test_an_announced_batch_takes_all_its_items_at_once(parent: Parent) -> None:
    name = (await parent.announce(3)).json()["id"]
    part = await parent.stream(name, MIXED[:2])
    assert (part.json()["sealed"], part.json()["expectedCount"]) == (False, 3)
    assert (await parent.stream(name, (*MIXED, STAYS))).status_code == 422
    assert (parent.legacy(), await parent.candidate()) == ([], [])


# ---------------------------------------------------------------- reading what was issued


async def test_a_split_batch_is_read_as_one(parent: Parent) -> None:
    name = (await parent.announce(3)).json()["id"]
    assert (await parent.read(f"/api/v2/batches/{name}")).json()["status"] == "PENDING"
    await parent.stream(name, MIXED)
    await parent.world.trigger.settled()
    read = (await parent.read(f"/api/v2/batches/{name}")).json()
    assert (read["id"], read["runCount"], len(read["runs"])) == (name, 3, 3)
    assert read["status"] == "PENDING"  # the candidate has not run yet
    await parent.world.rows(
        "INSERT INTO runs (id, event_id, task, side, platform, authority, state, status)"
        " SELECT %s, id, task, 'candidate', 'inngest', 'real', 'finished', 'failed' FROM events"
        " WHERE sides = ARRAY['candidate'] RETURNING id",
        await _run_of_the_candidate(parent),
    )
    assert (await parent.read(f"/api/v1/batches/{name}")).json()["status"] == "COMPLETED"


async def test_a_batch_of_trigger_devs_own_name_is_read_with_what_was_bridged(parent: Parent) -> None:
    answer = (await parent.batch("/api/v1/tasks/batch", MIXED)).json()
    read = (await parent.read(f"/api/v1/batches/{answer['id']}")).json()
    assert (read["runCount"], set(read["runs"])) == (3, {run["id"] for run in answer["runs"]})


async def test_an_issued_run_is_read_in_trigger_devs_shape(parent: Parent) -> None:
    (run,) = (await parent.batch("/api/v1/tasks/batch", (MOVED,))).json()["runs"]
    path = f"/api/v3/runs/{run['id']}"
    read = (await parent.read(path)).json()
    assert (read["id"], read["taskIdentifier"], read["status"]) == (run["id"], "fails", "QUEUED")
    assert (read["payload"], read["isQueued"], read["isCompleted"]) == ({"n": 1}, True, False)
    await parent.world.rows(
        "INSERT INTO runs (id, event_id, task, side, platform, authority, state, status, error_name, error_message,"
        " started_at, finished_at)"
        " SELECT %s, id, task, 'candidate', 'inngest', 'real', 'finished', 'failed', 'Error', 'no', now(), now()"
        " FROM events WHERE sides = ARRAY['candidate'] RETURNING id",
        await _run_of_the_candidate(parent),
    )
    read = (await parent.read(path)).json()
    assert (read["status"], read["isFailed"]) == ("FAILED", True)
    assert read["error"] == {"message": "no", "name": "Error"}


async def test_a_token_of_an_issued_batch_reads_it_and_nothing_else(parent: Parent) -> None:
    announced = await parent.announce(3)
    name = announced.json()["id"]
    await parent.stream(name, MIXED)
    token = {"authorization": f"Bearer {announced.headers['x-trigger-jwt']}"}
    read = await parent.world.client.get(f"/api/v2/batches/{name}", headers=token)
    assert (read.status_code, read.json()["runCount"]) == (200, 3)
    (run,) = (run for run in read.json()["runs"] if len(run) == len("run_") + 32)
    assert (await parent.world.client.get(f"/api/v3/runs/{run}", headers=token)).status_code == 403


async def test_what_was_issued_is_not_everybodys(parent: Parent) -> None:
    (run,) = (await parent.batch("/api/v1/tasks/batch", (MOVED,))).json()["runs"]
    answer = await parent.world.client.get(f"/api/v3/runs/{run['id']}", headers={"authorization": "Bearer tr_dev_x"})
    assert answer.status_code == 401
    unknown = await parent.read("/api/v3/runs/run_" + "0" * 32)
    assert unknown.status_code == 404  # says Trigger.dev


async def _run_of_the_candidate(parent: Parent) -> Any:
    ((event,),) = await parent.world.rows("SELECT id FROM events WHERE sides = ARRAY['candidate']")
    return derived_id(event, "fails", Side.CANDIDATE)
