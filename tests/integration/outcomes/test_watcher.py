"""The watcher hears of every run from the platform itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import FastAPI

from api.front.reports import PREFIX, worker_app
from shadow.catalogue.model import Side
from tests.integration.fanout.serving import served, until
from tests.integration.fanout.stage import StageSet


@asynccontextmanager
async def watching(world: StageSet) -> AsyncIterator[None]:
    front = FastAPI()
    front.mount(PREFIX, worker_app(world.catalogue, world.database))
    async with served(front) as url:
        await world.inngest.sync(f"{url}/shadow/inngest")
        yield


async def finished(world: StageSet, count: int) -> None:
    async def all_of_them() -> bool:
        return bool(await world.value("SELECT count(*) FROM runs WHERE state = 'finished'") >= count)

    await until(all_of_them)


async def test_it_registers_as_an_app_of_its_own(world: StageSet) -> None:
    async with watching(world):
        assert "shadow-watch" in {function.id for function in world.inngest.functions()}


async def test_every_run_that_ends_is_told(world: StageSet) -> None:
    async with watching(world):
        (event,) = await world.accept()
        async with world.delivering(Side.CANDIDATE):
            await finished(world, 2)
    run = await world.run(event, "welcome", Side.CANDIDATE)
    assert (run["status"], run["learned_by"]) == ("completed", "watcher")
    assert await world.value("SELECT count(*) FROM bodies WHERE part = 'output'") == 2
    row = await world.rows("SELECT started_at, finished_at FROM runs WHERE state = 'finished' LIMIT 1")
    started_at, finished_at = row[0]
    assert started_at <= finished_at <= datetime.now(UTC)


async def test_a_failure_is_told_with_its_error(world: StageSet) -> None:
    async with watching(world):
        (event,) = await world.accept("digest/due", {"tenantId": "acme", "fail": True})
        async with world.delivering(Side.CANDIDATE):
            await finished(world, 1)
    run = await world.run(event, "slow-down", Side.CANDIDATE)
    assert (run["status"], run["error_name"]) == ("failed", "NonRetriableError")
    assert await world.value("SELECT error_message FROM runs WHERE state = 'finished'") == "no such order"


async def test_runs_that_shadow_did_not_start_are_told_too(world: StageSet) -> None:
    async with watching(world):
        answer = await _send_elsewhere(world)
        assert answer == 200
        await finished(world, 2)
    assert await world.rows("SELECT DISTINCT event_id, learned_by FROM runs") == [(None, "watcher")]


async def _send_elsewhere(world: StageSet) -> int:
    """Somebody sends to the platform directly."""
    import httpx

    platform = world.catalogue.platforms["inngest"]
    assert platform.kind == "inngest"
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(
            f"{platform.event_url}/e/any", json={"name": "order/created", "data": {"orderId": 1}}
        )
    return answer.status_code
