"""The whole service between two schedulers of one task, `settle`, before a bank that keeps books of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import inngest
import inngest.fast_api
from fastapi import FastAPI

from sandbox.inngest import PretendInngest
from sandbox.ports import free_port
from sandbox.serving import Served
from sandbox.trigger_dev import PretendTriggerDev, TaskContext
from shadow.capture import Capture
from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase
from shadow.egress import keys as egress_keys
from shadow.service import Listener, Service
from shadow.store.database import Database
from tests.acceptance.paying import HOST, ROOT, SECRET, Bank
from tests.integration.causes.chain import up
from tests.integration.fanout.serving import until
from tests.integration.ticks.clock import Clock

TASK = "settle"
FUNCTION = f"shop-{TASK}"
CRON = "*/5 * * * *"
CATALOGUE = """
platforms:
  trigger: {{kind: trigger.dev, side: legacy, url: "{trigger}", secret_key: {root}, poll_every: 300ms}}
  inngest:
    {{kind: inngest, side: candidate, event_url: "{inngest}", api_url: "{inngest}", event_key: shadows-key, dev: true,
     app: shop, poll_every: 300ms}}
sources:
  candidate-worker: {{kind: inngest, keys: [candidate-key], origin: candidate}}
report_keys: {{legacy: [legacy-reports], candidate: [candidate-reports]}}
defaults: {{deadline: 60s, settle: 200ms, sequence: after}}
targets:
  bank:
    url: "{bank}"
    private: true
    credential: {{header: authorization, secret: "Bearer {secret}"}}
    operations:
      - {{match: POST /v1/transfers, identity: [$.body.request]}}
tasks:
  settle:
    event: cron/settle
    sources: []
    cron: {{expression: "{cron}"}}
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest, data: {{scheduledAt: $.timestamp}}}}
"""


def minute(moment: Any) -> str:
    """An instant as both sides' code writes it into its transfers."""
    return datetime.fromisoformat(str(moment)).astimezone(UTC).strftime("%Y-%m-%d %H:%M")


@dataclass
class Ticking(Clock):
    """All of it, running. Schedulers fire when they are told to."""

    trigger: PretendTriggerDev
    inngest: PretendInngest
    bank: Bank
    catalogue: ResolvedCatalogue
    schedule: str
    restart: Callable[[], Awaitable[None]]
    """Stops the service and starts it again."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Until when legacy's runs wait before they do anything."""

    def fire_legacy(self, at: datetime) -> str:
        """What Trigger.dev's scheduler does for that nominal time; the run's name."""
        return self.trigger.fire(self.schedule, at)

    def fire_candidate(self, at: datetime) -> str | None:
        """What Inngest's scheduler does; None when it has fired that time before."""
        run = self.inngest.tick(FUNCTION, at)
        return run.run_id if run is not None else None

    async def known(self, runs: int) -> None:
        """Until so many runs of schedulers, or of mirrored ticks, are known to have ended and all pairs are judged."""

        async def all_are() -> bool:
            ended = await self.rows("SELECT FROM runs WHERE state = 'finished'")
            waiting = await self.rows("SELECT FROM pairs WHERE verdict IS NULL")
            return len(ended) >= runs and not waiting

        try:
            await until(all_are, within=40, every=0.1)
        except TimeoutError:
            rows = await self.rows("SELECT task, side, state, authority, platform_run_id, error_message FROM runs")
            raise AssertionError(f"{runs} runs were waited for; found {rows}; {await self.ticks()}") from None

    async def ticks_of(self, nominal: list[datetime]) -> list[tuple[Any, ...]]:
        """Those of these nominal times; the service's own clock adds others while a test lasts."""
        return [tick for tick in await self.ticks() if tick[0] in nominal]

    @property
    def transfers(self) -> Counter[str]:
        """By nominal time, how often the bank's own books say that money moved."""
        return Counter(made["request"] for made in self.bank.transfers.values())

    async def verdicts(self) -> list[tuple[str, str | None]]:
        return [(verdict, reason) for verdict, reason in await self.rows("SELECT verdict, reason FROM pairs")]


