"""A process that is told to stop: what is under way is finished, what is held is let go, and nothing new comes in."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import httpx

from sandbox.ports import free_port
from sandbox.serving import Served
from shadow.catalogue.model import Side
from shadow.store.database import Database
from tests.integration.egress.test_kill import _answers, _pay
from tests.integration.egress.world import CATALOGUE, Books, World, until, world_of


async def test_a_call_under_way_is_finished_and_the_process_says_that_it_is_not_ready(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with world_of(database, tmp_path) as world, Served(books := Books(pause=4)) as target:
        twins = await world.twins()
        front, control = free_port(), free_port()
        catalogue = tmp_path / "catalogue.yaml"
        text = CATALOGUE.replace("timeout: 2s", "timeout: 20s")
        catalogue.write_text(text.format(target=target.url, trigger="http://127.0.0.1:9", secret="tr_dev_secret"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shadow", "serve", "--catalogue", str(catalogue), "--database-url", database_url),
            *("--data", str(tmp_path), "--front-port", str(front), "--control-port", str(control)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with (
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{front}", timeout=30) as client,
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{control}", timeout=30) as operator,
            ):
                await until(lambda: _answers(client))
                assert (await operator.get("/readyz")).status_code == 200
                call = asyncio.create_task(_pay(client, world, twins))
                await asyncio.wait_for(books.called.wait(), 10)
                process.send_signal(signal.SIGTERM)

                async def unready() -> bool:
                    return (await operator.get("/readyz")).status_code == 503

                await until(unready)
                assert (await operator.get("/healthz")).status_code == 200

                async def closed() -> bool:
                    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{front}") as late:
                        return not await _answers(late)

                await until(closed)
                assert not call.done()
                await call
                assert await asyncio.wait_for(process.wait(), 20) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert await world.effects() == [("legacy", "POST /v1/transfers", "forward", 201, "wd_1")]
        # it took no new calls while the last was answered, and left then
        ((closed_before,),) = await world.rows("SELECT left_at - closed_at > interval '0.5 s' FROM gateways")
        assert closed_before


async def test_a_held_call_gets_at_once_what_it_would_get_at_the_end_of_its_wait(world: World) -> None:
    twins = await world.twins("digest")
    waiting = asyncio.create_task(twins.call(Side.CANDIDATE, json={"requestId": "wd_1"}))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    begun = time.monotonic()
    world.gateway.drain()
    answer = await waiting
    assert time.monotonic() - begun < 1.0
    assert answer.headers["x-shadow-gateway"] == "stub"
    assert (await world.rows("SELECT incomparable FROM pairs")) == [("held too long: stubbed from effect 1 on",)]
