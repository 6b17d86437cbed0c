"""The front listener with everything real around it but the platforms: intake, routing and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from api.front.application import FrontApp
from api.front.reports import PREFIX, worker_app
from api.front.services import FrontServices
from api.front.straight import Straight
from benchmarks.chaos.line import Line
from sandbox.inngest import PretendInngest
from sandbox.ports import free_port
from sandbox.serving import Served
from sandbox.trigger_dev.server import PretendTriggerDev
from shadow.catalogue import ResolvedCatalogue, parse
from shadow.cutover.decision import Decision, Phase, Ramp, decide
from shadow.fanout.spooled_handoffs import SpooledHandoffs
from shadow.intake.intake import Intake
from shadow.outcomes.spooled_reports import SpooledReports
from shadow.platforms.client import carrying_client
from shadow.platforms.registry import adapters
from shadow.spool.replay import SpoolReplay, spooling
from shadow.store.database import Database, Work

PRODUCER = "tr_dev_producer00000000000000000"
WORKER = "tr_dev_sk_worker00000000000000000"
KEY = {"authorization": f"Bearer {PRODUCER}"}

CATALOGUE = """
version: 1
platforms:
  trigger: {{kind: trigger.dev, side: legacy, url: "{trigger}", secret_key: {producer}, timeout: 5s}}
  inngest: {{kind: inngest, side: candidate, event_url: "{inngest}", api_url: "{inngest}", event_key: k, app: shop}}
  app: {{kind: http, side: legacy, url: "{app}/hooks/github", headers: {{x-shadow-key: secret}}}}
report_keys: {{legacy: [legacy-key], candidate: [candidate-key]}}
sources:
  github:
    kind: webhook
    signature: {{scheme: github, secrets: [hush]}}
    forward: app
    answer: passthrough
    events: [{{name: github/push, data: {{ref: $.ref}}}}]
  app-events: {{kind: inngest, keys: [producer-key]}}
  app-calls: {{kind: trigger.dev, keys: [{producer}]}}
  workers: {{kind: trigger.dev, keys: [{worker}], origin: legacy}}
tasks:
  deploy:
    event: github/push
    sources: [github]
    legacy: {{platform: app}}
    candidate: {{platform: inngest}}
  pay:
    event: payout/approved
    sources: [app-events]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
  hello:
    event: hello/said
    sources: [app-calls]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
  fails:
    event: fails/asked
    sources: [app-calls]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
