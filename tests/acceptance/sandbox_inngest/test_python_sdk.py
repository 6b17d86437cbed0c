"""Functions written with the official Python SDK, unmodified, run on the pretend server from event to end."""

from __future__ import annotations

import datetime
from typing import Any

import httpx
import inngest
import pytest

from sandbox.inngest import RunRecord, RunStatus, StepRecord

from .conftest import Stage, staged


async def settle(stage: Stage, *events: inngest.Event) -> dict[str, RunRecord]:
    """Send events, wait for all that follows; the last run of each function by its local id."""
    await stage.client.send(list(events))
    await stage.server.settled(20)
    return {run.function_id.removeprefix("commerce-"): run for run in stage.server.runs()}


def steps(run: RunRecord) -> list[tuple[str, Any]]:
    return [(step.name, step.output) for step in run.steps]


@pytest.mark.parametrize("keyed", [False, True])
async def test_steps_run_one_by_one_and_a_sent_event_starts_the_next_function(keyed: bool) -> None:
    async with staged(keyed=keyed) as stage:

        @stage.client.create_function(fn_id="sync", trigger=inngest.TriggerEvent(event="shop/order"), retries=3)
        async def sync(ctx: inngest.Context) -> dict[str, object]:
            async def fetch() -> dict[str, object]:
                return {"id": ctx.event.data["id"], "total": 12.5}

            order = await ctx.step.run("fetch", fetch)
            sent = await ctx.step.send_event("review", inngest.Event(name="review/due", data={"id": str(order["id"])}))
            return {"order": order, "sent": len(sent), "attempt": ctx.attempt}

        @stage.client.create_function(fn_id="review", trigger=inngest.TriggerEvent(event="review/due"))
        async def review(ctx: inngest.Context) -> str:
            return f"mailed {ctx.event.data['id']}"

        await stage.serve([sync, review])
        runs = await settle(stage, inngest.Event(name="shop/order", data={"id": "o-1"}, id="evt-1"))
        assert runs["sync"].output == {"order": {"id": "o-1", "total": 12.5}, "sent": 1, "attempt": 0}
        assert [name for name, _ in steps(runs["sync"])] == ["fetch", "review"]
        child = next(event for event in stage.server.events() if event.name == "review/due")
        assert steps(runs["sync"])[1][1] == [child.internal_id]
        assert runs["review"].output == "mailed o-1"
        assert runs["review"].event_id == child.internal_id


async def test_a_client_gets_the_ids_under_which_its_runs_are_found(stage: Stage) -> None:
    @stage.client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="go"))
    async def fn(ctx: inngest.Context) -> int:
        return len(ctx.events)

    await stage.serve([fn])
    ids = await stage.client.send([inngest.Event(name="go"), inngest.Event(name="nobody/listens")])
    await stage.server.settled(20)
    assert [event.internal_id for event in stage.server.events()[:2]] == ids
    async with httpx.AsyncClient(base_url=stage.client.api_origin) as http:
        lists = [(await http.get(f"/v1/events/{each}/runs")).json()["data"] for each in ids]
    assert [[run["output"] for run in each] for each in lists] == [[1], []]


async def test_a_failing_step_is_retried_alone_and_the_finished_ones_are_not_run_again(stage: Stage) -> None:
    ran: list[str] = []

    @stage.client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="go"), retries=2)
    async def fn(ctx: inngest.Context) -> str:
        async def first() -> str:
            ran.append("first")
            return "a"

        async def second() -> str:
            ran.append("second")
            if ran.count("second") < 3:
                raise ValueError("mail provider 503")
            return "b"

        return await ctx.step.run("first", first) + await ctx.step.run("second", second)

    await stage.serve([fn])
    run = (await settle(stage, inngest.Event(name="go")))["fn"]
    assert (run.status, run.output, run.attempts) == (RunStatus.COMPLETED, "ab", 3)
    assert ran == ["first", "second", "second", "second"]
    assert [step.attempts for step in run.steps] == [1, 3]


async def test_a_step_that_uses_up_its_attempts_raises_in_the_function_which_may_catch_it(stage: Stage) -> None:
    @stage.client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="go"), retries=1)
    async def fn(ctx: inngest.Context) -> str:
        async def broken() -> None:
            raise ValueError("never works")

        try:
            await ctx.step.run("broken", broken)
        except inngest.StepError as error:
            return f"caught {error.name}: {error.message}"
        return "not reached"

    await stage.serve([fn])
    run = (await settle(stage, inngest.Event(name="go")))["fn"]
    assert (run.status, run.output) == (RunStatus.COMPLETED, "caught ValueError: never works")
    assert isinstance(run.steps[0], StepRecord)
    assert run.steps[0].error is not None


async def test_a_non_retriable_failure_ends_the_run_at_once_and_calls_on_failure(stage: Stage) -> None:
    seen: list[object] = []

    async def on_failure(ctx: inngest.Context) -> None:
        seen.append((ctx.event.data["function_id"], ctx.event.data["run_id"]))

    @stage.client.create_function(
        fn_id="payout", trigger=inngest.TriggerEvent(event="payout/approved"), on_failure=on_failure
    )
    async def payout(ctx: inngest.Context) -> None:
        async def execute() -> None:
            raise inngest.NonRetriableError("insufficient funds")

        await ctx.step.run("execute", execute)

    await stage.serve([payout])
    run = (await settle(stage, inngest.Event(name="payout/approved", data={"id": "wd_1"})))["payout"]
    assert (run.status, run.calls) == (RunStatus.FAILED, 1)
    assert (run.output["name"], run.output["message"]) == ("NonRetriableError", "insufficient funds")
    assert seen == [("commerce-payout", run.run_id)]


