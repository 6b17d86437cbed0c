"""A service whose tasks the candidate has, with both platforms pretended and functions that really run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import inngest
import inngest.fast_api
from fastapi import FastAPI

from sandbox.inngest import PretendInngest
from sandbox.ports import free_port
from sandbox.serving import Served
from sandbox.trigger_dev import PretendTriggerDev
from shadow.catalogue import parse
from shadow.cutover.decision import Phase
from shadow.service import Listener, Service
from shadow.store.database import Database, Work
from tests.integration.causes.chain import up

KEY = "tr_dev_producer00000000000000000"
HEADERS = {"authorization": f"Bearer {KEY}"}

_CATALOGUE = """
platforms:
  trigger: {{kind: trigger.dev, side: legacy, url: "{trigger}", secret_key: {key}, poll_every: 300ms}}
  inngest:
    kind: inngest
    side: candidate
    event_url: "{inngest}"
    api_url: "{inngest}"
    event_key: k
    dev: true
    app: shop
    poll_every: 300ms
sources:
  calls: {{kind: trigger.dev, keys: [{key}]}}
tasks:
  hello: {{event: hello/said, sources: [calls], legacy: {{platform: trigger}}, candidate: {{platform: inngest}}}}
  fails: {{event: fails/asked, sources: [calls], legacy: {{platform: trigger}}, candidate: {{platform: inngest}}}}
"""


@dataclass
class Switched:
    """The running service and what is around it."""

    url: str
    client: httpx.AsyncClient
    database: Database
    trigger: PretendTriggerDev
    inngest: PretendInngest

    async def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        async with self.database.connection(Work.CONTROL) as connection:
            cursor = await connection.execute(query.encode(), parameters)
            return await cursor.fetchall()

    async def move(self, phase: Phase, allow: Sequence[str] = ()) -> None:
        """Move both tasks, and wait until calls are answered so; no gate is this test's business."""
        async with self.database.connection(Work.CONTROL) as connection:
            await connection.execute(
                "INSERT INTO phases (task, phase, previous, effective_at, version, allow)"
                " SELECT task, %s, 'legacy', now(), 1, %s FROM unnest(ARRAY['hello', 'fails']) AS task"
                " ON CONFLICT (task) DO UPDATE SET phase = excluded.phase, allow = excluded.allow",
                (phase.value, list(allow)),
            )
            await connection.execute("NOTIFY shadow_routing")
        async with asyncio.timeout(20):
            while len((await self.say({"tenantId": "acme"}))["id"]) != len("run_") + 32:  # noqa: ASYNC110 (another process changes it)
                await asyncio.sleep(0.05)

    async def say(self, payload: Any, **options: Any) -> dict[str, Any]:
        answer = await self.client.post(
            "/api/v1/tasks/hello/trigger", json={"payload": payload, "options": options}, headers=HEADERS
        )
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said


@asynccontextmanager
async def switched(database: Database, folder: Path) -> AsyncIterator[Switched]:
    """All of it, in phase legacy, for as long as the block lasts."""
    port = free_port()
    front = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        trigger = await stack.enter_async_context(PretendTriggerDev(secret_keys=[KEY]))
        pretend = await stack.enter_async_context(PretendInngest(retry_delay=0.05))
        served = await stack.enter_async_context(Served(pretend.app))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=front, timeout=60, trust_env=False))
        for task, run in (("hello", _greet), ("fails", _fail)):
            trigger.task(task, run)
        app = FastAPI()
        sdk = inngest.Inngest(
            app_id="shop", is_production=False, api_base_url=served.url, event_api_base_url=served.url, event_key="k"
        )
        inngest.fast_api.serve(app, sdk, [_hello(sdk), _fails(sdk)])
        app_served = await stack.enter_async_context(Served(app))
        catalogue = parse(_CATALOGUE.format(trigger=trigger.url, inngest=served.url, key=KEY), "switched.yaml", {})
        stop = asyncio.Event()
        service = Service(catalogue, database, front=Listener("127.0.0.1", port), control=None, loops=True, data=folder)
        running = asyncio.create_task(service.run(stop))

        async def end() -> None:
            stop.set()
            await running

        stack.push_async_callback(end)
        await up(client, running)
        await pretend.sync(f"{app_served.url}/api/inngest")
        await pretend.sync(f"{front}/shadow/inngest")
        yield Switched(front, client, database, trigger, pretend)


async def _greet(payload: Any, context: Any) -> Any:
    return {"said": payload}


async def _fail(payload: Any, context: Any) -> Any:
    raise RuntimeError("no")


def _hello(client: inngest.Inngest) -> inngest.Function[Any]:
    @client.create_function(fn_id="hello", trigger=inngest.TriggerEvent(event="hello/said"))
    async def run(ctx: inngest.Context) -> Any:
        return {"said": ctx.event.data}

    return run


def _fails(client: inngest.Inngest) -> inngest.Function[Any]:
    @client.create_function(fn_id="fails", trigger=inngest.TriggerEvent(event="fails/asked"), retries=0)
    async def run(ctx: inngest.Context) -> Any:
        raise inngest.NonRetriableError("no")

    return run
