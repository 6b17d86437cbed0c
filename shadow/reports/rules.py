"""The rules of a task and what each of them did: which hide much, and which are dead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import BigInteger, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from comparators import EffectPattern, IdentityRule, OrderRule, Rules, ValueRule, Verdict
from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.values import Strict
from shadow.judge.accepted import joined, usable
from shadow.judge.fingerprint import fingerprint_of
from shadow.judge.orders import Relation, shape_in
from shadow.judge.rulebook import rules_of
from shadow.reports.shapes import OrderView, RuleView, TaskRules
from shadow.store.tables import orders_seen, proposals, rule_tallies, tallies, task_rules

DAYS = 30
"""A rule that spoke of nothing for so long is dead."""
_ORDERS = 100

State = Literal["used", "young", "unproven", "dead"]


@dataclass(frozen=True, slots=True)
class _Use:
    """What a rule did within the days that are looked at, and since when it is there."""

    since: datetime | None = None
    selected: int = 0
    hid: int = 0
    last: date | None = None


def state_of(since: datetime | None, selected: int, judged: int, now: datetime) -> State:
    """What is to be said of a rule that spoke of that many values while that many pairs were judged."""
    if selected > 0:
        return "used"
    if since is None or since > now - timedelta(days=DAYS):
        return "young"
    return "dead" if judged > 0 else "unproven"


async def of_task(engine: AsyncEngine, catalogue: ResolvedCatalogue, task: str) -> TaskRules:
    """The rules of one task of the catalogue."""
    found = catalogue.tasks[task]
    rules = rules_of(found.rules)
    async with engine.connect() as connection:
        now = await _now(connection)
        uses = (await _uses(connection, now, task)).get(task, {})
        judged = (await _judged(connection, now, task)).get(task, 0)
        orders = await _orders(connection, found)
        accepted = (await _accepted(connection, task)).get(task, [])
    rules = joined(rules, [rule for rule, _ in accepted])
    entries = [*_entries(found, rules_of(found.rules)), *(entry for _, entry in accepted)]
    views = [_view(entry, uses.get(entry.rule, _Use()), judged, now) for entry in entries]
    return TaskRules(
        task=task,
        fingerprint=fingerprint_of(rules),
        dead=sum(view.state == "dead" for view in views),
        judged=judged,
        order=found.rules.order,
        rules=views,
        orders=orders,
    )


async def dead(connection: AsyncConnection, catalogue: ResolvedCatalogue) -> dict[str, list[str]]:
    """Task to the keys of its dead rules; every task of the catalogue has an entry."""
    now = await _now(connection)
    uses, judged = await _uses(connection, now), await _judged(connection, now)
    accepted = await _accepted(connection)
    return {
        task.id: [
            entry.key
            for entry in (
                *_entries(task, rules_of(task.rules)),
                *(entry for _, entry in accepted.get(task.id, ())),
            )
            if _state(uses.get(task.id, {}).get(entry.rule, _Use()), judged.get(task.id, 0), now) == "dead"
        ]
        for task in catalogue.tasks.values()
    }


@dataclass(frozen=True, slots=True)
class _Entry:
    rule: str
    key: str
    type: str
    says: dict[str, Any]


def _entries(task: ResolvedTask, rules: Rules) -> Iterator[_Entry]:
    """The rules of a task beside their entries in the catalogue, from which they were made one by one."""
    settings = task.rules
    written: list[tuple[str, Strict]] = [
        (f"{key}[{index}]", setting)
        for key, entries in (
            ("identities", settings.identities),
            ("ignore", settings.ignore),
            ("values", settings.values),
            ("before", settings.before),
        )
        for index, setting in enumerate(entries)
    ]
    for rule, (key, setting) in zip(rules.all(), written, strict=True):
        yield _Entry(rule.id, key, _type(rule), _said(setting))


async def _accepted(connection: AsyncConnection, task: str | None = None) -> dict[str, list[tuple[ValueRule, _Entry]]]:
    """Task to the rules that people accepted and that are in force."""
    query = (
        select(proposals.c.id, proposals.c.task, proposals.c.settings)
        .where(proposals.c.state == "accepted", proposals.c.expires_at > func.now())
        .order_by(proposals.c.decided_at, proposals.c.id)
    )
    if task is not None:
        query = query.where(proposals.c.task == task)
    found: dict[str, list[tuple[ValueRule, _Entry]]] = {}
    for row in await connection.execute(query):
        rule = usable(row.task, row.settings)
        if rule is not None:
            entry = _Entry(rule.id, f"proposals[{row.id}]", rule.type, row.settings)
            found.setdefault(row.task, []).append((rule, entry))
    return found


def _type(rule: IdentityRule | ValueRule | OrderRule) -> str:
    if isinstance(rule, IdentityRule):
        return "identity"
    return "before" if isinstance(rule, OrderRule) else rule.type


def _said(setting: Strict) -> dict[str, Any]:
    return setting.model_dump(mode="json", exclude_defaults=True)


def _view(entry: _Entry, use: _Use, judged: int, now: datetime) -> RuleView:
    return RuleView(
        rule=entry.rule,
        key=entry.key,
        type=entry.type,
        says=entry.says,
        state=_state(use, judged, now),
        since=use.since,
        selected=use.selected,
        hid=use.hid,
        last_selected=use.last,
    )


def _state(use: _Use, judged: int, now: datetime) -> State:
    return state_of(use.since, use.selected, judged, now)


async def _now(connection: AsyncConnection) -> datetime:
    moment: datetime = (await connection.execute(select(func.now()))).scalar_one()
    return moment


def _first_day(now: datetime) -> date:
    return (now.astimezone(UTC) - timedelta(days=DAYS)).date()


async def _uses(connection: AsyncConnection, now: datetime, task: str | None = None) -> dict[str, dict[str, _Use]]:
    """Task to rule to what it did."""
    found: dict[str, dict[str, _Use]] = {}
    sums = (
        select(
            rule_tallies.c.task,
            rule_tallies.c.rule,
            cast(func.sum(rule_tallies.c.selected), BigInteger).label("selected"),
            cast(func.sum(rule_tallies.c.hid), BigInteger).label("hid"),
            func.max(rule_tallies.c.day).filter(rule_tallies.c.selected > 0).label("last"),
        )
        .where(rule_tallies.c.day >= _first_day(now))
        .group_by(rule_tallies.c.task, rule_tallies.c.rule)
    )
    known = select(task_rules)
    if task is not None:
        sums, known = sums.where(rule_tallies.c.task == task), known.where(task_rules.c.task == task)
    since = {(row.task, row.rule): row.since for row in await connection.execute(known)}
    for (named, rule), moment in since.items():
        found.setdefault(named, {})[rule] = _Use(since=moment)
    for row in await connection.execute(sums):
        moment = since.get((row.task, row.rule))
        found.setdefault(row.task, {})[row.rule] = _Use(moment, row.selected, row.hid, row.last)
    return found


async def _judged(connection: AsyncConnection, now: datetime, task: str | None = None) -> Mapping[str, int]:
    """Task to pairs that got a verdict."""
    verdicts = sum((tallies.c[verdict.value] for verdict in Verdict), start=cast(0, BigInteger))
    query = (
        select(tallies.c.task, cast(func.sum(verdicts), BigInteger).label("judged"))
        .where(tallies.c.day >= _first_day(now))
        .group_by(tallies.c.task)
    )
    if task is not None:
        query = query.where(tallies.c.task == task)
    return {row.task: row.judged for row in await connection.execute(query)}


async def _orders(connection: AsyncConnection, task: ResolvedTask) -> list[OrderView]:
    """What legacy's runs never did otherwise."""
    kept = orders_seen.c.mixed == 0
    one_way = (orders_seen.c.before == 0) | (orders_seen.c.after == 0)
    query = (
        select(orders_seen)
        .where(orders_seen.c.task == task.id, kept, one_way)
        .order_by((orders_seen.c.before + orders_seen.c.after).desc(), orders_seen.c.one, orders_seen.c.other)
        .limit(_ORDERS)
    )
    views = []
    for row in await connection.execute(query):
        relation = Relation(shape_in(row.one), shape_in(row.other), row.before, row.after, row.mixed)
        runs = row.before + row.after
        order = relation.order(1)
        if order is not None:
            kept_by = runs >= task.rules.order_runs
            views.append(OrderView(first=_named(order.first), then=_named(order.then), runs=runs, kept=kept_by))
    return views


def _named(pattern: EffectPattern) -> dict[str, str]:
    return {"kind": pattern.kind, "target": pattern.target, "operation": pattern.operation}
