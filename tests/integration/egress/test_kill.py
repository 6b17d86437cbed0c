"""A crash in the middle of a call: what left before it is in the ledger, without an answer."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import httpx

from sandbox.ports import free_port
from sandbox.serving import Served
from shadow.catalogue.model import Side
from shadow.egress import keys
from shadow.store.database import Database
from tests.integration.egress.world import CATALOGUE, Books, Twins, World, until, world_of


async def test_a_write_that_left_before_the_crash_stands_without_a_status(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """The service as it ships, killed while the target has the call."""
    async with world_of(database, tmp_path) as world, Served(books := Books(pause=30)) as target:
        twins = await world.twins()
        front = free_port()
        catalogue = tmp_path / "catalogue.yaml"
        catalogue.write_text(CATALOGUE.format(target=target.url, trigger="http://127.0.0.1:9", secret="tr_dev_secret"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shadow", "serve", "--catalogue", str(catalogue), "--database-url", database_url),
            *("--data", str(tmp_path), "--front-port", str(front), "--control-port", str(free_port())),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{front}", timeout=30) as client:
                await until(lambda: _answers(client))
                call = asyncio.create_task(_pay(client, world, twins))
                await asyncio.wait_for(books.called.wait(), 10)
                assert len(books.calls) == 1
                process.send_signal(signal.SIGKILL)
                await process.wait()
                await asyncio.gather(call, return_exceptions=True)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert await world.effects() == [("legacy", "POST /v1/transfers", "forward", None, "wd_1")]
        assert await world.body("data") is not None
        assert await world.rows("SELECT closed_at, left_at FROM gateways") == [(None, None)]
        # the twin is not given an answer that nobody knows
        await twins.finish(Side.LEGACY)
        answer = await twins.call(Side.CANDIDATE, json={"requestId": "wd_1"})
        assert answer.headers["x-shadow-gateway"] == "stub"


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/healthz")).status_code == 200
    except httpx.TransportError:
        return False


async def _pay(client: httpx.AsyncClient, world: World, twins: Twins) -> None:
    headers = {"authorization": f"Bearer {world.keys[Side.LEGACY]}", **twins.headers(Side.LEGACY)}
    await client.post("/egress/pay/v1/transfers", headers=headers, json={"requestId": "wd_1"})


async def test_a_revoked_key_is_refused_by_a_process_that_knew_it(world: World) -> None:
    twins = await world.twins()
    assert (await twins.call(Side.LEGACY, json={})).status_code == 201
    second, _key = await keys.issue(world.database, Side.LEGACY, "the next")
    assert [key.side for key in await keys.revoke(world.database, "legacy workers")] == [Side.LEGACY]

    async def refused() -> bool:
        return (await twins.call(Side.LEGACY, json={})).status_code == 401

    await until(refused, 5)
    world.keys[Side.LEGACY] = second
    assert (await twins.call(Side.LEGACY, json={})).status_code == 201
    assert {key.name: key.revoked_at is not None for key in await keys.every(world.database)} == {
        "legacy workers": True,
        "candidate workers": False,
        "the next": False,
    }
