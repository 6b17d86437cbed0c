"""A stage to deliver on: both platforms pretended, a catalogue that names them, and events accepted as doors do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import inngest
import inngest.fast_api
import orjson
from fastapi import FastAPI

from sandbox.inngest import PretendInngest
from sandbox.trigger_dev import PretendTriggerDev, TaskContext
from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Phase, decide
from shadow.fanout.loop import DeliveryLoop
from shadow.fanout.opening import Openings
from shadow.intake.arrival import Arrival, Door, PlannedDispatch, Stage, State
from shadow.intake.intake import Intake
from shadow.intake.plan import planned
from shadow.model.ids import derived_id
from shadow.outcomes.collector import Collector
from shadow.platforms.adapter import Adapter
from shadow.platforms.client import carrying_client
from shadow.platforms.registry import adapters
from shadow.store.database import Database, Work
from tests.integration.fanout.serving import served

SECRET = "tr_prod_bbbbbbbbbbbbbbbbbbbbbbbb"
SIGNING = "signkey-test-1234567890abcdef"

CATALOGUE = """
platforms:
  trigger:
    kind: trigger.dev
    side: legacy
    url: {trigger}
    secret_key: {secret}
    timeout: 2s
    poll_every: 200ms
    budget: {{requests_per_minute: 60000, burst: 1000}}
  app:
    kind: http
    side: legacy
    url: {app}/hooks
    timeout: 2s
  inngest:
    kind: inngest
    side: candidate
    event_url: {inngest}
    api_url: {inngest}
    event_key: event-key
    app: shop
    timeout: 2s
    poll_every: 200ms
    batch_size: 50
    budget: {{requests_per_minute: 60000, burst: 1000}}
sources:
  store:
    kind: inngest
    keys: [producer]
  calls:
    kind: trigger.dev
    keys: [{secret}]
report_keys:
  legacy: [legacy-reports]
  candidate: [candidate-reports]
defaults: {{deadline: 15m, settle: 1s}}
tasks:
  sync-order:
    event: order/created
    sources: [store]
    legacy:
      platform: trigger
      payload: {{order: $.orderId, tenant: $.tenantId}}
      options: {{tags: [mirrored]}}
    candidate: {{platform: inngest}}
  welcome:
    event: order/created
    sources: [store]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
  pay-out:
    event: payout/approved
    sources: [calls]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
  slow-down:
    event: digest/due
    sources: [store]
    tenant_rate: 4
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
"""


@dataclass
class App:
    """The producer's own app: remembers what is forwarded to it, and answers as told."""

    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((headers, body))
        status = self.answers.pop(0) if self.answers else 204
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@dataclass
class StageSet:
    """All that a test of delivery and outcomes works with."""

    database: Database
    catalogue: ResolvedCatalogue
    trigger: PretendTriggerDev
    inngest: PretendInngest
    app: App
    adapters: dict[str, Adapter]
    intake: Intake

    def loop(self, side: Side) -> DeliveryLoop:
        return DeliveryLoop(side, self.catalogue, self.database, self.adapters)

    def collector(self) -> Collector:
        return Collector(self.catalogue, self.database, self.adapters)

    @asynccontextmanager
    async def delivering(self, *sides: Side) -> AsyncIterator[None]:
        """The loops of those sides, of both unless told, run meanwhile."""
        openings = Openings()
        loops = [
            DeliveryLoop(side, self.catalogue, self.database, self.adapters, openings) for side in sides or tuple(Side)
        ]
        for loop in loops:
            await loop.start()
        try:
            yield
        finally:
            for loop in loops:
                await loop.stop()

    async def accept(
        self,
        name: str = "order/created",
        data: dict[str, Any] | None = None,
        *,
        id: str | None = None,
        tenant: str | None = "acme",
        phase: Phase = Phase.SHADOW,
        origin: Origin = Origin.PRODUCER,
        scheduled_at: datetime | None = None,
        occurred_at: datetime | None = None,
        request: bytes | None = None,
        count: int = 1,
    ) -> list[UUID]:
        """Events as the Inngest door accepts them."""
        route = self.catalogue.tasks_of_event(name)[0].route
        decision = decide(route, phase)
        arrivals = [
            Arrival(
                source="store",
                door=Door.INNGEST,
                origin=origin,
                name=name,
                data=orjson.dumps({"tenantId": tenant, "orderId": f"{id or 'o'}-{number}"} if data is None else data),
                dispatches=planned(self.catalogue, "store", name, origin, decision),
                decision=decision,
                tenant=tenant,
                external_id=id,
                delivery_id=id,
                occurred_at=occurred_at,
                scheduled_at=scheduled_at,
                request=request,
            )
            for number in range(count)
        ]
        return [receipt.event_id for receipt in await self.intake.accept(arrivals)]

    async def call(
        self, payload: Any, key: str, *, delay: timedelta = timedelta(0), scheduled_at: datetime | None = None
    ) -> UUID:
        """A producer's `tasks.trigger("pay-out")` as its door leaves it: stored, and not known to be answered."""
        decision = decide(self.catalogue.tasks["pay-out"].route, Phase.SHADOW)
        arrival = Arrival(
            source="calls",
            door=Door.TRIGGER,
            origin=Origin.PRODUCER,
            name="payout/approved",
            data=orjson.dumps(payload),
            dispatches=(
                PlannedDispatch(Side.LEGACY, Stage.DELIVER, "trigger", "pay-out", State.DUE, delay),
                PlannedDispatch(Side.CANDIDATE, Stage.DELIVER, "inngest", None, State.HELD),
            ),
            decision=decision,
            external_id=key,
            delivery_id=key,
            scheduled_at=scheduled_at,
            request=orjson.dumps({"payload": payload, "options": {"tags": ["from-producer"]}}),
            headers=(("content-type", "application/json"), ("trigger-version", "4.5.12")),
            idempotency_key=key,
        )
        return (await self.intake.accept([arrival]))[0].event_id

    async def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        async with self.database.connection(Work.CONTROL) as conn:
            cursor = await conn.execute(query.encode(), parameters)
            return await cursor.fetchall()

    async def value(self, query: str, *parameters: Any) -> Any:
        return (await self.rows(query, *parameters))[0][0]

    async def run(self, event: UUID, task: str, side: Side) -> dict[str, Any]:
        columns = "state, status, platform_run_id, authority, learned_by, poll_at, polls, error_name, attempts, pair_id"
        row = (await self.rows(f"SELECT {columns} FROM runs WHERE id = %s", derived_id(event, task, side)))[0]
        return dict(zip(columns.split(", "), row, strict=True))

    async def queued(self) -> int:
        """Dispatches that are still to be worked on."""
        return int(await self.value("SELECT count(*) FROM dispatches WHERE state <> 'dead'"))


