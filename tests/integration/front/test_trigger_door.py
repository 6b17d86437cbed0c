"""What the Trigger.dev door records: the intent, the answer, and what each kind of answer makes of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any

import httpx
import orjson
import pytest

from api.front.afterwards import Afterwards
from api.front.application import FrontApp
from sandbox.serving import Served
from shadow.cutover.decision import Phase
from shadow.store.database import Work
from tests.integration.egress.world import until
from tests.integration.front.world import KEY, World, states
from tests.integration.originals import originals

BOTH_WAIT = ["legacy deliver due", "candidate deliver held"]


async def test_what_legacy_took_is_recorded_and_the_candidate_may_have_it(world: World) -> None:
    answer = await world.trigger_call()
    assert answer.status_code == 200
    run = answer.json()["id"]
    assert [record.id for record in world.trigger.runs()] == [run]
    assert answer.headers["x-trigger-jwt"]
    assert answer.headers["x-ratelimit-limit"]
    assert await world.runs() == [("legacy", "sent", run), ("candidate", "expected", None)]
    assert states(await world.dispatches()) == ["candidate deliver due"]
    assert await world.count("pairs") == 1
    assert await world.rows("SELECT name FROM events") == [("hello/said",)]
    (data,) = (await originals(world.database, "data")).values()
    assert orjson.loads(data) == {"n": 1}


async def test_the_wire_key_is_the_one_that_the_workers_would_use(world: World) -> None:
    world.trigger.traps.lose_responses = 1
    answer = await world.trigger_call(x_trigger_request_idempotency_key="r-1")
    assert answer.status_code == 500
    assert answer.headers["x-should-retry"]
    assert states(await world.dispatches()) == BOTH_WAIT
    ((kept,),) = await world.rows("SELECT idempotency_key FROM dispatches WHERE side = 'legacy'")
    assert world.trigger.runs()[0].idempotency_key == kept
    # not a minute away any more: the answer is to be found out soon
    ((soon,),) = await world.rows("SELECT due_at < now() + interval '10 seconds' FROM dispatches WHERE side = 'legacy'")
    assert soon


@pytest.mark.parametrize("manner", ["500", "close"])
async def test_an_sdk_that_comes_again_after_a_lost_answer_starts_no_second_run(world: World, manner: Any) -> None:
    world.trigger.traps.lose_responses = 1
    world.trigger.traps.lose_as = manner
    first = await world.trigger_call(x_trigger_request_idempotency_key="r-1")
    assert first.status_code >= 500
    second = await world.trigger_call(x_trigger_request_idempotency_key="r-1")
    assert second.status_code == 200
    assert len(world.trigger.runs()) == 1
    assert await world.count("events") == 1
    assert await world.runs() == [("legacy", "sent", second.json()["id"]), ("candidate", "expected", None)]
    assert states(await world.dispatches()) == ["candidate deliver due"]


@pytest.mark.parametrize("manner", ["500", "close"])
@pytest.mark.parametrize("path", ["/api/v1/tasks/hello/trigger", "/api/v1/tasks/batch", "/api/v2/tasks/batch"])
async def test_for_a_client_without_a_request_key_the_door_itself_asks_again(
    world: World, manner: Any, path: str
) -> None:
    world.trigger.traps.lose_responses = 1
    world.trigger.traps.lose_as = manner
    body: Any = {"payload": {}} if path.endswith("trigger") else {"items": [{"task": "hello", "payload": {}}]}
    answer = await world.client.post(path, json=body, headers=KEY)
    assert answer.status_code in (200, 202)
    assert len(world.trigger.runs()) == 1
    assert await world.count("events") == 1
    assert states(await world.dispatches()) == ["candidate deliver due"]


async def test_an_unreachable_platform_leaves_the_intent_to_the_workers(world: World) -> None:
    await world.trigger.stop()
    for _ in range(2):
        answer = await world.trigger_call(x_trigger_request_idempotency_key="r-1")
        assert (answer.status_code, answer.headers["x-should-retry"]) == (502, "true")
    assert states(await world.dispatches()) == BOTH_WAIT


async def test_a_call_that_would_not_be_recognised_is_the_clients_alone_while_nothing_was_sent(world: World) -> None:
    await world.trigger.stop()
    for _ in range(2):
        answer = await world.trigger_call()
        assert (answer.status_code, answer.headers["x-should-retry"]) == (502, "true")
    for table in ("events", "bodies", "dispatches", "dedupe_keys"):
        assert await world.count(table) == 0, table


@pytest.mark.parametrize("manner", ["500", "close"])
async def test_a_call_that_would_not_be_recognised_is_the_workers_alone_once_it_was_sent(
    world: World, manner: Any
) -> None:
    world.trigger.traps.lose_responses = 3
    world.trigger.traps.lose_as = manner
    answer = await world.trigger_call()
    assert answer.status_code >= 500
    assert answer.headers.get_list("x-should-retry") == ["false"]
    assert len(world.trigger.runs()) == 1
    assert states(await world.dispatches()) == BOTH_WAIT


async def test_a_call_with_hostile_options_hurts_no_other(world: World) -> None:
    options: list[dict[str, Any]] = [
        {"idempotencyKey": "a\x00b"},
        {"idempotencyKey": "k", "idempotencyKeyTTL": "99999999d"},
        {"delay": "9999-12-31T23:59:59Z"},
        {},
    ]
    bodies = [{"payload": {"n": 1}, "options": its} for its in options]
    answers = await asyncio.gather(*(world.trigger_call(body=body) for body in bodies))
    assert [answer.status_code for answer in answers] == [400, 200, 200, 200]
    assert await world.count("pairs") == 3


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"options": {"maxAttempts": "three"}}, 400),
        ({"options": {"tags": ["t"] * 11}}, 422),
    ],
)
async def test_what_legacy_refuses_is_not_recorded(world: World, body: Any, status: int) -> None:
    answer = await world.trigger_call(body=body, idempotency_key="mine")
    assert answer.status_code == status
    assert "error" in answer.json()
    for table in ("events", "bodies", "dispatches", "dedupe_keys", "runs"):
        assert await world.count(table) == 0, table
    # and the key is free for a call that is in order
    assert (await world.trigger_call(idempotency_key="mine")).status_code == 200
    assert await world.count("events") == 1


async def test_a_rate_limit_is_passed_back_and_leaves_nothing(world: World) -> None:
    world.trigger.traps.limit_per_window = 0
    answer = await world.trigger_call()
    assert answer.status_code == 429
    assert answer.headers["x-ratelimit-reset"]
    assert await world.count("events") == 0


async def test_a_cached_answer_is_the_existing_event(world: World) -> None:
    first = await world.trigger_call(idempotency_key="mine")
    second = await world.trigger_call(body={"payload": {"n": 2}}, idempotency_key="mine")
    assert second.json() == {"id": first.json()["id"], "isCached": True}
    assert await world.count("events") == 1
    assert states(await world.dispatches()) == ["candidate deliver due"]


async def test_a_key_from_before_shadow_is_nothing_new(world: World) -> None:
    direct = await world.services.http.post(
        f"{world.trigger.url}/api/v1/tasks/hello/trigger", json={}, headers={**KEY, "idempotency-key": "old"}
    )
    answer = await world.trigger_call(idempotency_key="old")
    assert answer.json() == {"id": direct.json()["id"], "isCached": True}
    assert await world.count("events") == 0
    assert await world.count("dispatches") == 0


async def test_a_key_that_the_platform_freed_is_a_new_event(world: World) -> None:
    first = await world.trigger_call("fails", {"options": {"maxAttempts": 1}}, idempotency_key="mine")
    await world.trigger.settled()
    second = await world.trigger_call("fails", {"options": {"maxAttempts": 1}}, idempotency_key="mine")
    assert second.json()["isCached"] is False
    assert second.json()["id"] != first.json()["id"]
    assert await world.count("events") == 2
    legacy = {run for side, _state, run in await world.runs() if side == "legacy"}
    assert legacy == {first.json()["id"], second.json()["id"]}
    # from now on the key stands for the newer one
    ((holder,),) = await world.rows(
        "SELECT runs.platform_run_id FROM dedupe_keys JOIN runs USING (event_id) WHERE side = 'legacy'"
    )
    assert holder == second.json()["id"]


async def test_debounced_calls_that_share_a_run_are_one_event(world: World) -> None:
    body = {"payload": {}, "options": {"debounce": {"key": "d", "delay": "1h"}}}
    first = await world.trigger_call(body=body)
    second = await world.trigger_call(body=body)
    assert first.json()["id"] == second.json()["id"]
    assert await world.count("events") == 1


async def test_many_calls_with_one_key_at_once_are_one_event(world: World) -> None:
    answers = await asyncio.gather(*(world.trigger_call(idempotency_key="mine") for _ in range(8)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await world.count("events") == 1
    assert len(world.trigger.runs()) == 1


async def test_in_phase_legacy_the_run_is_recorded_and_not_mirrored(world: World) -> None:
    world.routing.phase = Phase.LEGACY
    answer = await world.trigger_call()
    assert await world.runs() == [("legacy", "sent", answer.json()["id"])]
    assert await world.dispatches() == []
    assert await world.count("pairs") == 0


# ---------------------------------------------------------------- batches

ITEMS: list[dict[str, Any]] = [
    {"task": "hello", "payload": {"n": 0}},
    {"task": "fails", "payload": {"n": 1}, "options": {"idempotencyKey": "mine", "maxAttempts": 1}},
]


async def test_a_v1_batch_names_its_runs(world: World) -> None:
    answer = await world.client.post("/api/v1/tasks/batch", json={"items": ITEMS}, headers=KEY)
    assert answer.status_code == 202
    named = {run["id"] for run in answer.json()["runs"]}
    assert {run for side, _state, run in await world.runs() if side == "legacy"} == named
    assert states(await world.dispatches()) == ["candidate deliver due"] * 2
    keys = {record.task: record.idempotency_key for record in world.trigger.runs()}
    assert keys["fails"] == "mine"
    assert keys["hello"] is not None


async def test_the_oldest_batch_lists_its_runs(world: World) -> None:
    body = {"items": [{"payload": 1}, {"payload": {"n": 2}}]}
    answer = await world.client.post("/api/v1/tasks/hello/batch", json=body, headers=KEY)
    assert answer.status_code == 200
    assert {run for side, _state, run in await world.runs() if side == "legacy"} == set(answer.json()["runs"])
    # a payload that makes no event data is a dead letter for the candidate, and runs on legacy all the same
    assert sorted(states(await world.dispatches())) == ["candidate deliver dead", "candidate deliver due"]


async def test_an_offloaded_payload_is_passed_on_at_once_and_read_later(world: World) -> None:
    put = await world.client.put("/api/v2/packets/trigger%2Fhello%2F1%2Fpayload.json", headers=KEY)
    await world.services.http.put(
        put.json()["presignedUrl"], content=b'{"n":1}', headers={"content-type": "application/json"}
    )
    stored = {"payload": put.json()["storagePath"], "options": {"payloadType": "application/store"}}
    body = orjson.dumps(stored)
    path = "/api/v1/tasks/hello/trigger"
    answer = await world.client.post(path, content=body, headers={**KEY, "content-type": "application/json"})
    assert answer.status_code == 200
    assert world.requests[-1].content == body
    batch = {"items": [{"task": "hello", **stored}, {"task": "hello", "payload": {"n": 2}}]}
    assert (await world.client.post("/api/v1/tasks/batch", json=batch, headers=KEY)).status_code == 202
    await world.trigger.settled()
    assert [record.payload["n"] for record in world.trigger.runs()] == [1, 1, 2]
    # the candidate's hand-over waits for what lies there, which the workers fetch
    assert sorted(states(await world.dispatches())) == ["candidate deliver due"] + ["candidate map due"] * 2


async def test_a_v2_batch_is_found_by_its_keys(world: World) -> None:
    answer = await world.client.post("/api/v2/tasks/batch", json={"items": ITEMS}, headers=KEY)
    assert answer.status_code == 202
    assert states(await world.dispatches()) == ["candidate deliver due"] * 2
    keys = {f"key:{record.task}:{record.idempotency_key}" for record in world.trigger.runs()}
    assert {alias for (alias,) in await world.rows("SELECT alias FROM run_aliases")} == keys
    assert [(side, state) for side, state, _run in await world.runs()].count(("legacy", "sent")) == 2


@pytest.mark.parametrize("path", ["/api/v1/tasks/batch", "/api/v2/tasks/batch"])
async def test_a_batch_that_is_sent_again_is_the_same_events(world: World, path: str) -> None:
    headers = {**KEY, "idempotency-key": "the-batch"}
    for _ in range(2):
        answer = await world.client.post(path, json={"items": ITEMS}, headers=headers)
        assert answer.status_code == 202
    assert await world.count("events") == 2
    assert len(world.trigger.runs()) == 2


async def test_a_refused_batch_leaves_nothing(world: World) -> None:
    items = [*ITEMS, {"task": "hello", "options": {"maxAttempts": "x"}}]
    answer = await world.client.post("/api/v2/tasks/batch", json={"items": items}, headers=KEY)
    assert answer.status_code == 400
    assert await world.count("events") == 0
    assert await world.count("dispatches") == 0


async def test_a_two_phase_batch_is_recorded_by_its_lines(world: World) -> None:
    made = await world.client.post("/api/v3/batches", json={"runCount": 2}, headers=KEY)
    assert made.status_code == 202
    lines = b"".join(
        orjson.dumps({"index": index, **item, "payload": orjson.dumps({"json": item["payload"]}).decode()}) + b"\n"
        for index, item in enumerate(
            {**item, "options": {**item.get("options", {}), "payloadType": "application/super+json"}} for item in ITEMS
        )
    )

    async def stream() -> Any:
        yield lines[:20]
        yield lines[20:]

    answer = await world.client.post(
        f"/api/v3/batches/{made.json()['id']}/items",
        content=stream(),
        headers={**KEY, "content-type": "application/x-ndjson"},
    )
    assert answer.json()["sealed"] is True
    assert states(await world.dispatches()) == ["candidate deliver due"] * 2
    assert {record.idempotency_key is not None for record in world.trigger.runs()} == {True}
    assert await world.count("run_aliases") == 2
    assert {record.payload["n"] for record in world.trigger.runs()} == {0, 1}


async def test_a_lost_batch_answer_leaves_its_intents_to_the_workers(world: World) -> None:
    world.trigger.traps.lose_responses = 1
    headers = {**KEY, "x-trigger-request-idempotency-key": "r-1"}
    answer = await world.client.post("/api/v2/tasks/batch", json={"items": ITEMS}, headers=headers)
    assert answer.status_code == 500
    assert sorted(states(await world.dispatches())) == sorted(BOTH_WAIT * 2)


# ---------------------------------------------------------------- changes of runs


async def delayed(world: World) -> str:
    answer = await world.trigger_call(body={"payload": {}, "options": {"delay": "1h"}})
    return str(answer.json()["id"])


async def test_a_cancelled_run_has_its_twin_cancelled_and_is_no_evidence(world: World) -> None:
    run = await delayed(world)
    answer = await world.client.post(f"/api/v2/runs/{run}/cancel", headers=KEY)
    assert (answer.status_code, answer.json()) == (200, {"id": run})
    assert world.trigger.runs()[0].status == "CANCELED"
    assert sorted(states(await world.dispatches())) == ["candidate cancel due", "candidate deliver due"]
    assert await world.rows("SELECT incomparable FROM pairs") == [("changed_by_producer",)]
    assert [row[0].version for row in await world.rows("SELECT id FROM dispatches")] == [7, 7]
    # a second time adds nothing
    await world.client.post(f"/api/v2/runs/{run}/cancel", headers=KEY)
    assert await world.count("dispatches") == 2


async def test_a_run_that_is_moved_before_the_candidate_was_told_moves_its_twin_too(world: World) -> None:
    run = await delayed(world)
    answer = await world.client.post(f"/api/v1/runs/{run}/reschedule", json={"delay": "2h"}, headers=KEY)
    assert answer.status_code == 200
    moved = datetime.fromisoformat(answer.json()["delayedUntil"])
    assert await world.rows("SELECT scheduled_at FROM events") == [(moved,)]
    assert await world.rows("SELECT DISTINCT scheduled_at FROM runs") == [(moved,)]
    ((deadline, due_now, incomparable),) = await world.rows(
        "SELECT deadline_at, due_at <= now(), incomparable FROM pairs"
    )
    assert (deadline, due_now, incomparable) == (moved + world.catalogue.tasks["hello"].deadline, True, None)
    assert states(await world.dispatches()) == ["candidate deliver due"]
    ((asked,),) = await world.rows("SELECT poll_at FROM runs WHERE side = 'legacy'")
    assert asked > moved


@pytest.mark.parametrize("change", ["attempts = 1", "lease = id", "state = 'dead'"])
async def test_a_run_that_is_moved_after_the_candidate_was_told_is_no_evidence(world: World, change: str) -> None:
    run = await delayed(world)
    await world.rows(f"UPDATE dispatches SET {change} RETURNING id")
    before = await world.rows("SELECT scheduled_at FROM events")
    answer = await world.client.post(f"/api/v1/runs/{run}/reschedule", json={"delay": "2h"}, headers=KEY)
    assert answer.status_code == 200
    assert await world.rows("SELECT incomparable FROM pairs") == [("changed_by_producer",)]
    assert await world.rows("SELECT scheduled_at FROM events") == before


async def test_a_change_that_cannot_be_written_down_is_not_passed_on(world: World) -> None:
    run = await delayed(world)
    await world.services.afterwards.finish()
    async with world.database.connection(Work.CONTROL) as connection:
        await connection.execute("ALTER TABLE pairs RENAME TO elsewhere")
    try:
        answer = await world.client.post(f"/api/v2/runs/{run}/cancel", headers=KEY)
    finally:
        async with world.database.connection(Work.CONTROL) as connection:
            await connection.execute("ALTER TABLE elsewhere RENAME TO pairs")
    assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "true")
    assert world.trigger.runs()[0].status == "DELAYED"


@pytest.mark.parametrize("process", ["the same", "another"])
async def test_a_run_whose_answer_is_not_written_down_yet_is_known_when_it_is_cancelled(
    world: World, process: str
) -> None:
    services = replace(world.services, afterwards=Afterwards()) if process == "another" else world.services
    async with Served(FrontApp(services)) as front, httpx.AsyncClient(base_url=front.url, timeout=30) as client:
        async with world.database.connection(Work.CONTROL) as connection:
            await connection.execute("LOCK TABLE run_aliases IN SHARE MODE")  # nobody writes a run's name meanwhile
            run = await delayed(world)
            cancelling = asyncio.create_task(client.post(f"/api/v2/runs/{run}/cancel", headers=KEY))
            if process == "another":
                await until(lambda: asyncio.sleep(0, world.trigger.runs()[0].status != "DELAYED"))
            else:
                await asyncio.sleep(0.1)
                assert world.trigger.runs()[0].status == "DELAYED"
        assert (await cancelling).status_code == 200
    assert await world.rows("SELECT incomparable FROM pairs") == [("changed_by_producer",)]
    assert sorted(states(await world.dispatches())) == ["candidate cancel due", "candidate deliver due"]


@pytest.mark.parametrize("path", ["/api/v2/runs/{run}/cancel", "/api/v1/runs/{run}/reschedule"])
async def test_a_change_whose_answer_is_lost_counts_as_done(world: World, path: str) -> None:
    run = await delayed(world)

    async def lost(response: httpx.Response) -> None:
        raise httpx.ReadError("lost on the way")

    world.services.http.event_hooks["response"] = [lost]
    answer = await world.client.post(path.format(run=run), json={"delay": "2h"}, headers=KEY)
    assert answer.status_code == 502
    assert await world.rows("SELECT incomparable FROM pairs") == [("changed_by_producer",)]
    # the twin is left to the SDK's next try, and then to the workers
    cancelling = await world.rows("SELECT state, due_at > now() FROM dispatches WHERE stage = 'cancel'")
    assert cancelling == ([("due", True)] if "cancel" in path else [])


async def test_a_change_that_reached_nobody_is_taken_back(world: World) -> None:
    run = await delayed(world)
    await world.trigger.stop()
    assert (await world.client.post(f"/api/v2/runs/{run}/cancel", headers=KEY)).status_code == 502
    assert await world.rows("SELECT incomparable FROM pairs") == [(None,)]
    assert states(await world.dispatches()) == ["candidate deliver due"]


async def test_a_second_change_that_is_refused_leaves_the_first_standing(world: World) -> None:
    run = await delayed(world)
    await world.client.post(f"/api/v2/runs/{run}/cancel", headers=KEY)
    answer = await world.client.post(f"/api/v1/runs/{run}/reschedule", json={"delay": "2h"}, headers=KEY)
    assert answer.status_code == 400
    assert await world.rows("SELECT incomparable FROM pairs") == [("changed_by_producer",)]


async def batched(world: World, **options: Any) -> str:
    """A delayed run of a batch whose answer names no runs; returns its id, as only the platform knows it."""
    items = [{"task": "hello", "payload": {}, "options": {"delay": "1h", **options}}]
    answer = await world.client.post("/api/v2/tasks/batch", json={"items": items}, headers=KEY)
    assert answer.status_code == 202
    return world.trigger.runs()[-1].id


@pytest.mark.parametrize(
    "options", [{}, {"idempotencyKey": "0f" * 32, "idempotencyKeyOptions": {"key": "order-1", "scope": "global"}}]
)
async def test_a_run_of_a_batch_is_known_by_its_key_when_it_is_cancelled(world: World, options: Any) -> None:
    run = await batched(world, **options)
    assert await world.rows("SELECT platform_run_id FROM runs WHERE side = 'legacy'") == [(None,)]
    assert (await world.client.post(f"/api/v2/runs/{run}/cancel", headers=KEY)).status_code == 200
    assert await world.rows("SELECT platform_run_id FROM runs WHERE side = 'legacy'") == [(run,)]
    assert await world.rows("SELECT incomparable FROM pairs") == [("changed_by_producer",)]
    ((due,),) = await world.rows("SELECT due_at <= now() FROM dispatches WHERE stage = 'cancel'")
    assert due
    reads = [request for request in world.requests if request.method == "GET"]
    assert [request.headers["authorization"] for request in reads] == [KEY["authorization"]]


async def test_a_run_of_a_batch_is_known_by_its_key_when_it_is_moved(world: World) -> None:
    run = await batched(world)
    answer = await world.client.post(f"/api/v1/runs/{run}/reschedule", json={"delay": "2h"}, headers=KEY)
    moved = datetime.fromisoformat(answer.json()["delayedUntil"])
    assert await world.rows("SELECT scheduled_at FROM events") == [(moved,)]


async def test_a_run_that_cannot_be_read_yet_is_known_once_it_was_cancelled(world: World) -> None:
    run = await batched(world)
    reads: list[int] = []

    async def lagging(response: httpx.Response) -> None:
        if response.request.method == "GET":
            response.status_code = response.status_code if reads else 404
            reads.append(response.status_code)

    world.services.http.event_hooks["response"] = [lagging]
    assert (await world.client.post(f"/api/v2/runs/{run}/cancel", headers=KEY)).status_code == 200
    assert reads == [404, 200]
    assert await world.rows("SELECT incomparable FROM pairs") == [("changed_by_producer",)]


async def test_an_earlier_run_with_the_same_key_is_not_taken_for_the_batchs(world: World) -> None:
    run = await batched(world, idempotencyKey="mine")
    await world.rows("UPDATE events SET accepted_at = now() + interval '1 hour' RETURNING id")
    assert (await world.client.post(f"/api/v2/runs/{run}/cancel", headers=KEY)).status_code == 200
    assert await world.rows("SELECT platform_run_id FROM runs WHERE side = 'legacy'") == [(None,)]


async def test_a_change_that_is_refused_changes_nothing(world: World) -> None:
    await world.trigger_call()
    await world.trigger.settled()
    run = world.trigger.runs()[0].id
    answer = await world.client.post(f"/api/v1/runs/{run}/reschedule", json={"delay": "2h"}, headers=KEY)
    assert answer.status_code == 400
    answer = await world.client.post("/api/v2/runs/run_unknown/cancel", headers=KEY)
    assert answer.status_code == 404
    assert await world.rows("SELECT incomparable FROM pairs") == [(None,)]


async def test_a_change_is_passed_on_with_its_query(world: World) -> None:
    run = await delayed(world)
    await world.client.post(f"/api/v2/runs/{run}/cancel?because=%2Fwhy&x", headers=KEY)
    assert world.requests[-1].url.raw_path == f"/api/v2/runs/{run}/cancel?because=%2Fwhy&x".encode()


async def test_a_replayed_run_is_known_and_belongs_to_no_event(world: World) -> None:
    await world.trigger_call()
    await world.trigger.settled()
    first = world.trigger.runs()[0].id
    answer = await world.client.post(f"/api/v1/runs/{first}/replay", headers=KEY)
    replayed = answer.json()["id"]
    assert await world.rows("SELECT event_id, pair_id FROM runs WHERE platform_run_id = %s", replayed) == [(None, None)]
    assert await world.count("events") == 1


@pytest.mark.parametrize(
    ("phase", "original", "replay"),
    [
        (Phase.LEGACY, "real", "real"),
        (Phase.SHADOW, "real", "real"),
        (Phase.SHADOW, "none", "none"),
        (Phase.RAMP, "none", "none"),
        (Phase.LIVE, "none", "none"),
        (Phase.RETIRED, "none", "none"),
    ],
)
async def test_a_replay_is_real_if_the_first_was_and_legacy_has_the_route_still(
    world: World, phase: Phase, original: str, replay: str
) -> None:
    await world.trigger_call()
    await world.trigger.settled()
    first = world.trigger.runs()[0].id
    ((run,),) = await world.rows(
        "UPDATE runs SET authority = %s WHERE platform_run_id = %s RETURNING id", original, first
    )
    world.routing.phase = phase
    answer = await world.client.post(f"/api/v1/runs/{first}/replay", headers=KEY)
    rows = await world.rows(
        "SELECT authority, parent_run, decided FROM runs WHERE platform_run_id = %s", answer.json()["id"]
    )
    assert rows == [(replay, run, True)]
    assert await world.count("expected_replays") == 0  # nobody is to wait for it any more


async def test_a_replay_of_a_run_without_authority_is_written_down_before_it_is_asked_for(world: World) -> None:
    """Its run may call out before the platform's answer has come, or instead of it."""
    await world.trigger_call()
    await world.trigger.settled()
    first = world.trigger.runs()[0].id
    ((run,),) = await world.rows("UPDATE runs SET authority = 'none' WHERE platform_run_id = %s RETURNING id", first)

    async def lost(response: httpx.Response) -> None:
        raise httpx.ReadError("lost on the way")

    world.services.http.event_hooks["response"] = [lost]
    assert (await world.client.post(f"/api/v1/runs/{first}/replay", headers=KEY)).status_code == 502
    world.services.http.event_hooks["response"] = []
    assert await world.rows("SELECT task, original FROM expected_replays") == [("hello", run)]
    await world.rows("DELETE FROM expected_replays RETURNING id")
    # What the platform refuses starts nothing.
    refused = await world.client.post(f"/api/v1/runs/{first}/replay", headers={**KEY, "authorization": "Bearer wrong"})
    assert refused.status_code == 401
    assert await world.count("expected_replays") == 0


async def test_reads_pass_through(world: World) -> None:
    run = (await world.trigger_call()).json()["id"]
    answer = await world.client.get(f"/api/v3/runs/{run}", headers={**KEY, "x-trigger-api-version": "2025-07-16"})
    assert answer.json()["id"] == run
