"""The official Inngest SDK, driven by a pretend server: runs are known in functions and steps, and told of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import inngest
import pytest

from sandbox.inngest import RunStatus
from shadow.capture import Capture, RetryLater, Run, current_run
from tests.acceptance.sandbox_inngest.conftest import Stage, staged

from .conftest import Front


def capture_for(front: Front, **options: Any) -> Capture:
    return Capture(front.url, "shk_1", {"api.stripe.com": "stripe"}, report_key="rk", version="v7", **options)


@asynccontextmanager
async def captured(capture: Capture, **options: Any) -> AsyncIterator[Stage]:
    async with staged(**options) as stage:
        stage.client.add_middleware(capture.middleware())
        yield stage
        await capture.aclose()
        await stage.client._http_client._http_client.aclose()
        stage.client._http_client._http_client_sync.close()


def marks(run: Run | None) -> tuple[Any, ...]:
    assert run is not None
    return run.run, run.task, run.attempt, run.event


async def test_the_run_is_at_hand_in_the_function_and_in_every_step(front: Front) -> None:
    seen: list[tuple[Any, ...]] = []
    async with captured(capture_for(front)) as stage:

        @stage.client.create_function(fn_id="pay", trigger=inngest.TriggerEvent(event="go"), retries=2)
        async def pay(ctx: inngest.Context) -> None:
            async def one() -> None:
                seen.append(("one", *marks(current_run())))
                if len(seen) == 1:
                    raise ValueError("again")

            async def nested() -> None:
                await one()

            await ctx.step.run("one", nested)
            await ctx.group.parallel((lambda: ctx.step.run("two", one), lambda: ctx.step.run("three", one)))
            seen.append(("body", *marks(current_run())))

        await stage.serve([pay])
        await stage.client.send(inngest.Event(name="go", id="evt-1"))
        await stage.server.settled(20)
        (run,) = stage.server.runs()
    assert run.status is RunStatus.COMPLETED
    whose = (run.run_id, "pay")
    assert seen[:2] == [("one", *whose, 1, "evt-1"), ("one", *whose, 2, "evt-1")]
    assert [each[0] for each in seen] == ["one", "one", "one", "one", "body"]
    assert all(each[1:3] == whose and each[4] == "evt-1" for each in seen)
    assert current_run() is None


async def test_calls_in_steps_are_the_runs(front: Front) -> None:
    capture = capture_for(front)
    async with captured(capture) as stage, capture.async_client() as http:

        @stage.client.create_function(fn_id="pay", trigger=inngest.TriggerEvent(event="go"))
        async def pay(ctx: inngest.Context) -> object:
            async def transfer() -> int:
                return (await http.post("https://api.stripe.com/v1/transfers", json={"amount": 5})).status_code

            return await ctx.step.run("transfer", transfer)

        await stage.serve([pay])
        await stage.client.send(inngest.Event(name="go", id="evt-1"))
        await stage.server.settled(20)
        (run,) = stage.server.runs()
    ((call, headers, body),) = front.calls
    assert (call, body) == ("POST /egress/stripe/v1/transfers", {"amount": 5})
    assert (headers["x-shadow-run"], headers["x-shadow-task"], headers["x-shadow-event"]) == (
        run.run_id,
        "pay",
        "evt-1",
    )
    assert (headers["x-shadow-attempt"], headers["x-shadow-version"]) == ("1", "v7")


async def test_a_wait_has_the_platform_try_again_at_that_time(front: Front) -> None:
    capture = capture_for(front)
    front.answers["/egress/stripe/v1/balance"] = (425, {"x-shadow-gateway": "wait", "retry-after": "0.2"})
    entered: list[int] = []
    async with captured(capture, retry_delay=30) as stage, capture.async_client() as http:

        @stage.client.create_function(fn_id="pay", trigger=inngest.TriggerEvent(event="go"))
        async def pay(ctx: inngest.Context) -> object:
            async def balance() -> int:
                entered.append(ctx.attempt)
                if len(entered) == 2:
                    front.answers.clear()
                try:
                    return (await http.get("https://api.stripe.com/v1/balance")).status_code
                except RetryLater as error:
                    assert isinstance(error, inngest.RetryAfterError)
                    raise

            return await ctx.step.run("balance", balance)

        await stage.serve([pay])
        await stage.client.send(inngest.Event(name="go"))
        await stage.server.settled(20)
        (run,) = stage.server.runs()
    # not after the thirty seconds that a failure would take
    assert (run.status, run.output, entered) == (RunStatus.COMPLETED, 200, [0, 1])


@pytest.mark.parametrize("fails", [False, True])
async def test_rows_are_told_before_the_step_ends(front: Front, fails: bool) -> None:
    capture = capture_for(front)
    rows = capture.rows("shop")
    async with captured(capture) as stage:

        @stage.client.create_function(fn_id="pay", trigger=inngest.TriggerEvent(event="go"), retries=0)
        async def pay(ctx: inngest.Context) -> None:
            async def save() -> None:
                rows.upserted("orders", {"id": "a", "total": 1})
                if fails:
                    raise ValueError("too late")

            async def later() -> None:
                assert [effect["operation"] for effect in front.effects()] == ["upsert orders"]

            await ctx.step.run("save", save)
            await ctx.step.run("later", later)

        await stage.serve([pay])
        await stage.client.send(inngest.Event(name="go"))
        await stage.server.settled(20)
        (run,) = stage.server.runs()
    assert run.status is (RunStatus.FAILED if fails else RunStatus.COMPLETED)
    ((path, headers, body),) = front.calls
    assert (path, headers["authorization"]) == ("POST /shadow/effects", "Bearer rk")
    assert (body["run"], body["task"], body["attempt"]) == (run.run_id, "pay", 1)
    assert (body["effects"][0]["identity"], body["effects"][0]["target"]) == ("a", "shop")


async def test_synchronous_functions_are_captured_too(front: Front) -> None:
    capture = capture_for(front)
    rows = capture.rows("shop")
    async with captured(capture) as stage:

        @stage.client.create_function(fn_id="pay", trigger=inngest.TriggerEvent(event="go"))
        def pay(ctx: inngest.ContextSync) -> list[str]:
            def save() -> None:
                rows.upserted("orders", {"id": "a"})

            ctx.step.run("save", save)
            return [str(mark) for mark in marks(current_run())[:2]]

        await stage.serve([pay])
        await stage.client.send(inngest.Event(name="go"))
        await stage.server.settled(20)
        (run,) = stage.server.runs()
    assert run.output == [run.run_id, "pay"]
    assert [effect["identity"] for effect in front.effects()] == ["a"]


async def test_emitted_events_say_at_the_door_whose_they_are(front: Front) -> None:
    capture = capture_for(front)
    async with captured(capture) as stage:
        stage.client._event_api_origin = front.url  # as INNGEST_EVENT_API_BASE_URL would have it

        @stage.client.create_function(fn_id="pay", trigger=inngest.TriggerEvent(event="go"))
        async def pay(ctx: inngest.Context) -> None:
            await ctx.step.send_event("tell", inngest.Event(name="paid", data={"n": 1}))

        await stage.serve([pay])
        async with httpx.AsyncClient() as producer:
            await producer.post(f"{stage.client.api_origin}/e/k", json=[{"name": "go", "id": "evt-1"}])
        await stage.server.settled(20)
        (run,) = stage.server.runs()
    ((path, headers, body),) = front.calls
    assert (path, body[0]["name"], body[0]["data"]) == ("POST /e/event-key", "paid", {"n": 1})
    assert {name: value for name, value in headers.items() if name.startswith("x-shadow")} == {
        "x-shadow-run": run.run_id,
        "x-shadow-task": "pay",
        "x-shadow-attempt": "1",
        "x-shadow-event": "evt-1",
        "x-shadow-version": "v7",
    }


async def test_events_that_pass_the_door_by_are_told_with_their_ids(front: Front) -> None:
    capture = capture_for(front)
    async with captured(capture) as stage:

        @stage.client.create_function(fn_id="pay", trigger=inngest.TriggerEvent(event="go"))
        async def pay(ctx: inngest.Context) -> object:
            later = inngest.Event(name="reminded", ts=4102444800000)
            return await ctx.step.send_event("tell", [inngest.Event(name="paid", data={"n": 1}), later])

        await stage.serve([pay])
        await stage.client.send(inngest.Event(name="go"))
        await stage.server.settled(20)
        sent = {event.name: event.internal_id for event in stage.server.events()}
    assert front.effects() == [
        {"id": f"event:{sent['paid']}", "kind": "event", "target": "events", "operation": "paid", "data": {"n": 1}},
        {
            "id": f"event:{sent['reminded']}",
            "kind": "event",
            "target": "events",
            "operation": "reminded",
            "data": {"scheduledFor": "2100-01-01T00:00:00.000Z"},
        },
    ]


async def test_an_inert_middleware_does_nothing(front: Front) -> None:
    capture = Capture()
    async with captured(capture) as stage:
        built = stage.client._http_client.build_httpx_request

        @stage.client.create_function(fn_id="pay", trigger=inngest.TriggerEvent(event="go"))
        async def pay(ctx: inngest.Context) -> bool:
            await ctx.step.send_event("tell", inngest.Event(name="paid"))
            return current_run() is None

        await stage.serve([pay])
        await stage.client.send(inngest.Event(name="go"))
        await stage.server.settled(20)
        (run,) = stage.server.runs()
        assert stage.client._http_client.build_httpx_request == built
    assert (run.output, front.calls) == (True, [])
