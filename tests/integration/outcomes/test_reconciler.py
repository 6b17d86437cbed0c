"""Outcomes are learned by asking, whatever the platforms' lists, caches and replicas say meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest

from shadow.catalogue.model import Side
from shadow.fanout.handoff import Started, record_started
from shadow.intake.answers import alias_by_key
from shadow.model.ids import derived_id
from shadow.store import codec
from shadow.store.database import Work
from tests.integration.fanout.serving import until
from tests.integration.fanout.stage import SECRET, StageSet


@asynccontextmanager
async def collecting(world: StageSet) -> AsyncIterator[None]:
    collector = world.collector()
    await collector.start()
    try:
        yield
    finally:
        await collector.stop()


async def finished(world: StageSet, count: int) -> None:
    async def all_of_them() -> bool:
        return bool(await world.value("SELECT count(*) FROM runs WHERE state = 'finished'") >= count)

    await until(all_of_them, within=20)


async def output(world: StageSet, event: Any, task: str, side: Side) -> Any:
    content = await world.value(
        "SELECT content FROM bodies WHERE id = %s AND part = 'output'", derived_id(event, task, side)
    )
    return orjson.loads(codec.decode(content))


async def test_both_sides_are_asked_until_every_run_has_ended(world: StageSet) -> None:
    (event,) = await world.accept(data={"orderId": 1, "tenantId": "acme"})
    async with world.delivering(), collecting(world):
        await finished(world, 4)
    legacy = await world.run(event, "welcome", Side.LEGACY)
    assert (legacy["status"], legacy["learned_by"], legacy["poll_at"]) == ("completed", "poll", None)
    assert legacy["attempts"] == 1
    assert await output(world, event, "welcome", Side.LEGACY) == {"done": {"orderId": 1, "tenantId": "acme"}}
    assert await output(world, event, "welcome", Side.CANDIDATE) == {"done": {"orderId": 1, "tenantId": "acme"}}
    candidate = await world.run(event, "welcome", Side.CANDIDATE)
    assert candidate["platform_run_id"] in {run.run_id for run in world.inngest.runs()}
    assert await world.value("SELECT array_agg(DISTINCT state) FROM pairs") == ["settling"]


async def test_a_failure_brings_its_error_and_no_output(world: StageSet) -> None:
    (event,) = await world.accept("digest/due", {"tenantId": "acme", "fail": True})
    async with world.delivering(), collecting(world):
        await finished(world, 2)
    for side in Side:
        run = await world.run(event, "slow-down", side)
        assert run["status"] == "failed"
    assert await world.value("SELECT count(*) FROM bodies WHERE part = 'output'") == 0
    names = {row[0] for row in await world.rows("SELECT error_message FROM runs")}
    assert names == {"no such order"}


async def test_a_lagging_replica_and_list_only_delay_it(world: StageSet) -> None:
    world.trigger.traps.replica_lag_ms = 800
    world.trigger.traps.list_lag_ms = 800
    await world.accept(count=4)
    async with world.delivering(Side.LEGACY), collecting(world):
        await finished(world, 8)


async def test_an_empty_list_does_not_hide_runs_for_ever(world: StageSet) -> None:
    world.trigger.traps.list_lag_ms = 10_000_000
    await world.accept(count=4)
    async with world.delivering(Side.LEGACY), collecting(world):
        await finished(world, 8)


async def test_wrong_statuses_and_late_appearance_on_inngest_only_delay_it(world: StageSet) -> None:
    world.inngest.traps.event_runs_stuck_scheduled = 1.0
    world.inngest.traps.runs_appear_after = 0.5
    await world.accept(count=3)
    async with world.delivering(Side.CANDIDATE), collecting(world):
        await finished(world, 6)


async def test_rate_limits_on_reading_are_waited_for(world: StageSet) -> None:
    world.inngest.traps.reads_rate_limited = 3
    world.inngest.traps.retry_after = 1
    await world.accept()
    async with world.delivering(Side.CANDIDATE), collecting(world):
        await finished(world, 2)
    assert world.inngest.traps.reads_rate_limited == 0


async def test_many_runs_are_found_in_the_list(world: StageSet) -> None:
    await world.accept(count=60)
    async with world.delivering(Side.LEGACY), collecting(world):
        await finished(world, 120)
    assert await world.value("SELECT count(*) FROM runs WHERE side = 'legacy' AND status <> 'completed'") == 0


@pytest.mark.parametrize("size", [700_000])
async def test_an_output_that_lies_in_a_store_is_fetched(world: StageSet, size: int) -> None:
    async def big(payload: Any, context: Any) -> Any:
        return {"text": "x" * size}

    world.trigger.task("slow-down", big)
    (event,) = await world.accept("digest/due")
    async with world.delivering(Side.LEGACY), collecting(world):
        await finished(world, 1)
    assert await output(world, event, "slow-down", Side.LEGACY) == {"text": "x" * size}


async def test_runs_of_a_batch_whose_answer_named_none_are_found_by_their_keys(world: StageSet) -> None:
    """As the door leaves them: sent, with an alias by key, and no id."""
    events = [await world.call({"requestId": f"w{number}"}, f"key-{number}") for number in range(3)]
    async with httpx.AsyncClient(base_url=world.trigger.url) as producer:
        items = [
            {"task": "pay-out", "payload": {"requestId": f"w{number}"}, "options": {"idempotencyKey": f"key-{number}"}}
            for number in range(3)
        ]
        answer = await producer.post(
            "/api/v2/tasks/batch", json={"items": items}, headers={"authorization": f"Bearer {SECRET}"}
        )
        assert answer.status_code == 202
    async with world.database.connection(Work.ACCEPT) as conn:
        started = [Started(None, event, Side.LEGACY, "pay-out", "trigger", None) for event in events]
        await record_started(conn, world.catalogue, started)
        keys = [(event, "pay-out", f"key-{number}") for number, event in enumerate(events)]
        await alias_by_key(conn, "trigger", keys)
    async with collecting(world):
        await finished(world, 3)
    for number, event in enumerate(events):
        assert await output(world, event, "pay-out", Side.LEGACY) == {"done": {"requestId": f"w{number}"}}
        run = await world.run(event, "pay-out", Side.LEGACY)
        assert run["platform_run_id"] in {known.id for known in world.trigger.runs()}


async def test_several_collectors_ask_for_each_run_once_a_turn(world: StageSet) -> None:
    await world.accept(count=10)
    async with world.delivering(), collecting(world), collecting(world):
        await finished(world, 40)
    assert await world.value("SELECT count(*) FROM runs") == 40
