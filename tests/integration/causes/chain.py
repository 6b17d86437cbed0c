"""A chain of tasks three deep on both platforms, which the real service runs between: first emits second, which emits
third. Legacy's tasks call through Shadow's door or straight to their platform, and so do the candidate's functions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import httpx
import inngest
import inngest.fast_api
from fastapi import FastAPI

from sandbox.inngest import PretendInngest
from sandbox.ports import free_port
from sandbox.serving import Served
from sandbox.trigger_dev import PretendTriggerDev, RateLimit, TaskContext
from shadow.capture import Capture
from shadow.catalogue import ResolvedCatalogue, parse
from shadow.cutover.decision import Phase
from shadow.cutover.last_known import LastKnown
from shadow.cutover.routing import Routing
from shadow.service import Listener, Service
from shadow.store.database import Database, Work

Way = Literal["door", "straight"]
ROOT = "tr_prod_ChainRoot000000000000000"
WORKER = "tr_prod_sk_ChainWorker00000000000"
EVENTS = {"first": "chain/first", "second": "chain/second", "third": "chain/third"}
NEXT = {"first": "second", "second": "third"}

CATALOGUE = """
platforms:
  trigger:
    kind: trigger.dev
    side: legacy
    url: "{trigger}"
    secret_key: {root}
    poll_every: 300ms
    budget: {{requests_per_minute: 600000, burst: 10000}}
  inngest:
    kind: inngest
    side: candidate
    event_url: "{inngest}"
    api_url: "{inngest}"
    event_key: shadows-key
    dev: true
    app: chain
    budget: {{requests_per_minute: 600000, burst: 10000}}
sources:
  app: {{kind: inngest, keys: [app-key]}}
  legacy-worker: {{kind: trigger.dev, keys: [{worker}], origin: legacy}}
  candidate-worker: {{kind: inngest, keys: [candidate-key], origin: candidate}}
report_keys: {{legacy: [legacy-reports], candidate: [candidate-reports]}}
defaults:
  deadline: {deadline}
  settle: 200ms
  sequence: {sequence}
  cutover: {{reverse: {reverse}}}
  rules: {{identities: [{{kind: event, paths: [$.order, $.part]}}]}}
tasks:
  first: {{event: chain/first, sources: [app], legacy: {{platform: trigger}}, candidate: {{platform: inngest}}}}
  second: {{event: chain/second, sources: [app], legacy: {{platform: trigger}}, candidate: {{platform: inngest}}}}
  third: {{event: chain/third, sources: [app], legacy: {{platform: trigger}}, candidate: {{platform: inngest}}}}
