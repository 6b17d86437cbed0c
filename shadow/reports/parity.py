"""How well a candidate does what legacy does: counts and parity, from the tallies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import TypeVar

from sqlalchemy import BigInteger, and_, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from comparators import Verdict
from shadow.access.tokens import Tenants
from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Phase
from shadow.reports.shapes import (
    CandidateTarget,
    Counts,
    DayCounts,
    LegacyTarget,
    Parity,
    Tasks,
    TaskSummary,
)
from shadow.reports.unattributed import unattributed_by_task, unattributed_of_tenants
from shadow.store.tables import dispatches, events, pairs, phases, tallies

_VERDICTS = tuple(verdict.value for verdict in Verdict)
_SUMS = [cast(func.sum(tallies.c[name]), BigInteger).label(name) for name in ("opened", *_VERDICTS)]
_BOTH = or_(
    and_(events.c.decided.is_(None), events.c.phase == Phase.SHADOW.value),
    func.cardinality(events.c.decided) == len(Side),
)
"""Whether both sides get a producer's event."""

AnyCounts = TypeVar("AnyCounts", bound=Counts)


def parity_of(verdicts: Mapping[str, int]) -> float | None:
    """match / (match + mismatch + missing); None when nothing was compared. Silence is not success.

    An allowed pair is no match and, by a person's decision, no shortfall: it is in neither, and counted beside.
    """
    compared = sum(verdicts.get(name, 0) for name in ("match", "mismatch", "missing_candidate", "missing_legacy"))
    return verdicts.get("match", 0) / compared if compared else None


@dataclass
class Figures:
    """What the tallies say of a task, or of a task on one day."""

    opened: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    undelivered: int = 0
    """Events in the queue for which no pair is opened yet."""

    def as_counts(self, shape: type[AnyCounts], **more: object) -> AnyCounts:
        return shape.model_validate(
            {
                "events": self.opened + self.undelivered,
                "pairs": self.opened,
                **{name: self.verdicts[name] for name in _VERDICTS},
                "pending": self.opened - self.verdicts.total(),
                "parity": parity_of(self.verdicts),
                **more,
            }
        )


async def tasks(engine: AsyncEngine, catalogue: ResolvedCatalogue, *, tenants: Tenants = None) -> Tasks:
    """Every task of the catalogue, in its order, with the figures of these tenants or of all."""
    async with engine.connect() as connection:
        figures = await figures_by_task(connection, catalogue, tenants=tenants)
        standing = await standing_phases(connection)
    return Tasks(
        items=[
            _summary(task, figures.get(task.id, Figures()), standing.get(task.id, Phase.LEGACY))
            for task in catalogue.tasks.values()
        ]
    )


async def task(engine: AsyncEngine, catalogue: ResolvedCatalogue, name: str, *, tenants: Tenants = None) -> TaskSummary:
    """One task, with the figures of these tenants or of all.

    Raises:
        KeyError: the catalogue has none of that name.
    """
    found = catalogue.tasks[name]
    async with engine.connect() as connection:
        figures = await figures_by_task(connection, catalogue, only=name, tenants=tenants)
        standing = await standing_phases(connection)
    return _summary(found, figures.get(name, Figures()), standing.get(name, Phase.LEGACY))


async def parity(
    engine: AsyncEngine,
    catalogue: ResolvedCatalogue,
    name: str,
    *,
    since: date | None = None,
    until: date | None = None,
    tenant: str | None = None,
    tenants: Tenants = None,
) -> Parity:
    """The parity of a task over whole UTC days, both included, for one tenant, for several or all.

    Raises:
        KeyError: the catalogue has no such task.
    """
    task = catalogue.tasks[name]
    query = select(tallies.c.day, *_SUMS).where(tallies.c.task == name).group_by(tallies.c.day)
    if since is not None:
        query = query.where(tallies.c.day >= since)
    if until is not None:
        query = query.where(tallies.c.day <= until)
    if tenant is not None:
        query = query.where(tallies.c.tenant == tenant)
    if tenants is not None:
        query = query.where(tallies.c.tenant.in_(tenants))
    days: dict[date, Figures] = {}
    async with engine.connect() as connection:
        for row in await connection.execute(query):
            days[row.day] = Figures(row.opened, Counter({key: getattr(row, key) for key in _VERDICTS}))
        waiting = await _undelivered(connection, since=since, until=until, tenant=tenant, tenants=tenants)
        standing = await standing_phases(connection)
        if tenants is None:
            unattributed = (await unattributed_by_task(connection, [name], since=since, until=until))[name]
        else:
            unattributed = await unattributed_of_tenants(connection, name, tenants, since=since, until=until)
    for (event, source, day), count in waiting.items():
        if event == task.event and source in task.sources:
            days.setdefault(day, Figures()).undelivered += count
    return Parity(
        task=name,
        phase=standing.get(name, Phase.LEGACY),
        since=since,
        until=until,
        tenant=tenant,
        unattributed=unattributed,
        counts=_total(days.values()).as_counts(Counts),
        days=[figures.as_counts(DayCounts, day=day) for day, figures in sorted(days.items())],
    )


