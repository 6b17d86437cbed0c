"""What runs cost, from the tallies: a month of every task on either side, and what moving it saves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import select
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


@dataclass(frozen=True, slots=True)
class Tallied:
    """A row of the tallies."""

    task: str
    side: Side
    platform: str
    purpose: str
    day: date
    used: Usage


async def costs(engine: AsyncEngine, catalogue: ResolvedCatalogue, now: datetime | None = None) -> Costs:
    """What a month of every task costs, at the volume of the last days."""
    today = (now or datetime.now(UTC)).astimezone(UTC).date()
    async with engine.connect() as connection:
        rows = await tallied(connection, since=today - timedelta(days=PRICE_DAYS))
    return costs_of(catalogue, rows, today)


async def of_task(
    engine: AsyncEngine, catalogue: ResolvedCatalogue, task: str, now: datetime | None = None
) -> CostsOfTask:
    """What a month of that task costs. Its share of a platform's price depends on all others, which are read too."""
    today = (now or datetime.now(UTC)).astimezone(UTC).date()
    async with engine.connect() as connection:
        rows = await tallied(connection, since=today - timedelta(days=PRICE_DAYS))
        own = await tallied(connection, since=today - timedelta(days=SHOWN_DAYS), task=task)
    found = costs_of(catalogue, rows, today)
    return CostsOfTask(
        currency=found.currency,
        volume_days=found.volume_days,
        month=next(item for item in found.items if item.task == task),
        days=[
            CostDay(
                day=row.day,
                side=row.side,
                platform=row.platform,
                purpose=row.purpose,
                runs=row.used.runs,
                priced=row.used.priced,
                reported=row.used.cents / 100,
                told=row.used.told,
                executions=row.used.executions,
            )
            for row in own
        ],
    )


async def tallied(connection: AsyncConnection, *, since: date, task: str | None = None) -> list[Tallied]:
    """The tallies from that day on, oldest first."""
    names = ("day", "side", "platform", "purpose", "task")
    query = select(cost_tallies).where(cost_tallies.c.day >= since).order_by(*(cost_tallies.c[name] for name in names))
    if task is not None:
        query = query.where(cost_tallies.c.task == task)
    return [
        Tallied(
            row.task,
            Side(row.side),
            row.platform,
            row.purpose,
            row.day,
            Usage(row.runs, row.priced, row.cents, row.told, row.executions),
        )
        for row in await connection.execute(query)
    ]


def costs_of(catalogue: ResolvedCatalogue, rows: Sequence[Tallied], today: date) -> Costs:
    """What a month of every task costs, by tallies of the last `PRICE_DAYS`. Pure."""
    days = _volume_days([row.day for row in rows if row.purpose == LIVE], today)
    recent, known = _sums(rows, days), _sums(rows, None)
    volumes = {
        task: volume(recent[task, Side.LEGACY], recent[task, Side.CANDIDATE], len(days)) for task in catalogue.tasks
    }
    book = catalogue.catalogue.prices
    by_side = {
        side: months(
            {
                task: Place(
                    platform=resolved.legacy.platform if side is Side.LEGACY else resolved.candidate.platform,
                    bills_runs=isinstance(_platform(catalogue, task, side), TriggerPlatform),
                    known=known[task, side],
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
                legacy=_side(legacy, recent[task, Side.LEGACY]),
                candidate=_side(candidate, recent[task, Side.CANDIDATE]),
                saving=(
                    legacy.total - candidate.total if legacy.total is not None and candidate.total is not None else None
                ),
            )
        )
    return Costs(
        currency=book.currency,
        volume_days=len(days),
        price_days=PRICE_DAYS,
        total=_total(items),
        items=items,
        apart=_apart(rows),
    )


def _volume_days(known: Sequence[date], today: date) -> set[date]:
    """The last whole days, no earlier ones than there are any of; today where there is none before it."""
    first = max(min(known, default=today), today - timedelta(days=VOLUME_DAYS))
    return {first + timedelta(days=number) for number in range((today - first).days)} or {today}


def _sums(rows: Sequence[Tallied], days: set[date] | None) -> defaultdict[tuple[str, Side], Usage]:
    """(task, side) -> what its live runs used up, on these days or on all."""
    sums: defaultdict[tuple[str, Side], Usage] = defaultdict(Usage)
    for row in rows:
        if row.purpose == LIVE and (days is None or row.day in days):
            sums[row.task, row.side] += row.used
    return sums


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


def _apart(rows: Sequence[Tallied]) -> list[Apart]:
    sums: defaultdict[tuple[Side, str], Usage] = defaultdict(Usage)
    for row in rows:
        if row.purpose != LIVE:
            sums[row.side, row.purpose] += row.used
    return [
        Apart(side=side, purpose=purpose, runs=used.runs, reported=used.cents / 100)
        for (side, purpose), used in sorted(sums.items())
        if used.runs
    ]