def _workers(world: Ticking, front: str, keys: dict[Side, str]) -> tuple[Any, Any, Capture, Capture]:
    """Legacy's task, and the candidate's function with both of its triggers; each moves money once a tick."""
    captures = {
        side: Capture(front, keys[side], {HOST: "bank"}, report_key=f"{side.value}-reports", other_hosts="report")
        for side in Side
    }
    # A connection of its own for each call: one that is kept may end with the service, when a call is under way.
    limits = httpx.Limits(max_keepalive_connections=0)
    clients = {
        side: capture.async_client(timeout=30, limits=limits, trust_env=False) for side, capture in captures.items()
    }

    async def transfer(side: Side, at: str) -> str:
        body = {"request": at, "amount": 1200}
        while True:
            try:
                answer = await clients[side].post(f"https://{HOST}/v1/transfers", json=body)
                break
            except httpx.TransportError:  # the service is being restarted: it finishes what it has begun to answer
                await asyncio.sleep(0.1)
        answer.raise_for_status()
        return str(answer.json()["request"])

    @captures[Side.LEGACY].task(TASK)
    async def legacy(payload: Any, context: TaskContext) -> Any:
        await world.gate.wait()
        return {"settled": await transfer(Side.LEGACY, minute(payload["timestamp"]))}

    client = inngest.Inngest(
        app_id="shop",
        is_production=False,
        api_base_url=world.catalogue.platforms["inngest"].api_url,  # type: ignore[union-attr]
        event_api_base_url=front,
        event_key="candidate-key",
        middleware=[captures[Side.CANDIDATE].middleware()],
    )

    @client.create_function(
        fn_id=TASK, retries=0, trigger=[inngest.TriggerEvent(event="cron/settle"), inngest.TriggerCron(cron=CRON)]
    )
    async def candidate(ctx: inngest.Context) -> Any:
        # The mirrored tick and the own trigger's event say it by the same name.
        at = minute(ctx.event.data["scheduledAt"])

        async def work() -> str:
            return await transfer(Side.CANDIDATE, at)

        return {"settled": await ctx.step.run("transfer", work)}

    app = FastAPI()
    inngest.fast_api.serve(app, client, [candidate])
    return legacy, app, captures[Side.LEGACY], captures[Side.CANDIDATE]


@asynccontextmanager
async def ticking(database: Database, folder: Path) -> AsyncIterator[Ticking]:
    """Everything, as long as the block lasts."""
    port = free_port()
    front = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        bank = Bank()
        served_bank = await stack.enter_async_context(Served(bank))
        trigger = await stack.enter_async_context(PretendTriggerDev(secret_keys=[ROOT]))
        pretend = await stack.enter_async_context(PretendInngest(retry_delay=0.3))
        served_inngest = await stack.enter_async_context(Served(pretend.app))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=front, timeout=60, trust_env=False))
        text = CATALOGUE.format(
            trigger=trigger.url,
            inngest=served_inngest.url,
            root=ROOT,
            bank=served_bank.url,
            secret=SECRET,
            cron=CRON,
        )
        catalogue = parse(text, "ticking.yaml", {})
        await database.prepare()
        keys = {side: (await egress_keys.issue(database, side, f"{side.value}-workers"))[0] for side in Side}
        running: list[tuple[asyncio.Event, asyncio.Task[None]]] = []

        async def start() -> None:
            stop = asyncio.Event()
            listener = Listener("127.0.0.1", port)
            service = Service(catalogue, database, front=listener, control=None, loops=True, data=folder)
            running.append((stop, asyncio.create_task(service.run(stop))))
            await up(client, running[-1][1])

        async def end() -> None:
            stop, task = running.pop()
            stop.set()
            await task

        async def restart() -> None:
            await end()
            await start()

        schedules = trigger.schedule(TASK, CRON)
        world = Ticking(database, trigger, pretend, bank, catalogue, schedules[0], restart)
        world.gate.set()
        legacy, app, *captures = _workers(world, front, keys)
        for capture in captures:
            stack.push_async_callback(capture.aclose)
        trigger.task(TASK, legacy)
        served_app = await stack.enter_async_context(Served(app))
        await start()
        stack.push_async_callback(end)
        await pretend.sync(f"{served_app.url}/api/inngest")
        await pretend.sync(f"{front}/shadow/inngest")
        yield world


async def to(world: Ticking, phase: Phase, at: datetime, source: Phase) -> None:
    """Move the task as of a time that lies back, so that no test has to wait for the clock."""
    await world.moved(phase, at, source=source, task=TASK)


def nominal_times(count: int) -> list[datetime]:
    """So many times in a row at which the schedule was due, a day ago: the service itself expects no ticks of then."""
    now = datetime.now(UTC) - timedelta(days=1)
    last = now.replace(minute=now.minute - now.minute % 5, second=0, microsecond=0)
    return [last - timedelta(minutes=5) * back for back in range(count - 1, -1, -1)]
