"""How runs are driven: memoised steps, retries, parallel steps, waits, invocations, checkpoints, large
state, ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from sandbox.inngest import PretendInngest, RunRecord, RunStatus

from .apps import Answer, ScriptedApp, on, ran, started

GO = {"name": "go", "data": {"n": 1}}
FAILED = {"name": "Boom", "message": "it broke", "stack": "line 1"}


def function(**more: Any) -> dict[str, Any]:
    return {"id": "fn", "triggers": on("go"), **more}


async def run_once(
    answer: Callable[[dict[str, Any]], Answer], event: dict[str, Any] = GO, **more: Any
) -> tuple[RunRecord, ScriptedApp, PretendInngest]:
    """Drive one run of a scripted function to its end."""
    app = ScriptedApp({"commerce-fn": answer})
    async with started(app, function(**more)) as (inngest, client):
        await client.post("/e/k", json=event)
        await inngest.settled(5)
    return inngest.runs()[0], app, inngest


async def test_steps_are_memoised_and_given_back_in_the_order_in_which_they_ended() -> None:
    def answer(body: dict[str, Any]) -> Answer:
        done = body["ctx"]["stack"]["stack"]
        return (206, [ran(f"s{len(done)}", len(done))]) if len(done) < 3 else (200, body["steps"])

    run, app, _ = await run_once(answer)
    assert run.status is RunStatus.COMPLETED
    assert run.output == {"s0": {"data": 0}, "s1": {"data": 1}, "s2": {"data": 2}}
    assert [body["ctx"]["stack"] for body in app.bodies()] == [
        {"current": count, "stack": [f"s{number}" for number in range(count)]} for count in range(4)
    ]
    assert [step.output for step in run.steps] == [0, 1, 2]
    assert [body["version"] for body in app.bodies()] == [-1, 2, 2, 2]


@pytest.mark.parametrize(
    ("retries", "calls"),
    [(0, 1), (1, 2), (None, 5)],  # attempts are retries plus one; unset means four retries
)
async def test_a_failing_body_is_retried_and_then_fails(retries: int | None, calls: int) -> None:
    more: dict[str, Any] = {} if retries is None else {"retries": retries}
    run, app, inngest = await run_once(lambda body: (500, FAILED), **more)
    assert (run.status, run.output, run.calls, run.attempts) == (RunStatus.FAILED, FAILED, calls, calls)
    contexts = [body["ctx"] for body in app.bodies()]
    assert [context["attempt"] for context in contexts] == list(range(calls))
    assert [context["generation_id"] for context in contexts] == list(range(1, calls + 1))
    assert {context["max_attempts"] for context in contexts} == {calls}
    assert len({context["job_id"] for context in contexts}) == 1
    assert len({context["request_id"] for context in contexts}) == calls
    ends = {event.name: event for event in inngest.events() if event.name.startswith("inngest/")}
    assert set(ends) == {"inngest/function.finished", "inngest/function.failed"}
    assert ends["inngest/function.failed"].id == run.run_id
    data = ends["inngest/function.finished"].data
    assert data is not None
    assert data["error"] == {"error": "Boom", "name": "Boom", "message": "it broke", "stack": "line 1"}
    assert (data["result"], data["function_id"], data["run_id"]) == (FAILED, "commerce-fn", run.run_id)


async def test_a_failure_that_forbids_it_is_not_retried() -> None:
    run, _, _ = await run_once(lambda body: (400, FAILED, {"x-inngest-no-retry": "true"}))
    assert (run.status, run.calls) == (RunStatus.FAILED, 1)


async def test_an_app_that_cannot_be_reached_or_is_no_sdk_fails_the_run_visibly() -> None:
    def unreachable(body: dict[str, Any]) -> Answer:
        raise httpx.ConnectError("refused")

    run, _, _ = await run_once(unreachable, retries=0)
    assert run.output["message"] == "Unable to reach SDK URL: ConnectError"


async def test_a_step_is_retried_by_itself_and_a_new_job_starts_counting_anew() -> None:
    def answer(body: dict[str, Any]) -> Answer:
        if "s" in body["steps"]:
            return 200, body["ctx"]["attempt"]
        if body["ctx"]["attempt"] < 2:
            return 206, [{"op": "StepError", "id": "s", "name": "s", "error": FAILED}]
        return 206, [ran("s", "third time")]

    run, app, _ = await run_once(answer)
    assert (run.status, run.output, run.attempts) == (RunStatus.COMPLETED, 0, 3)
    assert (run.steps[0].attempts, run.steps[0].output) == (3, "third time")
    assert len({body["ctx"]["job_id"] for body in app.bodies()}) == 2


@pytest.mark.parametrize(
    ("op", "headers", "calls"),
    [
        ("StepFailed", {}, 2),  # final by itself
        ("StepError", {"x-inngest-no-retry": "true"}, 2),  # final by header
        ("StepError", {}, 3),  # final once its attempts are used up
    ],
)
async def test_a_step_that_failed_for_good_is_memoised_as_an_error(
    op: str, headers: dict[str, str], calls: int
) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        if "s" in body["steps"]:
            return 200, body["steps"]["s"]
        return 206, [{"op": op, "id": "s", "name": "s", "error": {**FAILED, "code": "unknown"}}], headers

    run, _, _ = await run_once(answer, retries=1)
    assert (run.status, run.output, run.calls) == (RunStatus.COMPLETED, {"error": FAILED}, calls)
    assert run.steps[0].error == FAILED


def parallel(body: dict[str, Any]) -> Answer:
    """Plans a and b together; each then runs by its own request."""
    steps = body["steps"]
    target = body["target"]
    if target != "step":
        return 206, [ran(target, target.upper())]
    if "a" in steps and "b" in steps:
        return 200, [steps["a"]["data"], steps["b"]["data"], body["ctx"]["disable_immediate_execution"]]
    missing = [name for name in ("a", "b") if name not in steps]
    return 206, [{"op": "StepPlanned", "id": name, "name": name} for name in missing]


@pytest.mark.parametrize(
    ("version", "discoveries"),
    [
        ("2", 2),  # waits for both steps before the body goes on
        ("1", 3),  # looks again after each step; what is pending is not planned twice
    ],
)
async def test_parallel_steps_are_planned_run_once_each_and_joined(version: str, discoveries: int) -> None:
    targets: list[str] = []

    class Parallel(ScriptedApp):
        async def _answer(self, request: httpx.Request) -> httpx.Response:
            target = request.url.params["stepId"]
            targets.append(target)
            if target == "b":
                await asyncio.sleep(0.05)
            status, content = parallel({**orjson.loads(request.content), "target": target})[:2]
            headers = {"x-inngest-sdk": "js:v4", "x-inngest-req-version": version}
            return httpx.Response(status, json=content, headers=headers)

    async with started(Parallel({}), function()) as (inngest, client):
        await client.post("/e/k", json=GO)
        await inngest.settled(5)
    run = inngest.runs()[0]
    assert (run.status, run.output) == (RunStatus.COMPLETED, ["A", "B", False])
    assert (targets.count("a"), targets.count("b"), targets.count("step")) == (1, 1, discoveries)


async def test_a_sleep_is_scaled_and_memoised_as_null() -> None:
    def answer(body: dict[str, Any]) -> Answer:
        if "s" in body["steps"]:
            return 200, body["steps"]
        return 206, [{"op": "Sleep", "id": "s", "name": "1d"}]

    app = ScriptedApp({"commerce-fn": answer})
    async with started(app, function(), time_scale=1e-6) as (inngest, client):
        await client.post("/e/k", json=GO)
        await inngest.settled(5)
        assert inngest.runs()[0].output == {"s": None}


def waiting(body: dict[str, Any]) -> Answer:
    if "w" in body["steps"]:
        return 200, body["steps"]["w"]
    opts = {"timeout": "1m", "if": "event.data.n == async.data.n"}
    return 206, [{"op": "WaitForEvent", "id": "w", "name": "answer", "opts": opts}]


async def test_a_wait_takes_the_first_event_that_fits_and_gives_it_whole() -> None:
    async with started(ScriptedApp({"commerce-fn": waiting}), function()) as (inngest, client):
        await client.post("/e/k", json=GO)
        await asyncio.sleep(0.05)
        for number in (2, 1):
            await client.post("/e/k", json={"name": "answer", "data": {"n": number}})
        await inngest.settled(5)
        output = inngest.runs()[0].output
        assert (output["name"], output["data"], output["user"]) == ("answer", {"n": 1}, {})


async def test_a_wait_that_times_out_gives_null() -> None:
    async with started(ScriptedApp({"commerce-fn": waiting}), function(), time_scale=1e-4) as (inngest, client):
        await client.post("/e/k", json=GO)
        await inngest.settled(5)
        assert inngest.runs()[0].output is None


@pytest.mark.parametrize(
    ("target", "child", "memo"),
    [
        ("commerce-child", (200, 7), {"data": 7}),
        ("commerce-child", (500, FAILED, {"x-inngest-no-retry": "true"}), {"error": FAILED}),
        (
            "commerce-nobody",
            (200, 7),
            {
                "error": {
                    "name": "InngestInvokeError",
                    "message": "could not invoke 'commerce-nobody': there is no such function, or it dropped the run",
                }
            },
        ),
    ],
)
async def test_an_invoked_function_gives_its_end_to_the_step(target: str, child: Answer, memo: object) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        if "i" in body["steps"]:
            return 200, body["steps"]["i"]
        opts = {"function_id": target, "payload": {"data": {"x": 1}}}
        return 206, [{"op": "InvokeFunction", "id": "i", "name": "call", "opts": opts}]

    app = ScriptedApp({"commerce-fn": answer, "commerce-child": lambda body: child})
    functions = (function(), {"id": "child", "triggers": on("never")})
    async with started(app, *functions) as (inngest, client):
        await client.post("/e/k", json=GO)
        await inngest.settled(5)
        parent = inngest.runs()[0]
        assert parent.output == memo
        if target == "commerce-child":
            event = app.bodies()[1]["event"]
            assert event["name"] == "inngest/function.invoked"
            assert event["data"]["x"] == 1
            assert event["data"]["_inngest"]["correlation_id"] == f"{parent.run_id}.i"
            assert inngest.runs()[1].trace_id == parent.trace_id


async def test_an_unsupported_opcode_fails_the_run_and_names_it() -> None:
    run, _, _ = await run_once(lambda body: (206, [{"op": "AIGateway", "id": "x"}]))
    assert run.status is RunStatus.FAILED
    assert "AIGateway" in run.output["message"]


async def test_checkpointed_steps_are_memoised_within_one_call_and_stale_calls_are_refused() -> None:
    answers: list[int] = []
    holder: dict[str, httpx.AsyncClient] = {}

    class Checkpointing(ScriptedApp):
        async def _answer(self, request: httpx.Request) -> httpx.Response:
            ctx = orjson.loads(request.content)["ctx"]
            path = f"/v1/checkpoint/{ctx['run_id']}/async"
            sent = {
                "run_id": ctx["run_id"],
                "fn_id": ctx["fn_id"],
                "qi_id": ctx["qi_id"],
                "generation_id": ctx["generation_id"],
                "steps": [ran("a", 1)],
            }
            for change in ({}, {"generation_id": 9}, {"qi_id": "x"}, {"steps": "x"}):
                answers.append((await holder["client"].post(path, json={**sent, **change})).status_code)
            state = (await holder["client"].get(f"/v0/runs/{ctx['run_id']}/actions")).json()
            ops = [ran("b", state), {"op": "RunComplete", "id": "end", "data": "done"}]
            return httpx.Response(206, json=ops, headers={"x-inngest-sdk": "js:v4.24.0"})

    async with started(Checkpointing({}), function()) as (inngest, client):
        holder["client"] = client
        await client.post("/e/k", json=GO)
        await inngest.settled(5)
        run = inngest.runs()[0]
        assert answers == [200, 409, 409, 400]
        assert (run.status, run.output, run.calls) == (RunStatus.COMPLETED, "done", 1)
        assert [(step.id, step.output) for step in run.steps] == [("a", 1), ("b", {"a": {"data": 1}})]
        ended = await client.post(f"/v1/checkpoint/{run.run_id}/async", json={"qi_id": "x", "steps": []})
        assert ended.status_code == 409
        assert (await client.get(f"/v0/runs/{run.run_id}/batch")).status_code == 410


async def test_a_state_too_large_for_a_request_is_left_to_be_fetched() -> None:
    fetched: dict[str, Any] = {}
    holder: dict[str, httpx.AsyncClient] = {}

    class Large(ScriptedApp):
        async def _answer(self, request: httpx.Request) -> httpx.Response:
            body = orjson.loads(request.content)
            headers = {"x-inngest-sdk": "py:v0.5.19"}
            if not body["use_api"]:
                return httpx.Response(206, json=[ran("big", "x" * (4 * 1024 * 1024))], headers=headers)
            assert (body["events"], body["steps"], body["ctx"]["use_api"]) == ([], {}, True)
            for part in ("batch", "actions"):
                path = f"/v0/runs/{body['ctx']['run_id']}/{part}"
                fetched[part] = (await holder["client"].get(path)).json()
            return httpx.Response(200, json="done", headers=headers)

    async with started(Large({}), function()) as (inngest, client):
        holder["client"] = client
        await client.post("/e/k", json=GO)
        await inngest.settled(5)
        assert inngest.runs()[0].output == "done"
        assert fetched["batch"][0]["data"] == {"n": 1}
        assert len(fetched["actions"]["big"]["data"]) == 4 * 1024 * 1024


async def test_watchers_do_not_watch_themselves() -> None:
    app = ScriptedApp({"commerce-fn": lambda body: (200, 1), "commerce-watch": lambda body: (200, 2)})
    functions = (function(), {"id": "watch", "triggers": on("inngest/function.finished")})
    async with started(app, *functions) as (inngest, client):
        await client.post("/e/k", json={**GO, "meta": {"sessions": {"pair": "p1"}}})
        await inngest.settled(5)
        assert [run.function_id for run in inngest.runs()] == ["commerce-fn", "commerce-watch"]
        finished = [event for event in inngest.events() if event.name == "inngest/function.finished"]
        assert [event.meta for event in finished] == [{"sessions": {"pair": "p1"}}]


async def test_a_cron_fires_when_told_once_per_time() -> None:
    app = ScriptedApp({"commerce-nightly": lambda body: (200, body["event"])})
    async with started(app, {"id": "nightly", "triggers": [{"cron": "0 3 * * *"}]}) as (inngest, client):
        at = datetime(2026, 11, 24, 3, tzinfo=UTC)
        assert inngest.tick("commerce-nightly", at) is not None
        assert inngest.tick("commerce-nightly", at) is None
        await inngest.settled(5)
        run = inngest.runs()[0]
        due = "2026-11-24T03:00:00Z"
        assert run.output["data"] == {"cron": "0 3 * * *", "scheduledAt": due, "fireAt": due}
        assert (run.output["id"], run.output["ts"]) == (due, int(at.timestamp() * 1000))
        assert (await client.get(f"/v1/runs/{run.run_id}")).json()["data"]["cron"] == "0 3 * * *"
        with pytest.raises(ValueError, match="cron trigger"):
            inngest.tick("commerce-nobody", at)


async def test_stopping_leaves_no_task_behind() -> None:
    app = ScriptedApp({"commerce-fn": waiting})
    async with started(app, function()) as (inngest, client):
        for _ in range(20):
            await client.post("/e/k", json=GO)
        await asyncio.sleep(0.02)
        await client.post("/e/k", json=GO)  # this one has not begun when all is stopped
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("inngest-")] == []
    with pytest.raises(TimeoutError, match="commerce-fn"):
        app = ScriptedApp({"commerce-fn": waiting})
        async with started(app, function()) as (inngest, client):
            await client.post("/e/k", json=GO)
            await inngest.settled(0.05)


async def test_crons_fire_by_themselves_only_where_asked() -> None:
    now = datetime(2026, 11, 24, 2, 59, 59, 900_000, tzinfo=UTC)
    schedules = {"due": "0 3 * * *", "not": "1 3 * * *"}
    functions = [{"id": name, "triggers": [{"cron": cron}]} for name, cron in schedules.items()]
    app = ScriptedApp({"commerce-due": lambda body: (200, body["event"]["id"])})
    for fire in (True, False):
        moved = timedelta(0)
        async with started(app, *functions, clock=lambda: now + moved, fire_crons=fire) as (inngest, _):  # noqa: B023
            moved = timedelta(milliseconds=200)  # once they are registered, however long that took
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(30 if fire else 0.5):
                    while not inngest.runs():  # noqa: ASYNC110  # nothing says that a cron has fired
                        await asyncio.sleep(0.02)
            await inngest.settled(30)
            assert [run.output for run in inngest.runs()] == (["2026-11-24T03:00:00Z"] if fire else [])
