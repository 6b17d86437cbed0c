"""The clock of the machine on which `serve` and `work` run jumps by an hour, while the database's does not."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from sandbox.inngest import PretendInngest
from sandbox.ports import free_port
from sandbox.trigger_dev import PretendTriggerDev
from shadow.catalogue import parse
from shadow.containment.record import declare
from shadow.cutover.decision import Phase
from shadow.cutover.moves import LEAD
from shadow.demo.processes import Child
from shadow.steering.moving import move
from shadow.store.database import Database, Work
from tests.faketime import Clock
from tests.integration.fanout.serving import served, until
from tests.integration.fanout.stage import CATALOGUE, SECRET, functions

pytestmark = pytest.mark.slow

HOUR = 3600
WEBHOOKS = """
  stripe:
    kind: webhook
    signature: {scheme: stripe, secrets: [hush]}
    events: [{name: payout/told, data: {id: $.id}}]
report_keys:
"""


@dataclass
class World:
    """Both processes with a clock of their own, and all that is around them."""

    client: httpx.AsyncClient
    database: Database
    clock: Clock
    trigger: PretendTriggerDev
    children: list[Child]
    sent: int = 0
    webhooks: int = 0

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.database.connection(Work.CONTROL) as connection:
            return list(await (await connection.execute(query.encode())).fetchall())

    async def order(self) -> None:
        """An event that comes now is accepted at once, runs once a side for each of its two tasks, and is judged."""
        self.sent += 1
        event = {"name": "order/created", "id": f"o-{self.sent}", "data": {"orderId": self.sent, "tenantId": "acme"}}
        begun = time.monotonic()
        answer = await self.client.post("/e/producer", json=event)
        assert (answer.status_code, time.monotonic() - begun < 5) == (200, True)
        again = await self.client.post("/e/producer", json=event)
        assert again.json()["ids"] != []
        expected = 2 * self.sent

        async def judged() -> bool:
            return (await self.rows("SELECT count(*) FROM pairs WHERE verdict = 'match'")) == [(expected,)]

        await until(judged, within=60)
        assert await self.rows("SELECT count(*) FROM runs WHERE state = 'finished'") == [(2 * expected,)]
        assert await self.rows("SELECT count(*) FROM events WHERE name = 'order/created'") == [(self.sent,)]

    async def webhook(self) -> int:
        """The status of the answer to a delivery that is signed now, by a provider whose clock is right."""
        self.webhooks += 1
        body = orjson.dumps({"id": f"evt_{self.webhooks}"})
        at = int(time.time())
        digest = hmac.new(b"hush", f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"stripe-signature": f"t={at},v1={digest}", "content-type": "application/json"}
        return (await self.client.post("/webhooks/stripe", content=body, headers=headers)).status_code


@asynccontextmanager
async def world_of(database: Database, url: str, folder: Path) -> AsyncIterator[World]:
    trigger = PretendTriggerDev(secret_keys=[SECRET])

    async def done(payload: Any, context: Any) -> Any:
        return {"done": payload}

    for task in ("sync-order", "welcome", "pay-out", "slow-down"):
        trigger.task(task, done)
    pretend = PretendInngest(retry_delay=0.01)
    async with (
        trigger,
        pretend,
        served(pretend.app) as inngest_url,
        served(functions(inngest_url)) as functions_url,
    ):
        await pretend.sync(f"{functions_url}/api/inngest")
        text = CATALOGUE.format(trigger=trigger.url, inngest=inngest_url, app="http://127.0.0.1:9", secret=SECRET)
        text = text.replace("payload: {order: $.orderId, tenant: $.tenantId}", "payload: $")
        path = folder / "catalogue.yaml"
        path.write_text(text.replace("report_keys:\n", WEBHOOKS.lstrip("\n"), 1))
        catalogue = parse(path.read_text(), str(path), {})
        await declare(database, "sync-order", actor="test", reason="pretended")
        await declare(database, "welcome", actor="test", reason="pretended")
        await move(database, catalogue, "welcome", Phase.SHADOW, actor="test", reason="clocks", force=True)
        await asyncio.sleep(LEAD.total_seconds())
        clock, front, control = Clock(folder), free_port(), free_port()
        environment = {**os.environ, **clock.environment, "SHADOW_DATABASE_URL": url}
        common = ("--catalogue", str(path), "--data", str(folder / "data"))
        children = [
            Child(
                "shadow",
                ("serve", *common, "--front-port", str(front), "--control-port", str(control)),
                folder / "serve.log",
                environment,
            ),
            Child("shadow", ("work", *common, "--control-port", str(free_port())), folder / "work.log", environment),
        ]
        await asyncio.gather(*(child.start() for child in children))
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{front}", timeout=30, trust_env=False) as client:

                async def ready() -> bool:
                    try:
                        return (await client.get(f"http://127.0.0.1:{control}/readyz")).status_code == 200
                    except httpx.TransportError:
                        return False

                await until(ready, within=60)
                yield World(client, database, clock, trigger, children)
        finally:
            await asyncio.gather(*(child.stop() for child in children))


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_step_of_an_hour_loses_nothing_and_runs_nothing_twice(
    database: Database, database_url: str, tmp_path: Path, step: int
) -> None:
    async with world_of(database, database_url, tmp_path) as world:
        await world.order()
        assert await world.webhook() == 202
        world.clock.set(step)
        await world.order()
        # what is signed with a time is as far off as the clock is, and its provider sends it again
        assert await world.webhook() == 401
        await world.order()
        ids = [row[0] for row in await world.rows("SELECT id FROM events WHERE name = 'order/created' ORDER BY id")]
        assert len(set(ids)) == 3
        world.clock.set(0)
        assert await world.webhook() == 202
        await world.order()
        assert len(world.trigger.runs()) == 2 * world.sent, "one run for each task"
        assert await world.rows("SELECT count(*) FROM dispatches") == [(0,)]
        # a process ends as ever, though its clock jumps while it drains
        begun = time.monotonic()
        stopping = [asyncio.create_task(child.stop()) for child in world.children]
        world.clock.set(step)
        assert await asyncio.gather(*stopping) == [0, 0]
        assert time.monotonic() - begun < 20
