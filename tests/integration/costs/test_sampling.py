"""How many executions runs are is asked of the platform, for a few of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import httpx
import pytest

from shadow.catalogue.model import InngestPlatform
from shadow.costs.sampling import A_TASK, ExecutionSampler
from shadow.costs.tallying import CostLoop
from shadow.platforms.inngest_api import InngestApi, Refused
from shadow.store.database import Work
from tests.integration.fanout.stage import StageSet


async def ended(world: StageSet, events: int) -> None:
    """So many events of two tasks went through, on both sides, and were tallied."""
    for number in range(events):
        await world.accept(id=f"order-{number}")
    collector = world.collector()
    await collector.start()
    async with world.delivering(), asyncio.timeout(60):
        while await world.value("SELECT count(*) FROM runs WHERE state = 'finished'") < 4 * events:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await collector.stop()
    await CostLoop(world.database).once()


async def told(world: StageSet) -> list[tuple[str, int, int, int]]:
    """(task, runs, those whose executions are known, executions) of the candidate."""
    await CostLoop(world.database).once()
    async with world.database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(
            "SELECT task, runs, told, executions FROM cost_tallies WHERE side = 'candidate' ORDER BY task"
        )
        return [(row[0], row[1], row[2], row[3]) for row in await cursor.fetchall()]


async def test_a_few_runs_of_each_task_are_asked_for_and_tallied_once(world: StageSet) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        sampler = ExecutionSampler(world.database, world.catalogue, http)
        await ended(world, 3)
        assert await sampler.once(datetime.now(UTC)) == 2 * A_TASK
        steps = {record.function_id: len(record.steps) for record in world.inngest.runs()}
        expected = [(task, 3, A_TASK, A_TASK * (1 + steps[f"shop-{task}"])) for task in ("sync-order", "welcome")]
        assert await told(world) == expected
        # what has ended before is not looked through again
        assert await sampler.once(datetime.now(UTC)) == 0
        assert await told(world) == expected


async def test_a_run_that_the_platform_does_not_know_is_refused(world: StageSet) -> None:
    platform = world.catalogue.platforms["inngest"]
    assert isinstance(platform, InngestPlatform)
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(Refused) as refused:
            await InngestApi(platform, http).trace("01M85K61QN6H3MZD9HM6VTVMW7")
    assert refused.value.status == 404