"""


@dataclass
class ToldRouting:
    """Every route stands in the phase it was told."""

    phase: Phase = Phase.SHADOW
    of: dict[str, Phase] = field(default_factory=dict)
    """Routes that stand elsewhere."""
    ramp: Ramp = field(default_factory=Ramp)
    """Of those in `ramp`."""
    steady: bool = True
    """Whether no route was moved lately."""

    def decision(self, route: str, key: str | None = None) -> Decision:
        return decide(route, self.of.get(route, self.phase), candidate=self.ramp.takes(key))

    def decisions(self, route: str) -> list[Decision]:
        return [decide(route, self.of.get(route, self.phase), candidate=candidate) for candidate in (False, True)]


@dataclass
class App:
    """The app whose own route takes webhooks."""

    status: int = 200
    received: list[tuple[bytes, dict[bytes, bytes]]] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.received.append((body, dict(scope["headers"])))
        headers = [(b"x-app", b"1"), (b"content-length", b"4")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"true"})


@dataclass
class World:
    """The listener and what is around it."""

    client: httpx.AsyncClient
    url: str
    database: Database
    catalogue: ResolvedCatalogue
    trigger: PretendTriggerDev
    inngest: PretendInngest
    app: App
    routing: ToldRouting
    services: FrontServices
    requests: list[httpx.Request]
    """What the listener sent on, in order."""
    replay: SpoolReplay | None = None
    lines: dict[str, Line] = field(default_factory=dict)
    """To the platforms, where there are any."""

    async def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What is stored, once what the answers so far have left to do is done."""
        await self.services.afterwards.finish()
        async with self.database.connection(Work.CONTROL) as connection:
            cursor = await connection.execute(query.encode(), parameters)
            return await cursor.fetchall()

    async def dispatches(self) -> list[tuple[Any, ...]]:
        """(side, stage, state) of what is left to do, in order."""
        return await self.rows("SELECT side, stage, state FROM dispatches ORDER BY created_at, side DESC, stage")

    async def runs(self) -> list[tuple[Any, ...]]:
        """(side, state, platform run id) of every run, legacy first."""
        return await self.rows("SELECT side, state, platform_run_id FROM runs ORDER BY side DESC, platform_run_id")

    async def count(self, table: str) -> int:
        return int((await self.rows(f"SELECT count(*) FROM {table}"))[0][0])

    async def trigger_call(self, task: str = "hello", body: Any = None, **headers: str) -> httpx.Response:
        sent = {**KEY, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.client.post(f"/api/v1/tasks/{task}/trigger", json=body or {"payload": {"n": 1}}, headers=sent)


async def _greet(payload: Any, context: Any) -> Any:
    return {"said": payload}


async def _fail(payload: Any, context: Any) -> Any:
    raise RuntimeError("no")


def states(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    return [" ".join(str(value) for value in row) for row in rows]


@asynccontextmanager
async def world_of(database: Database, spool: Path | None = None, *, lined: bool = False) -> AsyncIterator[World]:
    """Start all of it over that database; it stops with the block.

    Args:
        lined: the platforms are reached by lines that can misbehave.
        spool: the folder where it spools while the database is away; None: it does not.
    """
    async with AsyncExitStack() as stack:
        trigger = await stack.enter_async_context(PretendTriggerDev(secret_keys=[PRODUCER, WORKER]))
        trigger.task("hello", _greet)
        trigger.task("fails", _fail)
        inngest = PretendInngest()
        inngest_served = await stack.enter_async_context(Served(inngest.app))
        app = App()
        app_served = await stack.enter_async_context(Served(app))
        urls = {"trigger": trigger.url, "inngest": inngest_served.url, "app": app_served.url}
        lines = {name: Line(free_port(), urlsplit(url)) for name, url in urls.items()} if lined else {}
        for line in lines.values():
            await line.start()
            stack.push_async_callback(line.stop)
        urls |= {name: line.url for name, line in lines.items()}
        text = CATALOGUE.format(**urls, producer=PRODUCER, worker=WORKER)
        catalogue = parse(text, "front.yaml", {})
        replay = await stack.enter_async_context(spooling(spool, database)) if spool is not None else None
        intake = Intake(database, replay.spool if replay is not None else None)
        await intake.start()
        stack.push_async_callback(intake.stop)
        routing = ToldRouting()
        http = await stack.enter_async_context(carrying_client())
        requests: list[httpx.Request] = []

        async def remember(request: httpx.Request) -> None:
            requests.append(request)

        http.event_hooks = {"request": [remember]}
        services = FrontServices(catalogue, intake, routing, database, http)
        if replay is not None:
            handoffs = SpooledHandoffs(catalogue, database, replay.spool)
            await handoffs.recall()
            straight = Straight(
                handoffs,
                adapters(catalogue, http),
                services.afterwards,
                lambda _route, _within: routing.steady,
            )
            reports = SpooledReports(catalogue, database, replay.spool)
            stack.push_async_callback(reports.stop)
            extra = [(PREFIX, worker_app(catalogue, database, spooled=reports))]
            services = replace(services, straight=straight, extra=extra)
        stack.push_async_callback(services.afterwards.finish)
        front = await stack.enter_async_context(Served(FrontApp(services)))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=front.url, timeout=30))
        yield World(
            client, front.url, database, catalogue, trigger, inngest, app, routing, services, requests, replay, lines
        )