"""


@dataclass
class Chain:
    """The running service and all around it."""

    front: str
    catalogue: ResolvedCatalogue
    database: Database
    trigger: PretendTriggerDev
    inngest: PretendInngest
    client: httpx.AsyncClient
    platform: str
    """Where the pretend Inngest is served."""
    routings: list[Routing]
    """What the service's doors know of phases."""
    delay: timedelta = timedelta(0)
    """How much later `second` is to run."""
    invokes: bool = False
    """Whether the candidate's `first` invokes `second` as a step, and waits for it."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Until when what takes long takes."""
    faults: set[str] = field(default_factory=set)

    async def send(self, *orders: int, event: str = "chain/first", tenant: str | None = None) -> None:
        """What the producer does."""
        of = {} if tenant is None else {"tenantId": tenant}
        events = [{"name": event, "id": f"order-{order}", "data": {"order": order, **of}} for order in orders]
        answer = await self.client.post("/e/app-key", json=events)
        assert answer.status_code == 200, answer.text

    async def phases(self, phases: Mapping[str, Phase], allow: Sequence[str] = ()) -> None:
        """Move tasks, at once; containment is not this test's business.

        Args:
            allow: of `ramp`: the keys that go to the candidate.
        """
        async with self.database.connection(Work.CONTROL) as conn:
            for task, phase in phases.items():
                await conn.execute(
                    "INSERT INTO phases (task, phase, previous, effective_at, version, allow, reverse)"
                    " VALUES (%s, %s, %s, now(), 1, %s, true)"
                    " ON CONFLICT (task) DO UPDATE SET previous = phases.phase, phase = excluded.phase,"
                    " effective_at = now(), version = phases.version + 1, allow = excluded.allow",
                    (task, phase.value, phase.value, list(allow)),
                )
            await conn.execute("NOTIFY shadow_routing")
        async with asyncio.timeout(30):
            while True:
                if all(routing.phase(task) is phase for routing in self.routings for task, phase in phases.items()):
                    return
                await asyncio.sleep(0.02)

    async def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        async with self.database.connection(Work.CONTROL) as conn:
            cursor = await conn.execute(query.encode(), parameters)
            return await cursor.fetchall()

    async def settled(self, runs: int, within: float = 60) -> None:
        """Until so many runs are known to have ended, and every pair has a verdict."""
        try:
            async with asyncio.timeout(within):
                while True:
                    ended = (await self.rows("SELECT count(*) FROM runs WHERE state = 'finished'"))[0][0]
                    open_pairs = (await self.rows("SELECT count(*) FROM pairs WHERE verdict IS NULL"))[0][0]
                    if ended >= runs and open_pairs == 0:
                        return
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"expected {runs} runs, found: {await self.state()}") from None

    async def state(self) -> str:
        """Where everything stands, for whoever reads of a failure."""
        runs = await self.rows(
            "SELECT task, side, state, authority, pair_id IS NOT NULL, event_id IS NOT NULL, count(*) FROM runs"
            " GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2"
        )
        queue = await self.rows(
            "SELECT side, stage, state, task, error, count(*) FROM dispatches GROUP BY 1, 2, 3, 4, 5"
        )
        lines = [str(row) for row in (*runs, *queue, *(await self.verdicts()).items())]
        return "\n".join([*lines, f"{self.legacy_runs()}", f"{self.candidate_runs()}"])

    async def verdicts(self) -> dict[tuple[str, str], int]:
        """(task, verdict) -> pairs."""
        rows = await self.rows("SELECT task, COALESCE(verdict, 'none'), count(*) FROM pairs GROUP BY 1, 2")
        return {(task, verdict): count for task, verdict, count in rows}

    async def differences(self) -> list[tuple[Any, ...]]:
        return await self.rows(
            "SELECT pairs.task, kind, path, sentence FROM differences JOIN pairs ON pairs.id = pair_id LIMIT 10"
        )

    async def authorities(self) -> Counter[tuple[str, str, str]]:
        """(task, side, authority) of every run."""
        rows = await self.rows("SELECT task, side, authority FROM runs")
        return Counter((task, side, authority) for task, side, authority in rows)

    def legacy_runs(self) -> Counter[str]:
        """How often Trigger.dev ran each task."""
        return Counter(run.task for run in self.trigger.runs())

    def candidate_runs(self) -> Counter[str]:
        """How often Inngest ran each function, the watcher left out."""
        names = (run.function_id for run in self.inngest.runs() if run.function_id.startswith("chain-"))
        return Counter(name.removeprefix("chain-") for name in names)


