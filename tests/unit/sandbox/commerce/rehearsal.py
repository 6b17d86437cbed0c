"""A rehearsal: the stage, a front that writes down what it sees, and events handed to both platforms directly."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import httpx
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from comparators import Effect, IdentityRule, Judgement, Ledger, Outcome, Rules, judge
from sandbox.commerce import databases
from sandbox.commerce.catalogue import IDENTITIES
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.keys import Keys
from sandbox.commerce.plan import Plan, SendEvents, Trigger, Webhook
from sandbox.inngest.runs import RunStatus
from sandbox.serving import Served
from sandbox.stage import Stage
from sandbox.trigger_dev.server import RunRecord
from tests.unit.sandbox.commerce.gateway import EGRESS, Gateway, Passed, catalogue_of

Side = Literal["legacy", "candidate"]
RULES = Rules(
    identities=tuple(
        IdentityRule(kind=identity["kind"], target=identity.get("target", "*"), paths=tuple(identity["paths"]))
        for identity in IDENTITIES
    )
)
_EVENT_OF_TASK = {
    "process-creator-application": "creator/applied",
    "process-webhook-queue": "cron/webhook-queue",
}
_TASK_OF_EVENT = {
    "shopify/order.created": "sync-shopify-order",
    "review/email.scheduled": "send-review-email",
    "payout/approved": "process-payout",
    "attribution/conversion": "process-attribution",
    "cron/daily-metrics": "aggregate-daily-metrics",
    **{event: task for task, event in _EVENT_OF_TASK.items()},
}
_COUNT = itertools.count()


@dataclass(frozen=True)
class Happening:
    """One event of the plan as both platforms get it."""

    task: str
    event: str
    key: str
    data: dict[str, Any]


@dataclass
class Front:
    """Sees what Shadow's front sees: calls, rows, and events that the candidate emits."""

    rows: list[tuple[str, str, Effect]] = field(default_factory=list)
    """Run, when, and the effect."""
    events: list[tuple[str, Effect]] = field(default_factory=list)
    gateway: Gateway | None = None
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(trust_env=False, verify=False))
    inngest_url: str = ""
    event_key: str = ""
    keys: set[str] = field(default_factory=set)

    async def effects(self, request: Request) -> Response:
        """`POST /shadow/effects`: rows, as the client package reports them."""
        self.keys.add(request.headers["authorization"])
        report = orjson.loads(await request.body())
        for each in report["effects"]:
            assert each["kind"] == "sql", "everything else is seen, not reported"
            effect = Effect(
                "sql", each["target"], each["operation"], each.get("identity"), each["data"], report["attempt"]
            )
            self.rows.append((report["run"], each["occurred_at"], effect))
        return JSONResponse({}, 202)

    async def emitted(self, request: Request) -> Response:
        """`POST /e/{key}`: events of a run, which pass on to the platform."""
        body = await request.body()
        for event in orjson.loads(body):
            moment = datetime.fromtimestamp(event["ts"] / 1000, UTC)
            attempt = int(request.headers["x-shadow-attempt"])
            emission = _emission(event["name"], event["data"], moment, attempt)
            self.events.append((request.headers["x-shadow-run"], emission))
        told = await self.http.post(f"{self.inngest_url}/e/{self.event_key}", content=body)
        return Response(told.content, told.status_code, media_type="application/json")

    async def called(self, request: Request) -> Response:
        """`/egress`."""
        assert self.gateway is not None
        return await self.gateway.answer(request)

    def app(self) -> Starlette:
        """The front as an ASGI application."""
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return Starlette(
            routes=[
                Route("/shadow/effects", self.effects, methods=["POST"]),
                Route("/e/{key}", self.emitted, methods=["POST"]),
                Route("/egress/{target}/{path:path}", self.called, methods=methods),
            ]
        )

    def effects_of(self, run: str, children: Iterable[RunRecord] = ()) -> tuple[Effect, ...]:
        """The effects of a run. `children`: the runs that a run of legacy's started."""
        assert self.gateway is not None
        calls = [passed.effect for passed in self.gateway.calls.get(run, ())]
        rows = [effect for of, _at, effect in sorted(self.rows, key=lambda row: row[1]) if of == run]
        events = [effect for of, effect in self.events if of == run]
        events += [
            _emission("review/email.scheduled", child.payload, child.delay_until, 1)
            for child in children
            if child.delay_until is not None
        ]
        return (*calls, *rows, *events)


def _emission(name: str, data: Mapping[str, Any], due: datetime, attempt: int) -> Effect:
    moment = due.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Effect("event", "events", name, None, {**data, "scheduledFor": moment}, attempt)


def happenings(plan: Plan, dataset: Dataset) -> list[Happening]:
    """What the plan amounts to, without its repetitions."""
    tenants = {row["shop_domain"]: row["id"] for row in dataset.rows["tenants"]}
    found: dict[str, Happening] = {}
    for action in plan.actions:
        match action:
            case Webhook(topic="orders/create"):
                order_id = str(orjson.loads(action.body)["id"])
                data = {"orderId": order_id, "tenantId": tenants[action.shop_domain]}
                key = f"order-{order_id}"
                found[key] = Happening("sync-shopify-order", "shopify/order.created", key, data)
            case SendEvents(events=events):
                for event in events:
                    task = _TASK_OF_EVENT[event["name"]]
                    found[event["id"]] = Happening(task, event["name"], event["id"], event["data"])
            case Trigger(task=task, payload=payload):
                key = f"{task}-{orjson.dumps(payload, option=orjson.OPT_SORT_KEYS).decode()}"
                found[key] = Happening(task, _EVENT_OF_TASK[task], key, payload)
    return list(found.values())


