"""Runs brought into a recorded state show the recorded members, in order, with the recorded values."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from sandbox.trigger_dev import PretendTriggerDev

from .conftest import CURRENT, Clients, new_platform, retrieve, trigger, until_status
from .transcripts import read

# Ids, times, measured durations and what follows from them, and stack traces differ from run to run.
_UNSTABLE = re.compile(
    r"id|.*At|delayedUntil|durationMs|.*[cC]ostInCents|region|version|runId|stackTrace|.*PresignedUrl|batchId"
)


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: "*" if _UNSTABLE.fullmatch(k) else _stable(v) for k, v in value.items()}
    return [_stable(item) for item in value] if isinstance(value, list) else value


def _assert_as_recorded(shown: dict[str, Any], name: str) -> None:
    recorded = read(name).json
    assert list(shown) == list(recorded)
    assert _stable(shown) == _stable(recorded)


@pytest.mark.parametrize(
    ("name", "task", "payload", "options"),
    [
        ("hello-03-COMPLETED", "hello", {"name": "alice"}, {}),
        ("aborts-03-FAILED", "aborts", {}, {}),
        ("crashes-03-CRASHED", "crashes", {}, {}),
        ("timesout-03-TIMED_OUT", "times-out", {}, {}),
        # Unreadable or past delays, unknown parents and unreadable ttls are ignored.
        ("odd-delay_banana", "hello", {}, {"delay": "banana"}),
        ("odd-delay_past", "hello", {}, {"delay": "2020-01-01T00:00:00Z"}),
        ("odd-parent_none", "hello", {}, {"parentRunId": "run_cmwtzzzzz0000zzzzzzzzzzzz"}),
        ("odd-ttl_banana", "hello", {}, {"ttl": "banana"}),
        # Unknown tasks and queues are accepted and wait for a deploy.
        ("odd-queue_none", "hello", {}, {"queue": {"name": "does-not-exist"}}),
        ("odd-unknown_dev", "no-such-task", {}, {}),
        ("bigoutput-03-COMPLETED", "big-output", {"size": 700_000}, {}),
    ],
)
async def test_a_settled_development_run_shows_as_recorded(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient, name: str, task: str, payload: Any, options: Any
) -> None:
    run_id = await trigger(dev, task, payload, **options)
    await pretend.settled()
    _assert_as_recorded(await retrieve(dev, run_id), name)


async def test_a_failed_run_shows_its_last_error_and_all_attempts(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    run_id = await trigger(dev, "fails", {"x": 1})
    await pretend.settled()
    shown = await retrieve(dev, run_id)
    # Only the exception's class name is Python's.
    assert shown["error"].pop("name") == "RuntimeError"
    recorded = read("fails-06-FAILED").json
    assert recorded["error"].pop("name") == "Error"
    assert list(shown) == list(recorded)
    assert _stable(shown) == _stable(recorded)


@pytest.mark.parametrize("name", ["v2-timedout"])
async def test_a_run_over_its_time_is_not_completed(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient, name: str
) -> None:
    run_id = await trigger(dev, "times-out")
    await pretend.settled()
    shown = await retrieve(dev, run_id, **CURRENT)
    _assert_as_recorded(shown, name)
    assert shown["isCompleted"] is False


async def test_a_production_run_has_no_ttl_and_costs_what_its_duration_costs(
    pretend: PretendTriggerDev, prod: httpx.AsyncClient
) -> None:
    run_id = await trigger(prod, "hello", {"name": "prod"})
    await pretend.settled()
    shown = await retrieve(prod, run_id)
    recorded = read("prod-hello-03-COMPLETED").json
    shown["output"].pop("runId")
    assert _stable(shown) == _stable(recorded)
    price = recorded["costInCents"] / recorded["durationMs"]
    assert shown["costInCents"] == pytest.approx(shown["durationMs"] * price, rel=1e-3)
    assert shown["baseCostInCents"] == recorded["baseCostInCents"]
    assert shown["region"] == recorded["region"]


async def test_the_states_before_the_end_show_as_recorded(clients: Clients) -> None:
    pretend = new_platform(latency=0.05)
    dev = clients(pretend)
    run_id = await trigger(dev, "hello", {"name": "v2"})
    _assert_as_recorded(await retrieve(dev, run_id) | {"payload": {"name": "alice"}}, "hello-01-QUEUED")
    _assert_as_recorded(await until_status(dev, run_id, "DEQUEUED"), "v2-hello-02-DEQUEUED")
    # The old vocabulary has no DEQUEUED.
    assert (await retrieve(dev, run_id))["status"] == "EXECUTING"
    _assert_as_recorded(await until_status(dev, run_id, "COMPLETED"), "v2-hello-04-COMPLETED")
    await pretend.stop()


async def test_a_waiting_production_run_is_frozen_in_the_old_vocabulary(
    pretend: PretendTriggerDev, prod: httpx.AsyncClient
) -> None:
    run_id = await trigger(prod, "waits", {"seconds": 6})
    shown = await until_status(prod, run_id, "WAITING")
    _assert_as_recorded(shown, "prod-waits-v20250716-03-WAITING")
    _assert_as_recorded(await retrieve(prod, run_id), "prod-waits-noversion-03-FROZEN")


async def test_a_delayed_run_counts_as_queued(dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "hello", {"name": "delayed"}, delay="4s")
    _assert_as_recorded(await retrieve(dev, run_id), "delayed-01-DELAYED")


async def test_a_run_cancelled_while_delayed_never_shows_an_end(dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "hello", {"name": "later"}, delay="1h", ttl="2h")
    assert (await dev.post(f"/api/v2/runs/{run_id}/cancel")).json() == {"id": run_id}
    shown = await retrieve(dev, run_id)
    _assert_as_recorded(shown, "cancelled-delayed-later")
    assert "finishedAt" not in shown


async def test_a_run_cancelled_while_executing_ends_a_moment_later(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    run_id = await trigger(dev, "slow", {"seconds": 60})
    await until_status(dev, run_id, "EXECUTING")
    await dev.post(f"/api/v2/runs/{run_id}/cancel")
    await pretend.settled()
    _assert_as_recorded(await retrieve(dev, run_id), "slowcancel-later")


async def test_a_run_expires_in_its_queue(clients: Clients) -> None:
    pretend = new_platform(concurrency=1)
    dev = clients(pretend)
    await trigger(dev, "slow", {"seconds": 60})
    run_id = await trigger(dev, "hello", {"name": "exp"}, ttl="1s")
    shown = await until_status(dev, run_id, "EXPIRED")
    recorded = read("expired-02-EXPIRED").json
    assert shown.pop("error") == {"message": "Run expired because the TTL (1s) was reached"}
    assert recorded.pop("error") == {"message": "Run expired because the TTL (5s) was reached"}
    assert (shown.pop("ttl"), recorded.pop("ttl")) == ("1s", "5s")
    assert _stable(shown) == _stable(recorded)
    await pretend.stop()


async def test_metadata_and_sorted_tags_show_as_recorded(dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "meta", {}, tags=["user_1", "a:b"], metadata={"m": 1}, machine="small-2x")
    _assert_as_recorded(await retrieve(dev, run_id), "meta-01-QUEUED")


async def test_a_payload_over_half_a_mebibyte_is_shown_by_address(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    run_id = await trigger(dev, "hello", {"name": "x" * 600_000})
    shown = await retrieve(dev, run_id)
    _assert_as_recorded(shown, "bigpayload-01-QUEUED")
    fetched = await dev.get(shown["payloadPresignedUrl"])
    assert fetched.json() == {"name": "x" * 600_000}


async def test_a_child_shows_as_recorded_in_its_parent(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "parent", {})
    await pretend.settled()
    parent = await retrieve(dev, run_id)
    recorded = read("parent-03-COMPLETED").json
    child, recorded_child = parent["relatedRuns"]["children"][0], recorded["relatedRuns"]["children"][0]
    assert list(child) == list(recorded_child)
    # The recorded one was waited for.
    recorded_child["triggerFunction"] = "trigger"
    assert _stable(child) == _stable(recorded_child)
    own = await retrieve(dev, child["id"])
    assert own["relatedRuns"]["parent"]["id"] == own["relatedRuns"]["root"]["id"] == run_id
    assert own["depth"] == 1


async def test_the_list_shows_as_recorded(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    await trigger(dev, "hello")
    await trigger(dev, "hello")
    await trigger(dev, "hello", idempotencyKey="k")
    await pretend.settled()
    shown = (await dev.get("/api/v1/runs", params={"page[size]": 2})).json()
    recorded = read("list-page").json
    for item, recorded_item in zip(shown["data"], recorded["data"], strict=True):
        assert list(item) == list(recorded_item)
        assert _stable(item) == _stable(recorded_item)
    assert list(shown["pagination"]) == list(recorded["pagination"]) == ["next"]


async def test_trace_and_events_have_the_recorded_form(pretend: PretendTriggerDev, dev: httpx.AsyncClient) -> None:
    run_id = await trigger(dev, "hello")
    await pretend.settled()
    shown = (await dev.get(f"/api/v1/runs/{run_id}/trace")).json()["trace"]
    recorded = read("trace").json["trace"]
    assert set(shown) == set(recorded)
    attempt, recorded_attempt = (
        next(span for span in trace["rootSpan"]["children"] if span["data"]["message"] == "Attempt 1")
        for trace in (shown, recorded)
    )
    assert set(attempt) == set(recorded_attempt)
    assert set(attempt["data"]) == set(recorded_attempt["data"])
    assert attempt["runId"] == run_id
    assert attempt["children"][0]["data"]["message"] == recorded_attempt["children"][0]["data"]["message"]
    events = (await dev.get(f"/api/v1/runs/{run_id}/events")).json()["events"]
    assert [set(event) for event in events] == [set(event) for event in read("events").json["events"][:3]]


async def test_a_run_with_an_outside_traceparent_has_no_trace(
    pretend: PretendTriggerDev, dev: httpx.AsyncClient
) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await dev.post("/api/v1/tasks/hello/trigger", json={"payload": {}}, headers={"traceparent": traceparent})
    trace = await dev.get(f"/api/v1/runs/{answer.json()['id']}/trace")
    recorded = read("otel-tp-trace")
    assert (trace.status_code, trace.content) == (recorded.status, recorded.answer)
