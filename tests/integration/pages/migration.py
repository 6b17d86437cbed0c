"""A migration half way, as the stages leave it in the database: what every page has something to show of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from psycopg.types.json import Jsonb

from shadow.catalogue import ResolvedCatalogue, parse
from shadow.catalogue.model import Side
from shadow.containment.record import declare
from shadow.gate.report import Condition, ConditionName, Counted, GateReport, State
from shadow.judge.allowances import Grant, grant
from shadow.judge.loop import JudgeLoop
from shadow.model.ids import new_id
from shadow.store.database import Database
from tests.integration.judge.world import World

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}</pre></details>"
"""What a page must show as it is."""

_TASK = """
  {name}:
    category: {category}
    description: {description}
    event: {event}
    sources: [app]
    legacy: {{platform: trigger}}
    candidate: {{platform: inngest}}
"""
TASKS = {
    # name -> (category, description, event, phase, share)
    "order-sync": ("orders", "Keeps orders in step with the shop", "order/created", "shadow", 0),
    "order-cancel": ("orders", "Takes back what a cancelled order caused", "order/cancelled", "ramp", 25),
    "order-archive": ("orders", "Moves old orders away", "order/archived", "live", 0),
    "review-email": ("mail", "Asks for a review a week later", "order/delivered", "shadow", 0),
    "weekly-digest": ("mail", "Tells shops how their week was", "digest/due", "retired", 0),
    "process-payout": ("payouts", "Pays creators", "payout/approved", "shadow", 0),
    "payout-receipt": ("payouts", "Sends the receipt of a payout", "payout/approved", "shadow", 0),
    "attribution": ("analytics", "Reports purchases to GA4 and Meta", "order/paid", "shadow", 0),
    "daily-metrics": ("analytics", "Adds up a day", "metrics/due", "legacy", 0),
    "video-transcode": ("media", "Makes videos small", "video/uploaded", "legacy", 0),
}


def catalogue() -> ResolvedCatalogue:
    head = """
version: 1
platforms:
  trigger: {kind: trigger.dev, side: legacy, secret_key: tr_dev_secret}
  inngest: {kind: inngest, side: candidate, event_key: key, app: shop}
sources:
  app: {kind: inngest, keys: [producer]}
