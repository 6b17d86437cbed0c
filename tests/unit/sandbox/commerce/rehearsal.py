"""A rehearsal: the stage, a front that only writes reports down, and events handed to both platforms directly."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import httpx
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from comparators import Effect, IdentityRule, Judgement, Ledger, Outcome, Rules, judge
from sandbox.commerce.catalogue import IDENTITIES
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.plan import Plan, SendEvents, Trigger, Webhook
from sandbox.inngest.runs import RunStatus
from sandbox.serving import Served
from sandbox.stage import Stage

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


@dataclass(frozen=True)
class Happening:
    """One event of the plan as both platforms get it."""

    task: str
    event: str
    key: str
    data: dict[str, Any]


@dataclass
class Front:
    """Takes reports as Shadow's front does. `refusals`: so many calls are answered 503 first."""

    refusals: int = 0
    reports: list[dict[str, Any]] = field(default_factory=list)
    calls: int = 0
    keys: set[str] = field(default_factory=set)

    async def effects(self, request: Request) -> Response:
        """`POST /shadow/effects`."""
        self.calls += 1
        self.keys.add(request.headers["authorization"])
        if self.refusals > 0:
            self.refusals -= 1
            return JSONResponse({"title": "not now"}, 503)
        self.reports.append(orjson.loads(await request.body()))
        return JSONResponse({}, 202)

    def app(self) -> Starlette:
        """The front as an ASGI application."""
        return Starlette(routes=[Route("/shadow/effects", self.effects, methods=["POST"])])

    def effects_of(self, run: str) -> tuple[Effect, ...]:
        """The effects of a run in the order in which they happened."""
        found: dict[str, tuple[str, Effect]] = {}
        for report in self.reports:
            if report["run"] == run:
                for each in report["effects"]:
                    found[each["id"]] = (each["occurred_at"], _effect(each, report["attempt"]))
        return tuple(effect for _, effect in sorted(found.values(), key=lambda pair: pair[0]))


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


async def perform(
    what: Iterable[Happening],
    dataset: Dataset,
    sides: Iterable[Side] = ("legacy", "candidate"),
    *,
    faults: Iterable[str] = (),
    stumbles: float = 0.08,
    seconds: float = 120.0,
) -> dict[Side, dict[str, Ledger]]:
    """Run everything on the given sides; returns each side's ledgers by the keys of the happenings."""
    front = Front()
    async with (
        Served(front.app()) as served,
        Stage(served.url, faults=faults, dataset=dataset, stumbles=stumbles) as stage,
        httpx.AsyncClient(trust_env=False, timeout=60.0) as http,
        asyncio.timeout(seconds),
    ):
        ledgers: dict[Side, dict[str, Ledger]] = {}
        if "legacy" in sides:
            ledgers["legacy"] = await _legacy(stage, http, front, list(what))
        if "candidate" in sides:
            ledgers["candidate"] = await _candidate(stage, http, front, list(what))
        assert stage.books()["lost_reports"] == []
        return ledgers


async def _legacy(stage: Stage, http: httpx.AsyncClient, front: Front, what: list[Happening]) -> dict[str, Ledger]:
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
        ledgers[key] = Ledger(outcome, front.effects_of(run_id))
    return ledgers


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


def _effect(each: dict[str, Any], attempt: int) -> Effect:
    return Effect(
        kind=each["kind"],
        target=each["target"],
        operation=each["operation"],
        identity=each["identity"],
        data=each["data"],
        attempt=attempt,
        idempotency_key=each["idempotency_key"],
    )


def _seconds(moment: datetime | None) -> float:
    assert moment is not None
    return moment.timestamp()
