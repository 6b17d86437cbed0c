"""Containment of tasks: what holds, what was tried, how it ended."""

from __future__ import annotations

from sqlalchemy import case, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shadow.containment.record import Containment
from shadow.reports.shapes import ContainmentReport, ContainmentView
from shadow.store.tables import containments

NO_CONTAINMENT = "none"
"""The state of a task of which nothing is on record."""

_FIRST = case((containments.c.state == "proven", 0), (containments.c.state == "declared", 1), else_=2)
"""What holds comes before what was tried later, and a proof before a declaration."""


async def containment_states(connection: AsyncConnection) -> dict[str, str]:
    """Task -> the state of what holds for it, or else of what was tried last; tasks without any are left out."""
    rows = await connection.execute(
        select(containments.c.task, containments.c.state)
        .distinct(containments.c.task)
        .order_by(containments.c.task, _FIRST, containments.c.id.desc())
    )
    return {row.task: row.state for row in rows}


async def containment(engine: AsyncEngine, task: str, *, limit: int) -> ContainmentReport:
    """What is on record of a task, newest first, and what holds of it now."""
    columns = [containments.c[name] for name in ContainmentView.model_fields]
    async with engine.connect() as connection:
        state = (await containment_states(connection)).get(task, NO_CONTAINMENT)
        rows = await connection.execute(
            select(*columns).where(containments.c.task == task).order_by(containments.c.id.desc()).limit(limit)
        )
        items = [ContainmentView.model_validate(row._mapping) for row in rows]
    return ContainmentReport(task=task, state=state, contained=state in ("proven", "declared"), items=items)


def view(found: Containment) -> ContainmentView:
    """One of them as reports show it."""
    return ContainmentView.model_validate({name: getattr(found, name) for name in ContainmentView.model_fields})