defaults: {deadline: 15m, settle: 5s}
tasks:
"""
    made = [
        _TASK.format(name=name, category=category, description=description, event=event)
        for name, (category, description, event, _phase, _share) in TASKS.items()
    ]
    return parse(head + "".join(made), "test.yaml", {})


def gate(task: str, now: datetime, *, is_open: bool) -> GateReport:
    """What a gate says, with one condition of each state."""
    category = TASKS[task][0]
    budget = 0.002 if category == "payouts" else 0.01
    says = "1 of 212 pairs differs: at most 2.6 % do, the budget is 1 %; about 240 more clean pairs"
    leaks = "leaks are unknown, since no witness watched; a declaration is on record"
    states = {
        ConditionName.STATISTIC: (State.MET, 0.0068, budget, "at most 0.68 % of pairs differ, the budget is 1 %")
        if is_open
        else (State.UNMET, 0.026, budget, says),
        ConditionName.CRITICAL: (State.MET, 0.0, 0.0, "no critical signature is open")
        if is_open
        else (State.UNMET, 1.0, 0.0, "1 critical signature is open: fix it, or allow it with a reason"),
        ConditionName.LEAKS: (State.MET, 0.0, 0.0, leaks),
        ConditionName.TICKS: (State.NOT_APPLICABLE, None, 7.0, "no clock starts it"),
        ConditionName.LATENCY: (State.INFORMATIONAL, 1.31, 2.0, "the candidate takes 1.31 times as long; shown only"),
    }
    conditions = tuple(
        Condition(name, *states.get(name, (State.MET, 0.0, 0.2, f"{name.value.replace('_', ' ')} is as it should be")))
        for name in ConditionName
    )
    return GateReport(
        task=task,
        category=category,
        open=is_open,
        epoch=new_id(),
        epoch_number=3,
        epoch_started_at=now - timedelta(days=9),
        candidate_version="2026-11-17.2",
        legacy_version="20261101.4",
        live=Counted(match=511 if is_open else 208, allowed=3, mismatch=0 if is_open else 1, not_comparable=2),
        replayed=Counted(match=40),
        pending=2,
        budget=budget,
        alpha=0.05,
        e_value=24.8 if is_open else 0.71,
        upper_bound=0.0068 if is_open else 0.026,
        pairs_needed=0 if is_open else 240,
        pairs_a_day=58.3,
        opens_at=None if is_open else now + timedelta(days=4, hours=3),
        conditions=conditions,
        evaluated_at=now - timedelta(seconds=4),
    )


@dataclass(frozen=True)
class Seeded:
    """What was put there, for tests to ask for."""

    world: World
    mismatch: UUID
    """A pair of `order-sync` with an amount that differs, an effect only legacy did, and hostile text in both."""
    match: UUID
    missing: UUID
    signature: str
    """The critical one, of the effect that is missing."""
    minor: str
    """One that is not critical."""
    allowance: UUID


async def seed(database: Database) -> Seeded:
    """Fill the database."""
    now = datetime.now(UTC)
    world = World(database)
    world.catalogue = catalogue()
    judge = JudgeLoop(database, world.catalogue)
    for task, (_category, _description, _event, phase, _share) in TASKS.items():
        if phase != "legacy":
            await declare(database, task, actor="ann", reason="its targets are pretended")
    await _moves(world, now)
    await _gates(world, now)
    match, mismatch, missing = await _pairs(world, now)
    await judge.once(now + timedelta(minutes=30))
    critical = (await world.rows("SELECT id FROM signatures WHERE kind = 'effect.missing'"))[0][0]
    ((minor,),) = await world.rows("SELECT id FROM signatures WHERE kind = 'output.changed' ORDER BY id LIMIT 1")
    other = await world.rows("SELECT id FROM signatures WHERE task = 'review-email' LIMIT 1")
    wanted = Grant(other[0][0], "the new template is meant", now + timedelta(days=30))
    allowance = await grant(database, wanted, actor="token:ann", now=now)
    await judge.once(now + timedelta(minutes=31))
    await _records(world, now)
    return Seeded(world, mismatch, match, missing, critical, minor, allowance)


async def _moves(world: World, now: datetime) -> None:
    order = ("legacy", "shadow", "ramp", "live", "retired")
    days = {"shadow": 40, "ramp": 20, "live": 9, "retired": 2}
    for number, (task, (_category, _description, event, phase, share)) in enumerate(TASKS.items()):
        if task == "payout-receipt":
            continue  # it moves with process-payout
        together = [name for name, told in TASKS.items() if told[2] == event]
        for before, after in pairwise(order[: order.index(phase) + 1]):
            at = now - timedelta(days=days[after], hours=number * 30 % 300)
            to_share = share if after == "ramp" else 0
            await world.rows(
                "INSERT INTO moves (id, route, tasks, from_phase, to_phase, actor, reason, forced, decided_at,"
                " effective_at, to_share) VALUES (%s, %s, %s, %s, %s, 'token:ann', %s, %s, %s, %s, %s) RETURNING id",
                new_id(),
                world.catalogue.tasks[task].route,
                together,
                before,
                after,
                f"its evidence is good enough for {after}",
                after == "live",
                at,
                at,
                to_share,
            )
        if phase != "legacy":
            for name in together:
                await world.rows(
                    "INSERT INTO phases (task, phase, previous, effective_at, version, share)"
                    " VALUES (%s, %s, 'legacy', %s, 1, %s) RETURNING task",
                    name,
                    phase,
                    now - timedelta(days=days[phase]),
                    share,
                )


async def _gates(world: World, now: datetime) -> None:
    for task, (_category, _description, _event, phase, _share) in TASKS.items():
        if phase == "legacy":
            continue
        report = gate(task, now, is_open=task in ("order-cancel", "order-archive", "attribution", "payout-receipt"))
        await world.rows(
            "INSERT INTO gates (task, open, report, evaluated_at, changed_at) VALUES (%s, %s, %s, now(), now())"
            " RETURNING task",
            task,
            report.open,
            Jsonb(report.as_json()),
        )


async def _pairs(world: World, now: datetime) -> tuple[UUID, UUID, UUID]:
    for days in range(12):
        for task in ("order-sync", "review-email", "attribution"):
            told = await world.event(task, accepted_at=now - timedelta(days=days, minutes=3), tenant="acme")
            await told.both({"n": days})
    # What differs, and how.
    mismatch = await world.event("order-sync", {"order": 7, "note": HOSTILE}, accepted_at=now - timedelta(hours=2))
    shop = {"kind": "http", "target": "shop", "operation": "POST /v1/orders/{id}/notes"}
    for side, amount in ((Side.LEGACY, 1250), (Side.CANDIDATE, 1520)):
        await mismatch.effect(side, {"amount": amount, "currency": "EUR", "to": "acct_7"}, after=0.2)
        await mismatch.effect(side, {"order": 7, "body": {"note": HOSTILE}}, after=0.5, **shop)
    await mismatch.effect(
        Side.LEGACY, {"subject": HOSTILE, "to": "ann"}, after=0.7, kind="email", target="mail", operation="order-note"
    )
    await mismatch.both({"done": True, "label": f"A{HOSTILE}"}, candidate={"done": True, "label": f"B{HOSTILE}"})
    long = {"lines": [{"sku": f"sku-{number}", "quantity": number} for number in range(60)]}
    match = await world.event("order-sync", accepted_at=now - timedelta(hours=1))
    for side in Side:
        await match.effect(side, {"amount": 5, **long})
    await match.both(long)
    missing = await world.event("order-sync", tenant=None, accepted_at=now - timedelta(minutes=50))
    await missing.finished(Side.LEGACY, output=1)
    mail = await world.event("review-email", accepted_at=now - timedelta(minutes=40))
    await mail.both({"template": "review-v1"}, candidate={"template": "review-v2"})
    await world.event("order-sync", accepted_at=now)  # has no verdict yet
    return match.pair, mismatch.pair, missing.pair


async def _records(world: World, now: datetime) -> None:
    """What the audit has besides."""
    await world.rows(
        "INSERT INTO deployments (id, side, version, tasks, actor, note, made_at) VALUES"
        " (%s, 'candidate', '2026-11-17.2', %s, 'token:ci', 'fixes the order note', %s) RETURNING id",
        new_id(),
        list(TASKS),
        now - timedelta(days=9),
    )
    await world.rows(
        "INSERT INTO sign_offs (id, task, epoch, actor, reason) VALUES (%s, 'weekly-digest', %s, 'bob', %s)"
        " RETURNING id",
        new_id(),
        new_id(),
        "eleven digests were read side by side",
    )
    await world.rows(
        "INSERT INTO incidents (id, kind, task, side, target, operation, detail, moved_back) VALUES"
        " (%s, 'leak', 'video-transcode', 'candidate', 'bucket', 'PUT /videos', %s, true) RETURNING id",
        new_id(),
        f"a write reached the bucket {HOSTILE}",
    )
    await world.rows(
        "INSERT INTO proposals (id, task, place, state, source, evidence, decided_at, decided_by, reason) VALUES"
        " (%s, 'attribution', '$.took', 'accepted', 'history', '{}', now(), 'token:ann', 'it is a clock') RETURNING id",
        new_id(),
    )
