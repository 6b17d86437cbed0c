"""The ticks of scheduled tasks: which there should have been, whose each was, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy import ColumnElement, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.catalogue.schedule import Schedule
from shadow.cutover.decision import Phase
from shadow.reports.shapes import Shape
from shadow.store.tables import ticks

DAYS = 30
"""What the counts are of."""
TickState = Literal["waiting", "run", "late", "missed"]
STATES: tuple[TickState, ...] = ("waiting", "run", "late", "missed")


class TickView(Shape):
    """One nominal time of a scheduled task."""

    nominal_at: datetime
    external_id: str | None = Field(description="Of legacy's schedule, where each is a tenant's.")
    phase: Phase = Field(description="Of the route at the nominal time.")
    authority: Side = Field(description="The side whose run it is: from the switch on the candidate's.")
    state: TickState = Field(
        description="`waiting` within its grace, `run` in time, `late` (run after its grace), or `missed`."
    )
    doubled: bool = Field(description="Whether one side ran it twice, or the candidate's own trigger in shadow too.")
    legacy_runs: int = Field(description="That legacy's scheduler started.")
    candidate_runs: int = Field(description="That the candidate's own trigger started; a mirrored tick is none.")
    event_id: UUID | None = Field(description="The event that stands for it; null until its run is known.")


class TickCounts(Shape):
    """Of the last 30 days."""

    waiting: int = 0
    run: int = 0
    late: int = 0
    missed: int = 0
    doubled: int = Field(0, description="Of them all.")


class Ticks(Shape):
    """A scheduled task's newest ticks."""

    task: str
    expression: str
    timezone: str
    next_at: datetime = Field(description="When it is due next, by its expression.")
    counts: TickCounts
    items: list[TickView]


def _state() -> ColumnElement[str]:
    return case(
        (and_(ticks.c.event_id.is_not(None), ticks.c.missed_at.is_(None)), "run"),
        (ticks.c.event_id.is_not(None), "late"),
        (ticks.c.missed_at.is_not(None), "missed"),
        else_="waiting",
    )


async def newest(
    engine: AsyncEngine,
    catalogue: ResolvedCatalogue,
    task: str,
    *,
    limit: int = 50,
    before: datetime | None = None,
    now: datetime | None = None,
) -> Ticks:
    """The newest ticks of a task.

    Raises:
        LookupError: it has no `cron`.
    """
    cron = catalogue.tasks[task].cron
    if cron is None:
        raise LookupError(f"the task {task!r} has no `cron`")
    query = (
        select(ticks, _state().label("state"))
        .where(ticks.c.task == task)
        .order_by(ticks.c.nominal_at.desc(), ticks.c.external_id)
        .limit(limit)
    )
    if before is not None:
        query = query.where(ticks.c.nominal_at < before)
    async with engine.connect() as connection:
        rows = (await connection.execute(query)).mappings().all()
        counts = await counts_by_task(connection, [task])
    at = now or datetime.now(UTC)
    return Ticks(
        task=task,
        expression=cron.expression,
        timezone=cron.timezone,
        next_at=Schedule.parse(cron.expression, cron.timezone).next_after(at),
        counts=counts[task],
        items=[_view(row) for row in rows],
    )


def _view(row: Any) -> TickView:
    return TickView(
        nominal_at=row["nominal_at"],
        external_id=row["external_id"] or None,
        phase=row["phase"],
        authority=row["authority"],
        state=row["state"],
        doubled=row["doubled_at"] is not None,
        legacy_runs=row["legacy_runs"],
        candidate_runs=row["candidate_runs"],
        event_id=row["event_id"],
    )


async def counts_by_task(
    connection: AsyncConnection, tasks: Iterable[str], now: datetime | None = None
) -> dict[str, TickCounts]:
    """By task; every one that is asked for has an entry."""
    wanted = list(tasks)
    state = _state()
    query = (
        select(ticks.c.task, state, func.count(), func.count(ticks.c.doubled_at))
        .where(ticks.c.task.in_(wanted), ticks.c.nominal_at > (now or datetime.now(UTC)) - timedelta(days=DAYS))
        .group_by(ticks.c.task, state)
    )
    found: dict[str, dict[str, int]] = {task: {} for task in wanted}
    for task, name, number, doubled in await connection.execute(query):
        found[task][name] = number
        found[task]["doubled"] = found[task].get("doubled", 0) + doubled
    return {task: TickCounts(**counts) for task, counts in found.items()}