async def figures_by_task(
    connection: AsyncConnection,
    catalogue: ResolvedCatalogue,
    *,
    only: str | None = None,
    tenants: Tenants = None,
) -> dict[str, Figures]:
    """What the tallies say of each task since the beginning, tasks without any figure left out."""
    query = select(tallies.c.task, *_SUMS).group_by(tallies.c.task)
    if only is not None:
        query = query.where(tallies.c.task == only)
    if tenants is not None:
        query = query.where(tallies.c.tenant.in_(tenants))
    found = {
        row.task: Figures(row.opened, Counter({key: getattr(row, key) for key in _VERDICTS}))
        for row in await connection.execute(query)
    }
    for (event, source, _day), count in (await _undelivered(connection, tenants=tenants)).items():
        for task in catalogue.tasks_of_event(event):
            if source in task.sources and only in (None, task.id):
                found.setdefault(task.id, Figures()).undelivered += count
    return found


async def standing_phases(connection: AsyncConnection) -> dict[str, Phase]:
    """The phase that holds now for every task that was ever moved."""
    rows = await connection.execute(select(phases.c.task, phases.c.phase, phases.c.previous, phases.c.effective_at))
    now = datetime.now(UTC)
    return {row.task: Phase(row.phase if now >= row.effective_at else row.previous) for row in rows}


async def _undelivered(
    connection: AsyncConnection,
    *,
    since: date | None = None,
    until: date | None = None,
    tenant: str | None = None,
    tenants: Tenants = None,
) -> dict[tuple[str, str, date], int]:
    """(event name, source, UTC day) -> events in the queue that have no pairs yet. The queue is small."""
    query = (
        select(events.c.id, events.c.name, events.c.source, events.c.accepted_at)
        .distinct()
        .join(dispatches, dispatches.c.event_id == events.c.id)
        .where(
            dispatches.c.stage.in_(("deliver", "map")),
            _BOTH,
            events.c.origin == Origin.PRODUCER,
            events.c.repeats.is_(None),  # no pair that is counted will be of it
            ~select(pairs.c.id).where(pairs.c.event_id == events.c.id).exists(),
        )
    )
    if tenant is not None:
        query = query.where(events.c.tenant == (tenant or None))
    if tenants is not None:
        query = query.where(events.c.tenant.in_(tenants))
    if since is not None:
        query = query.where(events.c.accepted_at >= datetime.combine(since, time(), UTC))
    if until is not None:
        query = query.where(events.c.accepted_at <= datetime.combine(until, time.max, UTC))
    counts: Counter[tuple[str, str, date]] = Counter()
    for row in await connection.execute(query):
        counts[row.name, row.source, row.accepted_at.astimezone(UTC).date()] += 1
    return counts


def _total(days: Iterable[Figures]) -> Figures:
    total = Figures()
    for figures in days:
        total.opened += figures.opened
        total.undelivered += figures.undelivered
        total.verdicts.update(figures.verdicts)
    return total


def _summary(task: ResolvedTask, figures: Figures, phase: Phase) -> TaskSummary:
    return TaskSummary(
        task=task.id,
        category=task.category,
        description=task.description,
        route=task.route,
        phase=phase,
        event=task.event,
        sources=list(task.sources),
        legacy=LegacyTarget(platform=task.legacy.platform, task=task.legacy.task),
        candidate=CandidateTarget(platform=task.candidate.platform, function=task.candidate.function),
        counts=figures.as_counts(Counts),
    )