@dataclass
class Performed:
    """What came of a rehearsal."""

    ledgers: dict[Side, dict[str, Ledger]]
    calls: Mapping[str, list[Passed]]
    """Legacy's, by run."""
    twins: Mapping[str, str]
    """Happening -> legacy's run."""
    books: dict[str, Any]


async def perform(
    what: Iterable[Happening],
    dataset: Dataset,
    server_url: str,
    *,
    before: Performed | None = None,
    faults: Iterable[str] = (),
    stumbles: float = 0.08,
    seconds: float = 120.0,
) -> Performed:
    """Run everything on legacy, then on the candidate; on the candidate alone where legacy has done it before.

    Args:
        server_url: of the PostgreSQL for both sides' databases.
        before: the rehearsal in which legacy did it.
    """
    async with (
        staged(server_url, dataset, faults=faults, stumbles=stumbles) as (stage, front),
        asyncio.timeout(seconds),
    ):
        assert front.gateway is not None
        async with httpx.AsyncClient(trust_env=False, timeout=60.0) as http:
            happened = list(what)
            ledgers: dict[Side, dict[str, Ledger]] = {}
            twins: Mapping[str, str] = {}
            if before is None:
                ledgers["legacy"], twins = await _legacy(stage, http, front, happened)
            else:
                twins, front.gateway.recorded = before.twins, before.calls
            front.gateway.twins = twins
            ledgers["candidate"] = await _candidate(stage, http, front, happened)
        books = stage.books()
        assert books["lost_reports"] == 0
        assert all(call["authorized"] for call in books["targets"])
        return Performed(ledgers, dict(front.gateway.calls), twins, books)


@asynccontextmanager
async def staged(
    server_url: str, dataset: Dataset, *, keys: Keys | None = None, faults: Iterable[str] = (), stumbles: float = 0.08
) -> AsyncIterator[tuple[Stage, Front]]:
    """The stage with a front before it, and both databases with all rows: nobody copies any here."""
    prefix, front, known = f"rehearsal{next(_COUNT)}", Front(), keys or Keys()
    urls = await asyncio.to_thread(databases.prepare, server_url, dataset.rows, dataset.rows, prefix=prefix)
    try:
        async with Served(front.app()) as served:
            stage = Stage(served.url, EGRESS, urls, faults=faults, dataset=dataset, keys=known, stumbles=stumbles)
            async with stage:
                to_targets = httpx.AsyncClient(
                    transport=httpx.ASGITransport(app=stage.targets.app), base_url="http://targets"
                )
                async with to_targets:
                    front.gateway = Gateway(catalogue_of(dataset, known).targets, to_targets)
                    front.inngest_url, front.event_key = stage.urls.inngest, known.event_worker
                    yield stage, front
    finally:
        await front.http.aclose()
        await asyncio.to_thread(databases.drop, server_url, prefix=prefix)


async def _legacy(
    stage: Stage, http: httpx.AsyncClient, front: Front, what: list[Happening]
) -> tuple[dict[str, Ledger], dict[str, str]]:
    headers = {"authorization": f"Bearer {stage.keys.trigger_worker}"}
    run_of: dict[str, str] = {}
    for each in what:
        url = f"{stage.urls.trigger}/api/v1/tasks/{each.task}/trigger"
        answer = await http.post(url, json={"payload": each.data}, headers=headers)
        run_of[each.key] = answer.json()["id"]
    wanted = set(run_of.values())
    while True:
        runs = {run.id: run for run in stage.trigger.runs() if run.id in wanted}
        if all(run.finished_at is not None for run in runs.values()):
            break
        await asyncio.sleep(0.05)
    ledgers: dict[str, Ledger] = {}
    for key, run_id in run_of.items():
        run = runs[run_id]
        outcome = Outcome(
            status="completed" if run.status == "COMPLETED" else "failed",
            output=run.output,
            error_message=(run.error or {}).get("message"),
            attempts=run.attempts,
            started_at=_seconds(run.started_at),
            finished_at=_seconds(run.finished_at),
        )
        children = [child for child in stage.trigger.runs() if child.parent_id == run_id]
        ledgers[key] = Ledger(outcome, front.effects_of(run_id, children))
    return ledgers, run_of


async def _candidate(stage: Stage, http: httpx.AsyncClient, front: Front, what: list[Happening]) -> dict[str, Ledger]:
    events = [{"name": each.event, "id": each.key, "data": each.data} for each in what]
    answer = await http.post(f"{stage.urls.inngest}/e/{stage.keys.event_platform}", json=events)
    assert answer.status_code == 200, answer.text
    key_of = dict(zip(answer.json()["ids"], (each.key for each in what), strict=True))
    while True:
        runs = {key_of[run.event_id]: run for run in stage.inngest.runs() if run.event_id in key_of}
        if len(runs) == len(what) and all(run.ended_at is not None for run in runs.values()):
            break
        await asyncio.sleep(0.05)
    ledgers: dict[str, Ledger] = {}
    for key, run in runs.items():
        completed = run.status is RunStatus.COMPLETED
        outcome = Outcome(
            status="completed" if completed else "failed",
            output=run.output if completed else None,
            error_message=None if completed else run.output["message"],
            attempts=run.attempts,
            started_at=_seconds(run.started_at),
            finished_at=_seconds(run.ended_at),
        )
        ledgers[key] = Ledger(outcome, front.effects_of(run.run_id))
    return ledgers


def judged(
    what: Iterable[Happening], legacy: Mapping[str, Ledger], candidate: Mapping[str, Ledger]
) -> dict[str, Judgement]:
    """The judgement on each happening."""
    return {
        each.key: judge(legacy[each.key], candidate[each.key], RULES, task=each.task, known=each.data) for each in what
    }


def _seconds(moment: datetime | None) -> float:
    assert moment is not None
    return moment.timestamp()