DEFAULTS = "defaults: {deadline: 15m, settle: 1s}"


@asynccontextmanager
async def stage(database: Database, *, defaults: str = DEFAULTS) -> AsyncIterator[StageSet]:
    """Both platforms, with the tasks of the catalogue on each.

    Args:
        defaults: what the catalogue says there.
    """
    trigger = PretendTriggerDev(secret_keys=[SECRET])
    for task in ("sync-order", "welcome", "pay-out", "slow-down"):
        trigger.task(task, _legacy)
    pretend = PretendInngest(retry_delay=0.01)
    app = App()
    async with (
        trigger,
        pretend,
        served(pretend.app) as inngest_url,
        served(functions(inngest_url)) as functions_url,
        served(app) as app_url,
        carrying_client() as http,
    ):
        await pretend.sync(f"{functions_url}/api/inngest")
        text = CATALOGUE.format(trigger=trigger.url, inngest=inngest_url, app=app_url, secret=SECRET)
        catalogue = parse(text.replace(DEFAULTS, defaults), "stage.yaml", {})
        intake = Intake(database)
        await intake.start()
        try:
            yield StageSet(database, catalogue, trigger, pretend, app, dict(adapters(catalogue, http)), intake)
        finally:
            await intake.stop()


async def _legacy(payload: Any, context: TaskContext) -> Any:
    if isinstance(payload, dict) and payload.get("fail"):
        raise RuntimeError("no such order")
    return {"done": payload}


def functions(inngest_url: str) -> FastAPI:
    """The candidate's functions, with the official SDK."""
    client = inngest.Inngest(
        app_id="shop", is_production=False, api_base_url=inngest_url, event_api_base_url=inngest_url
    )

    def function(name: str, event: str) -> inngest.Function[Any]:
        @client.create_function(fn_id=name, trigger=inngest.TriggerEvent(event=event), retries=0)
        async def run(ctx: inngest.Context) -> Any:
            if ctx.event.data.get("fail"):
                raise inngest.NonRetriableError("no such order")
            return {"done": dict(ctx.event.data)}

        return run

    app = FastAPI()
    named: Sequence[tuple[str, str]] = (
        ("sync-order", "order/created"),
        ("welcome", "order/created"),
        ("pay-out", "payout/approved"),
        ("slow-down", "digest/due"),
    )
    inngest.fast_api.serve(app, client, [function(name, event) for name, event in named])
    return app


def client_of(app: Any) -> httpx.AsyncClient:
    """A client that speaks to an application in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://front")