async def test_parallel_steps_run_by_requests_of_their_own_and_are_joined(stage: Stage) -> None:
    @stage.client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="go"))
    async def fn(ctx: inngest.Context) -> list[object]:
        async def double(number: int) -> int:
            return number * 2

        both = await ctx.group.parallel(
            (
                lambda: ctx.step.run("one", double, 1),
                lambda: ctx.step.run("two", double, 2),
                lambda: ctx.step.sleep("nap", datetime.timedelta(milliseconds=50)),
            )
        )
        last = await ctx.step.run("three", double, 3)
        return [*both, last]

    await stage.serve([fn])
    run = (await settle(stage, inngest.Event(name="go")))["fn"]
    assert (run.status, run.output) == (RunStatus.COMPLETED, [2, 4, None, 6])
    assert run.calls == 5  # plan, two steps, the body until the last step, the body to its end


async def test_sleeping_waiting_and_invoking_resume_the_function() -> None:
    async with staged(time_scale=0.02) as stage:

        @stage.client.create_function(fn_id="child", trigger=inngest.TriggerEvent(event="never"))
        async def child(ctx: inngest.Context) -> object:
            return ctx.event.data["n"]

        @stage.client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="go"))
        async def fn(ctx: inngest.Context) -> list[object]:
            await ctx.step.sleep("nap", datetime.timedelta(seconds=2))
            invoked = await ctx.step.invoke("call", function=child, data={"n": 7})
            await ctx.step.send_event("knock", inngest.Event(name="knock", data={"n": 1}))
            waited = await ctx.step.wait_for_event("wait", event="knock", timeout=datetime.timedelta(seconds=5))
            return [invoked, waited]

        await stage.serve([fn, child])
        run = (await settle(stage, inngest.Event(name="go")))["fn"]
        assert (run.status, run.output) == (RunStatus.COMPLETED, [7, None])  # the knock came before the wait
        assert run.ended_at is not None
        assert run.started_at is not None
        assert (run.ended_at - run.started_at).total_seconds() >= 0.1  # the wait, scaled


async def test_a_watcher_sees_every_end_and_none_of_its_own(stage: Stage) -> None:
    seen: list[tuple[object, object, object]] = []

    @stage.client.create_function(fn_id="good", trigger=inngest.TriggerEvent(event="go"))
    async def good(ctx: inngest.Context) -> dict[str, int]:
        return {"n": 1}

    @stage.client.create_function(fn_id="bad", trigger=inngest.TriggerEvent(event="go"), retries=0)
    async def bad(ctx: inngest.Context) -> None:
        raise ValueError("no")

    @stage.client.create_function(fn_id="watch", trigger=inngest.TriggerEvent(event="inngest/function.finished"))
    async def watch(ctx: inngest.Context) -> None:
        data: Any = ctx.event.data

        async def report() -> None:
            outcome = data["result"] if data["_inngest"]["status"] == "Completed" else data["error"]["message"]
            seen.append((data["function_id"], data["event"]["id"], outcome))

        await ctx.step.run("report", report)

    await stage.serve([good, bad, watch])
    await settle(stage, inngest.Event(name="go", id="evt-1"))
    assert sorted(seen, key=str) == [("commerce-bad", "evt-1", "no"), ("commerce-good", "evt-1", {"n": 1})]
    assert len(stage.server.runs()) == 4


async def test_a_large_state_is_fetched_by_the_sdk(stage: Stage) -> None:
    @stage.client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="go"))
    async def fn(ctx: inngest.Context) -> int:
        async def big() -> str:
            return "x" * (5 * 1024 * 1024)

        return len(await ctx.step.run("big", big)) + int(str(ctx.event.data["n"]))

    await stage.serve([fn])
    run = (await settle(stage, inngest.Event(name="go", data={"n": 2})))["fn"]
    assert run.output == 5 * 1024 * 1024 + 2


async def test_an_app_with_another_key_is_not_synced_and_refuses_calls() -> None:
    async with staged(keyed=True) as stage:
        stage.client._signing_key = "ffff"

        @stage.client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="go"))
        async def fn(ctx: inngest.Context) -> None:
            return None

        with pytest.raises(RuntimeError, match="did not sync"):
            await stage.serve([fn])
        assert stage.server.functions() == []


async def test_two_hundred_runs_of_three_steps_are_done_in_seconds(stage: Stage) -> None:
    @stage.client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="go"))
    async def fn(ctx: inngest.Context) -> int:
        async def count() -> int:
            return 1

        return await ctx.step.run("a", count) + await ctx.step.run("b", count)

    await stage.serve([fn])
    await stage.client.send([inngest.Event(name="go", data={"n": number}) for number in range(200)])
    await stage.server.settled(30)
    runs = stage.server.runs()
    assert len(runs) == 200
    assert all((run.status, run.output, run.calls) == (RunStatus.COMPLETED, 2, 3) for run in runs)
