"""What runs cost, from the tallies: a month of every task on either side, and what moving it saves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side, TriggerPlatform
from shadow.costs.projection import Month, Place, months, volume
from shadow.costs.usage import LIVE, Usage
from shadow.reports.cost_shapes import Apart, CostDay, Costs, CostsOfTask, CostTotal, SideCost, TaskCosts
from shadow.store.tables import cost_tallies

VOLUME_DAYS = 7
"""Whose volume is projected: today's, which has not ended, is one of them for as long as there is no other."""
PRICE_DAYS = 30
SHOWN_DAYS = 90

Key = tuple[str, Side, str]
"""Task, side and purpose."""


@dataclass(frozen=True, slots=True)
class Used:
    """What runs used up."""

    volume_days: int
    recent: Mapping[Key, Usage] = field(default_factory=dict)
    """On the days whose volume is projected."""
    known: Mapping[Key, Usage] = field(default_factory=dict)
    """Within `PRICE_DAYS`."""


async def costs(engine: AsyncEngine, catalogue: ResolvedCatalogue, now: datetime | None = None) -> Costs:
    """What a month of every task costs, at the volume of the last days."""
    today = (now or datetime.now(UTC)).astimezone(UTC).date()
    async with engine.connect() as connection:
        return costs_of(catalogue, await used(connection, today))


async def of_task(
    engine: AsyncEngine, catalogue: ResolvedCatalogue, task: str, now: datetime | None = None
) -> CostsOfTask:
    """What a month of that task costs. Its share of a platform's price depends on all others, which are read too."""
    today = (now or datetime.now(UTC)).astimezone(UTC).date()
    async with engine.connect() as connection:
        found = costs_of(catalogue, await used(connection, today))
        days = await _days(connection, task, today - timedelta(days=SHOWN_DAYS))
    return CostsOfTask(
        currency=found.currency,
        volume_days=found.volume_days,
        month=next(item for item in found.items if item.task == task),
        days=days,
    )


async def used(connection: AsyncConnection, today: date) -> Used:
    """What runs of the last days used up."""
    table = cost_tallies.c
    since = today - timedelta(days=PRICE_DAYS)
    oldest = await connection.scalar(select(func.min(table.day)).where(table.day >= since, table.purpose == LIVE))
    first, last = volume_window(oldest, today)
    within = table.day.between(first, last)
    rows = await connection.execute(
        select(table.task, table.side, table.purpose, *_sums("recent", within), *_sums("known", table.day >= since))
        .where(table.day >= since)
        .group_by(table.task, table.side, table.purpose)
    )
    found: dict[str, dict[Key, Usage]] = {"recent": {}, "known": {}}
    for row in rows:
        for window, sums in found.items():
            figures: list[Any] = [getattr(row, f"{window}_{name}") for name in _FIGURES]
            sums[row.task, Side(row.side), row.purpose] = Usage(*figures)
    return Used((last - first).days + 1, found["recent"], found["known"])


_FIGURES = ("runs", "priced", "cents", "told", "executions")


def _sums(window: str, within: ColumnElement[bool]) -> list[ColumnElement[Any]]:
    return [
        func.coalesce(cast(func.sum(column).filter(within), column.type), 0).label(f"{window}_{name}")
        for name in _FIGURES
        for column in (cost_tallies.c[name],)
    ]


def volume_window(oldest: date | None, today: date) -> tuple[date, date]:
    """The first and the last day whose volume is projected: whole days, no earlier ones than there are any of.

    Args:
        oldest: the first day of which anything is known.
    """
    yesterday = today - timedelta(days=1)
    if oldest is None or oldest > yesterday:
        return today, today
    return max(oldest, today - timedelta(days=VOLUME_DAYS)), yesterday


async def _days(connection: AsyncConnection, task: str, since: date) -> list[CostDay]:
    names = ("day", "side", "platform", "purpose")
    query = (
        select(cost_tallies)
        .where(cost_tallies.c.task == task, cost_tallies.c.day >= since)
        .order_by(*(cost_tallies.c[name] for name in names))
    )
    return [
        CostDay(
            day=row.day,
            side=Side(row.side),
            platform=row.platform,
            purpose=row.purpose,
            runs=row.runs,
            priced=row.priced,
            reported=row.cents / 100,
            told=row.told,
            executions=row.executions,
        )
        for row in await connection.execute(query)
    ]


def costs_of(catalogue: ResolvedCatalogue, found: Used) -> Costs:
    """What a month of every task costs. Pure."""
    none = Usage()
    recent = {key[:2]: usage for key, usage in found.recent.items() if key[2] == LIVE}
    known = {key[:2]: usage for key, usage in found.known.items() if key[2] == LIVE}
    volumes = {
        task: volume(recent.get((task, Side.LEGACY), none), recent.get((task, Side.CANDIDATE), none), found.volume_days)
        for task in catalogue.tasks
    }
    book = catalogue.catalogue.prices
    by_side = {
        side: months(
            {
                task: Place(
                    platform=resolved.legacy.platform if side is Side.LEGACY else resolved.candidate.platform,
                    bills_runs=isinstance(_platform(catalogue, task, side), TriggerPlatform),
                    known=known.get((task, side), none),
                    declared=book.executions.get(task) if side is Side.CANDIDATE else None,
                )
                for task, resolved in catalogue.tasks.items()
            },
            volumes,
            book.platforms,
        )
        for side in Side
    }
    items = []
    for task, resolved in catalogue.tasks.items():
        legacy, candidate = (by_side[side][task] for side in (Side.LEGACY, Side.CANDIDATE))
        items.append(
            TaskCosts(
                task=task,
                category=resolved.category,
                runs=volumes[task],
                legacy=_side(legacy, recent.get((task, Side.LEGACY), none)),
                candidate=_side(candidate, recent.get((task, Side.CANDIDATE), none)),
                saving=(
                    legacy.total - candidate.total if legacy.total is not None and candidate.total is not None else None
                ),
            )
        )
    return Costs(
        currency=book.currency,
        volume_days=found.volume_days,
        price_days=PRICE_DAYS,
        total=_total(items),
        items=items,
        apart=_apart(found.known),
    )


def _platform(catalogue: ResolvedCatalogue, task: str, side: Side) -> object:
    resolved = catalogue.tasks[task]
    return catalogue.platforms[resolved.legacy.platform if side is Side.LEGACY else resolved.candidate.platform]


def _side(month: Month, recent: Usage) -> SideCost:
    return SideCost(
        platform=month.platform,
        basis=month.basis.value,
        recent_runs=recent.runs,
        per_run=month.per_run,
        executions=month.executions,
        variable=month.variable,
        fixed=month.fixed,
        total=month.total,
    )


def _total(items: Sequence[TaskCosts]) -> CostTotal:
    known = [item for item in items if item.saving is not None]
    return CostTotal(
        tasks=len(items),
        unknown=len(items) - len(known),
        legacy=sum(item.legacy.total or 0.0 for item in known),
        candidate=sum(item.candidate.total or 0.0 for item in known),
        saving=sum(item.saving or 0.0 for item in known),
    )


def _apart(known: Mapping[Key, Usage]) -> list[Apart]:
    sums: defaultdict[tuple[Side, str], Usage] = defaultdict(Usage)
    for (_task, side, purpose), usage in known.items():
        if purpose != LIVE:
            sums[side, purpose] += usage
    return [
        Apart(side=side, purpose=purpose, runs=usage.runs, reported=usage.cents / 100)
        for (side, purpose), usage in sorted(sums.items())
        if usage.runs
    ]
