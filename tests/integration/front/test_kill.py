"""Killed anywhere on the way of a call to Trigger.dev: what the platform took is recorded once, and runs once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from sandbox.ports import free_port
from shadow.catalogue.model import HttpPlatform, Side
from shadow.fanout.loop import DeliveryLoop
from shadow.platforms.registry import adapters
from tests.integration.egress.world import until
from tests.integration.front.test_other_doors import github
from tests.integration.front.world import CATALOGUE, KEY, PRODUCER, WORKER, World, states

OWN, REQUEST, NONE = {"idempotencyKey": "order-1"}, {"x-trigger-request-idempotency-key": "sdk-1"}, {"x-shadow": "no"}
"""A call under a key of its producer's, one under its SDK's, and one that would not be recognised."""


@contextlib.asynccontextmanager
async def serving(world: World, folder: Path, point: str) -> AsyncIterator[httpx.AsyncClient]:
    """The service as it ships, which dies at that point; all of it in `shadow`."""
    await world.rows(
        "INSERT INTO phases (task, phase, previous, effective_at, version) VALUES ('hello', 'shadow', 'shadow', %s, 1)"
        " RETURNING task",
        datetime.now(UTC) - timedelta(days=1),
    )
    front, nowhere = free_port(), "http://127.0.0.1:9"
    catalogue = folder / "catalogue.yaml"
    app = world.catalogue.platforms["app"]
    assert isinstance(app, HttpPlatform)
    catalogue.write_text(
        CATALOGUE.format(
            trigger=world.trigger.url,
            inngest=nowhere,
            app=app.url.removesuffix("/hooks/github"),
            producer=PRODUCER,
            worker=WORKER,
        )
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shadow", "serve", "--catalogue", str(catalogue)),
        *("--database-url", world.database.url, "--data", str(folder)),
        *("--front-port", str(front), "--control-port", str(free_port())),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "SHADOW_FAIL_POINT": point},
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{front}", timeout=30) as client:
            await until(lambda: _answers(client), 60)
            yield client
        assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/healthz")).status_code == 200
    except httpx.TransportError:
        return False


async def called(client: httpx.AsyncClient, how: dict[str, str]) -> str | None:
    """The run that the producer was told; None without an answer."""
    options = how if "idempotencyKey" in how else {}
    headers = {**KEY, **(how if "idempotencyKey" not in how else {})}
    body = {"payload": dict(how), "options": options}
    try:
        answer = await client.post("/api/v1/tasks/hello/trigger", json=body, headers=headers)
    except httpx.TransportError:
        return None
    run: str = answer.raise_for_status().json()["id"]
    return run


@pytest.mark.parametrize(
    "point", ["trigger.intended:3", "trigger.forwarded:3", "trigger.answered:3", "trigger.settled"]
)
async def test_a_call_is_one_event_and_one_run(world: World, tmp_path: Path, point: str) -> None:
    async with serving(world, tmp_path, point) as client:
        told = await asyncio.gather(*(called(client, how) for how in (OWN, REQUEST, NONE)))
    # Whoever got no answer and is recognised may come again, to another process, before the workers or after them.
    own = await called(world.client, OWN)
    assert own is not None
    assert told[0] in (own, None)
    await world.rows("UPDATE dispatches SET due_at = now() WHERE side = 'legacy' RETURNING id")
    loop = DeliveryLoop(Side.LEGACY, world.catalogue, world.database, adapters(world.catalogue, world.services.http))
    await loop.start()
    try:

        async def handed_over() -> bool:
            return not await world.rows("SELECT id FROM dispatches WHERE side = 'legacy'")

        await until(handed_over, 30)
    finally:
        await loop.stop()
    request = await called(world.client, REQUEST)
    assert told[1] in (request, None)

    runs = [run.id for run in world.trigger.runs()]
    assert len(runs) == 3
    assert {run for run in (*told, own, request) if run is not None} <= set(runs)
    recorded = await world.rows("SELECT platform_run_id FROM runs WHERE side = 'legacy' AND event_id IS NOT NULL")
    assert sorted(run for (run,) in recorded) == sorted(runs)
    assert await world.count("events") == 3
    assert states(await world.rows("SELECT side, stage, state FROM dispatches")) == ["candidate deliver due"] * 3


async def test_a_webhook_of_which_the_app_s_answer_is_not_written_down_is_one_event_and_told_to_the_app_again(
    world: World, tmp_path: Path
) -> None:
    """Whether the app has taken it nobody knows then: it gets it once more, and not more often."""
    push = github(b'{"ref":"x"}')
    async with serving(world, tmp_path, "webhook.forwarded") as client:
        with contextlib.suppress(httpx.TransportError):
            await client.post("/webhooks/github", **push)
    assert len(world.app.received) == 1
    await world.rows("UPDATE dispatches SET due_at = now() WHERE stage = 'forward' RETURNING id")
    for _ in range(3):
        assert (await world.client.post("/webhooks/github", **push)).is_success
    assert len(world.app.received) == 2
    assert await world.count("events") == 1
    assert await world.rows("SELECT id FROM dispatches WHERE stage = 'forward'") == []
