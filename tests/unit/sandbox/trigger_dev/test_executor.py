"""How runs are executed: whole-run retries, limits, cancelling, children, payload decoding."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest

from sandbox.trigger_dev import PretendTriggerDev, Retry, RunRecord, TaskContext, TaskPayloadParsedError

from .conftest import retrieve, trigger, until_status


def _run(pretend: PretendTriggerDev, run_id: str) -> RunRecord:
    return next(run for run in pretend.runs() if run.id == run_id)


@pytest.mark.parametrize(
    ("task", "status", "attempts"),
    [
        ("hello", "COMPLETED", 1),
        ("flaky", "COMPLETED", 2),
        ("fails", "FAILED", 3),
        # Never tried again.
        ("aborts", "FAILED", 1),
        ("crashes", "CRASHED", 1),
        ("times-out", "TIMED_OUT", 1),
    ],
)
async def test_a_run_ends_after_as_many_attempts_as_its_end_needs(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient, task: str, status: str, attempts: int
) -> None:
    run = _run(pretend, await trigger(dev, task))
    assert run.status == "QUEUED"
    await pretend.settled()
    ended = _run(pretend, run.id)
    assert (ended.status, ended.attempts) == (status, attempts)
    assert ended.created_at <= (ended.started_at or ended.created_at) <= (ended.finished_at or ended.created_at)


@pytest.mark.parametrize("most", [1, 2, 5])
async def test_the_triggers_attempts_win_over_the_tasks(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient, most: int
) -> None:
    run_id = await trigger(dev, "fails", maxAttempts=most)
    await pretend.settled()
    assert _run(pretend, run_id).attempts == most


def test_the_wait_between_attempts_grows_to_its_limit() -> None:
    retry = Retry(min_delay=0.5, factor=3.0, max_delay=4.0)
    assert [retry.delay(attempt) for attempt in (1, 2, 3, 4)] == [0.5, 1.5, 4.0, 4.0]


async def test_every_attempt_starts_from_the_top_with_the_same_run(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    seen: list[tuple[str, int, Any]] = []

    async def task(payload: Any, context: TaskContext) -> None:
        seen.append((context.run_id, context.attempt, payload["n"]))
        payload["n"] = "changed"
        raise ValueError("again")

    pretend.task("observed", task, retry=Retry(max_attempts=3, min_delay=0))
    run_id = await trigger(dev, "observed", {"n": 1})
    await pretend.settled()
    assert seen == [(run_id, 1, 1), (run_id, 2, 1), (run_id, 3, 1)]


async def test_a_payload_that_does_not_fit_is_not_retried(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    async def task(payload: Any, context: TaskContext) -> None:
        raise TaskPayloadParsedError("name is missing")

    pretend.task("strict", task)
    run_id = await trigger(dev, "strict")
    await pretend.settled()
    assert _run(pretend, run_id).attempts == 1


async def test_the_context_tells_the_task_what_its_run_is(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    contexts: list[TaskContext] = []

    async def task(payload: Any, context: TaskContext) -> None:
        contexts.append(context)

    pretend.task("contextual", task)
    run_id = await trigger(dev, "contextual", tags=["b", "a"], test=True, idempotencyKey="k")
    await pretend.settled()
    context = contexts[0]
    assert (context.run_id, context.task_id, context.attempt) == (run_id, "contextual", 1)
    assert (context.tags, context.is_test, context.version) == (("a", "b"), True, "20261124.1")
    assert (context.parent_run_id, context.environment, context.idempotency_key) == (None, "dev", "k")


async def test_a_parents_second_attempt_finds_the_child_of_its_first_by_the_key(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    keyed = await trigger(dev, "parent", {"failures": 1, "key": "c"})
    keyless = await trigger(dev, "parent", {"failures": 1})
    await pretend.settled()
    children = [[run for run in pretend.runs() if run.parent_id == parent] for parent in (keyed, keyless)]
    assert [len(found) for found in children] == [1, 2]
    assert children[0][0].root_id == keyed


async def test_children_can_be_delayed(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    due = datetime(2100, 1, 1, tzinfo=UTC)

    async def task(payload: Any, context: TaskContext) -> list[str]:
        return [await context.trigger("hello", {}, delay=delay) for delay in ("1h", 3600.0, due)]

    pretend.task("delays", task)
    run_id = await trigger(dev, "delays")
    await until_status(dev, run_id, "COMPLETED")
    children = (await retrieve(dev, run_id))["relatedRuns"]["children"]
    assert [child["status"] for child in children] == ["DELAYED"] * 3
    assert children[2]["delayedUntil"] == "2100-01-01T00:00:00.000Z"


async def test_a_childs_unreadable_delay_is_an_error(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    async def task(payload: Any, context: TaskContext) -> None:
        await context.trigger("hello", {}, delay="tomorrow")

    pretend.task("mistaken", task, retry=Retry(max_attempts=1))
    run_id = await trigger(dev, "mistaken")
    await pretend.settled()
    assert "'tomorrow'" in (await retrieve(dev, run_id))["error"]["message"]


async def test_a_task_gets_javascripts_types_back(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    payloads: list[Any] = []

    async def task(payload: Any, context: TaskContext) -> None:
        payloads.append(payload)

    pretend.task("typed", task)
    document = {
        "json": {"at": "2026-01-02T03:04:05.678Z", "n": "12"},
        "meta": {"values": {"at": ["Date"], "n": ["bigint"]}},
    }
    run_id = await trigger(dev, "typed", orjson.dumps(document).decode(), payloadType="application/super+json")
    await pretend.settled()
    assert payloads == [{"at": datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC), "n": 12}]
    # Reads show the plain part.
    assert (await retrieve(dev, run_id))["payload"] == document["json"]


async def test_an_encoded_type_without_text_loses_its_data(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "hello", {"name": "lost"}, payloadType="application/super+json")
    assert "payload" not in await retrieve(dev, run_id)


async def test_a_delayed_run_starts_when_it_is_due(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "hello", delay="1h")
    assert (await retrieve(dev, run_id))["status"] == "DELAYED"
    soon = datetime.now(UTC).timestamp() * 1000 + 30
    moved = await dev.post(
        f"/api/v1/runs/{run_id}/reschedule",
        json={"delay": datetime.fromtimestamp(soon / 1000, UTC).isoformat()},
    )
    assert moved.json()["status"] == "DELAYED"
    await until_status(dev, run_id, "COMPLETED")


async def test_a_queue_of_one_runs_one_after_the_other(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    first = await trigger(dev, "queued-one", {"seconds": 0.05})
    second = await trigger(dev, "queued-one", {"seconds": 0})
    await until_status(dev, first, "EXECUTING")
    assert (await retrieve(dev, second))["status"] == "QUEUED"
    await pretend.settled()
    a, b = _run(pretend, first), _run(pretend, second)
    assert a.finished_at is not None and b.started_at is not None
    assert a.finished_at <= b.started_at


async def test_priority_goes_before_age(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    order = []

    async def task(payload: Any, context: TaskContext) -> None:
        order.append(payload["n"])
        await asyncio.sleep(0.01)

    pretend.task("ordered", task, concurrency=1)
    for n, priority in ((1, 0), (2, 0), (3, 60)):
        await trigger(dev, "ordered", {"n": n}, priority=priority)
    await pretend.settled()
    assert order == [1, 3, 2]


async def test_cancelling_a_run_cancels_its_children(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    async def task(payload: Any, context: TaskContext) -> None:
        await context.trigger("slow", {"seconds": 60})
        await asyncio.sleep(60)

    pretend.task("family", task)
    run_id = await trigger(dev, "family")
    await until_status(dev, run_id, "EXECUTING")
    await dev.post(f"/api/v2/runs/{run_id}/cancel")
    await pretend.settled()
    assert [run.status for run in pretend.runs()] == ["CANCELED", "CANCELED"]


async def test_a_handler_that_swallows_its_cancellation_stays_cancelled(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    async def task(payload: Any, context: TaskContext) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "finished anyway"
        return "finished"

    pretend.task("stubborn", task)
    run_id = await trigger(dev, "stubborn")
    await until_status(dev, run_id, "EXECUTING")
    await dev.post(f"/api/v2/runs/{run_id}/cancel")
    await pretend.settled()
    run = _run(pretend, run_id)
    assert (run.status, run.output) == ("CANCELED", None)
    assert run.finished_at is not None


async def test_a_replay_is_a_new_run_without_the_key(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "hello", {"name": "again"}, tags=["t"], idempotencyKey="k")
    await pretend.settled()
    replayed = (await dev.post(f"/api/v1/runs/{run_id}/replay")).json()["id"]
    await pretend.settled()
    run = _run(pretend, replayed)
    assert replayed != run_id
    assert (run.payload, run.tags, run.idempotency_key) == ({"name": "again"}, ("t",), None)


async def test_a_deploy_starts_the_runs_that_waited_for_it(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "later", {"n": 1})
    await until_status(dev, run_id, "PENDING_VERSION")

    async def task(payload: Any, context: TaskContext) -> Any:
        return payload

    pretend.task("later", task)
    await pretend.settled()
    assert _run(pretend, run_id).output == {"n": 1}


async def test_stopping_abandons_live_runs(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "slow", {"seconds": 60})
    await until_status(dev, run_id, "EXECUTING")
    await pretend.stop()
    assert _run(pretend, run_id).status == "EXECUTING"
