"""Calls of an instrumented task on Trigger.dev, which carry `traceparent` and name no run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sandbox.trigger_dev import PretendTriggerDev, TaskContext
from shadow.catalogue.model import Side
from shadow.effects.reattribution import Reattribution
from shadow.store.database import Database
from tests.integration.egress.world import World, until, world_of

SECRET = "tr_prod_Traced0000000000000000000"
REFUND = {"requestId": "a"}


@dataclass
class Traced:
    """A pretend Trigger.dev whose runs are pairs' legacy runs, and which the gateway can ask."""

    world: World
    platform: PretendTriggerDev
    answers: list[int] = field(default_factory=list)
    """What calls of its runs were answered, in order."""
    spans: dict[str, str] = field(default_factory=dict)
    """Run -> the `traceparent` that its last call carried."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, context: TaskContext) -> int:
        self.spans[context.run_id] = context.traceparent("POST")
        headers = {"x-shadow-key": self.world.keys[Side.LEGACY], "traceparent": self.spans[context.run_id]}
        answer = await self.world.client.post("/egress/pay/v1/refunds", headers=headers, json=REFUND)
        self.answers.append(answer.status_code)
        return answer.status_code

    async def start(self, task: str = "process-payout", *, real: Side = Side.LEGACY, **headers: str) -> UUID:
        """A pair whose legacy run is one of the platform's."""
        twins = await self.world.twins(real=real)
        answer = await self.world.client.post(
            f"{self.platform.url}/api/v1/tasks/{task}/trigger",
            json={"payload": {}},
            headers={"authorization": f"Bearer {SECRET}", **headers},
        )
        await self.name(twins.run(Side.LEGACY), answer.json()["id"])
        return twins.run(Side.LEGACY)

    async def name(self, run: UUID, name: str) -> None:
        await self.world.execute("UPDATE runs SET platform_run_id = %s WHERE id = %s", name, run)
        await self.world.execute("UPDATE run_aliases SET alias = %s WHERE run_id = %s", name, run)

    async def attributed(self) -> list[tuple[Any, ...]]:
        return await self.world.rows("SELECT run_id, attributed_by, disposition FROM effects ORDER BY sequence")

    async def reattributed(self) -> None:
        """Until whoever asks again has found whose the calls are."""
        late = Reattribution(self.world.database, self.world.catalogue, self.world.traces)
        await until(late.once)


@pytest.fixture
async def traced(database: Database, tmp_path: Path) -> AsyncIterator[Traced]:
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(PretendTriggerDev(secret_keys=[SECRET]))
        world = await stack.enter_async_context(world_of(database, tmp_path, trigger_url=platform.url, secret=SECRET))
        made = Traced(world, platform)

        async def calls(payload: Any, context: TaskContext) -> None:
            await made.go_on.wait()
            await made.call(context)

        async def waits_for_a_child(payload: Any, context: TaskContext) -> None:
            await made.go_on.wait()
            await context.trigger("child", {}, and_wait=True)

        async def starts_a_child(payload: Any, context: TaskContext) -> None:
            await made.go_on.wait()
            await context.trigger("child", {})
            await made.call(context)

        async def child(payload: Any, context: TaskContext) -> None:
            await made.call(context)

        platform.task("process-payout", calls)
        platform.task("waits", waits_for_a_child)
        platform.task("starts", starts_a_child)
        platform.task("child", child)
        yield made


async def test_a_call_is_of_the_run_whose_trace_the_platform_tells(traced: Traced) -> None:
    other = await traced.start("starts", real=Side.CANDIDATE)
    run = await traced.start()
    await traced.world.execute("UPDATE runs SET finished_at = now() - interval '1 hour' WHERE id = %s", other)
    traced.go_on.set()
    await traced.platform.settled()
    assert (run, "trace", "forward") in await traced.attributed()
    assert len(traced.world.books.calls) == 1


async def test_a_run_is_asked_for_its_trace_once(traced: Traced) -> None:
    await traced.start()
    traced.go_on.set()
    await traced.platform.settled()
    ((trace,),) = await traced.world.rows("SELECT trace FROM run_traces")
    headers = {"x-shadow-key": traced.world.keys[Side.LEGACY]}
    for span in ("aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"):
        headers["traceparent"] = f"00-{trace}-{span}-01"
        answer = await traced.world.client.post("/egress/pay/v1/refunds", headers=headers, json=REFUND)
        assert answer.status_code == 201
    assert await traced.world.rows("SELECT count(*) FROM run_traces") == [(1,)]
    assert {by for _run, by, _disposition in await traced.attributed()} == {"trace"}


async def test_a_run_without_authority_does_not_reach_the_target_by_its_trace(traced: Traced) -> None:
    run = await traced.start(real=Side.CANDIDATE)
    traced.go_on.set()
    await traced.platform.settled()
    assert (run, "trace", "refuse") in await traced.attributed()
    assert traced.world.books.calls == []


async def test_the_call_of_a_child_that_is_waited_for_is_not_taken_for_its_parents(traced: Traced) -> None:
    """They share a trace, and the child might have no authority; no task of the catalogue, it is nobody's."""
    await traced.start("waits")
    traced.go_on.set()
    await traced.platform.settled()
    assert traced.answers == [403]
    assert traced.world.books.calls == []
    assert {run for run, _by, _disposition in await traced.attributed()} == {None}


async def test_a_child_that_has_a_trace_of_its_own_is_in_nobodys_way(traced: Traced) -> None:
    run = await traced.start("starts")
    traced.go_on.set()
    await traced.platform.settled()
    assert (run, "trace", "forward") in await traced.attributed()
    assert sorted(traced.answers) == [201, 403]  # the child is no run that anybody knows


async def test_where_two_runs_share_a_trace_the_span_tells_once_the_platform_has_it(traced: Traced) -> None:
    parent = await traced.start("waits")
    twins = await traced.world.twins()
    child = twins.run(Side.LEGACY)
    told = asyncio.create_task(_name_the_child(traced, child))
    traced.go_on.set()
    await told
    await traced.platform.settled()
    assert traced.answers == [403]
    assert traced.world.books.calls == []
    await traced.reattributed()
    assert [(run, by) for run, by, _disposition in await traced.attributed()] == [(child, "trace")]
    assert child != parent


async def _name_the_child(traced: Traced, run: UUID) -> None:
    async with asyncio.timeout(30):
        while True:
            made = next((one for one in traced.platform.runs() if one.task == "child"), None)
            if made is not None:
                await traced.name(run, made.id)
                return
            await asyncio.sleep(0.001)


async def test_a_producer_that_is_traced_itself_hides_the_runs_trace(traced: Traced) -> None:
    """The platform answers 404 for such a run (reference 3.6), so its calls are nobody's."""
    await traced.start(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    traced.go_on.set()
    await traced.platform.settled()
    assert traced.answers == [403]
    assert traced.world.books.calls == []
