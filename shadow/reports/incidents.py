"""Incidents: what must not happen and did."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shadow.access.tokens import Tenants
from shadow.reports.shapes import IncidentList, IncidentView
from shadow.store.tables import events, incidents, runs

_NAMED = {"run": "run_id", "effect": "effect_id"}
_COLUMNS = [incidents.c[_NAMED.get(name, name)].label(name) for name in IncidentView.model_fields]


async def newest(
    engine: AsyncEngine,
    *,
    kind: str | None = None,
    task: str | None = None,
    tenants: Tenants = None,
    limit: int = 50,
) -> IncidentList:
    """The newest incidents, of all kinds, tasks and tenants or of these.

    Whose an incident is says its run; one of which no run is known is no tenant's.
    """
    query = select(*_COLUMNS).order_by(incidents.c.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(incidents.c.kind == kind)
    if task is not None:
        query = query.where(incidents.c.task == task)
    if tenants is not None:
        of_these = (
            select(runs.c.id)
            .join(events, events.c.id == runs.c.event_id)
            .where(runs.c.id == incidents.c.run_id, events.c.tenant.in_(tenants))
        )
        query = query.where(of_these.exists())
    async with engine.connect() as connection:
        rows = await connection.execute(query)
        return IncidentList(items=[IncidentView.model_validate(row._mapping) for row in rows])


async def leaks_by_task(connection: AsyncConnection, tasks: Iterable[str]) -> dict[str, int]:
    """How many leaks each of these tasks ever had."""
    query = select(incidents.c.task, func.count()).where(incidents.c.kind == "leak").group_by(incidents.c.task)
    found: dict[str, int] = {row[0]: row[1] for row in await connection.execute(query)}
    return {task: found.get(task, 0) for task in tasks}