@asynccontextmanager
async def chain(
    database: Database,
    folder: Path,
    *,
    legacy: Way = "door",
    candidate: Way = "door",
    sequence: str = "together",
    quota: RateLimit | None = None,
    deadline: str = "60s",
    reverse: bool = False,
) -> AsyncIterator[Chain]:
    """Everything, for as long as the block lasts.

    Args:
        quota: of requests to Trigger.dev; the real one's, some 1,500 a minute, where it is not told.
        deadline: of every task.
        reverse: legacy runs without authority where the candidate has it.
    """
    port = free_port()
    front = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        trigger = await stack.enter_async_context(
            PretendTriggerDev(secret_keys=[ROOT, WORKER], concurrency=200, rate_limit=quota or RateLimit())
        )
        pretend = await stack.enter_async_context(PretendInngest(retry_delay=0.05))
        inngest_served = await stack.enter_async_context(Served(pretend.app))
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=front, timeout=60, limits=httpx.Limits(max_connections=64), trust_env=False)
        )
        text = CATALOGUE.format(
            deadline=deadline,
            trigger=trigger.url,
            inngest=inngest_served.url,
            root=ROOT,
            worker=WORKER,
            sequence=sequence,
            reverse=str(reverse).lower(),
        )
        catalogue = parse(text, "chain.yaml", {})
        routings: list[Routing] = []

        def remembered(catalogue: ResolvedCatalogue, database: Database, last_known: LastKnown) -> Routing:
            routings.append(Routing(catalogue, database, last_known))
            return routings[-1]

        stack.enter_context(patch("shadow.service.Routing", remembered))
        world = Chain(front, catalogue, database, trigger, pretend, client, inngest_served.url, routings)
        for task in EVENTS:
            trigger.task(task, _legacy(world, task, legacy))
        app = FastAPI()
        to = front if candidate == "door" else inngest_served.url
        sdk = _client(front, to, inngest_served.url)
        inngest.fast_api.serve(app, sdk, [_function(world, sdk, name) for name in EVENTS])
        served_app = await stack.enter_async_context(Served(app))
        stop = asyncio.Event()
        service = Service(catalogue, database, front=Listener("127.0.0.1", port), control=None, loops=True, data=folder)
        running = asyncio.create_task(service.run(stop))

        async def end() -> None:
            stop.set()
            await running

        stack.push_async_callback(end)
        await up(client, running)
        await pretend.sync(f"{served_app.url}/api/inngest")
        await pretend.sync(f"{front}/shadow/inngest")
        yield world


def _legacy(world: Chain, task: str, way: Way) -> Any:
    async def run(payload: Any, context: TaskContext) -> Any:
        if f"legacy {task} takes long" in world.faults:
            await world.gate.wait()
        following = NEXT.get(task)
        if following is not None and f"legacy {task} stays silent" not in world.faults:
            data = {"order": payload["order"], "part": following}
            delay = world.delay if following == "second" else timedelta(0)
            if way == "straight":
                at = datetime.now(UTC) + delay if delay else None
                await context.trigger(following, data, delay=at)
            else:
                await _call(world, following, data, context, delay)
        return {"order": payload["order"]}

    return run


async def _call(world: Chain, task: str, payload: Any, context: TaskContext, delay: timedelta) -> None:
    """As the SDK does inside a task whose API URL is Shadow's."""
    options: dict[str, Any] = {"parentRunId": context.run_id}
    if delay:
        options["delay"] = (datetime.now(UTC) + delay).isoformat()
    answer = await world.client.post(
        f"/api/v1/tasks/{task}/trigger",
        json={"payload": payload, "options": options},
        headers={
            "authorization": f"Bearer {WORKER}",
            "x-trigger-worker": "true",
            "x-trigger-request-idempotency-key": f"{context.run_id}-{task}",
        },
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"].startswith("run_")


def _client(front: str, events: str, api: str) -> inngest.Inngest:
    capture = Capture(front, "no-egress-here", {}, report_key="candidate-reports", other_hosts="report")
    return inngest.Inngest(
        app_id="chain",
        is_production=False,
        api_base_url=api,
        event_api_base_url=events,
        event_key="candidate-key",
        middleware=[capture.middleware()],
    )


def _function(world: Chain, client: inngest.Inngest, name: str) -> inngest.Function[Any]:
    @client.create_function(fn_id=name, trigger=inngest.TriggerEvent(event=EVENTS[name]), retries=2)
    async def run(ctx: inngest.Context) -> Any:
        following = NEXT.get(name)
        if following is not None and f"candidate {name} stays silent" not in world.faults:
            data = {"order": ctx.event.data["order"], "part": following}
            if world.invokes and name == "first":
                await ctx.step.invoke_by_id("go-on", function_id=following, data=data)
                return {"order": ctx.event.data["order"]}
            at = datetime.now(UTC) + world.delay if following == "second" and world.delay else None
            event = inngest.Event(
                name=EVENTS[following],
                data=data,
                ts=int(at.timestamp() * 1000) if at is not None else 0,
            )
            await ctx.step.send_event("go-on", event)
        return {"order": ctx.event.data["order"]}

    return run


async def up(client: httpx.AsyncClient, running: asyncio.Task[None]) -> None:
    """Until the service answers; what it fails with, should it end before."""
    async with asyncio.timeout(30):
        while True:
            if running.done():
                await running
            try:
                if (await client.get("/healthz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
