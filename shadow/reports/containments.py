"""Containment of tasks: what holds, what was tried, how it ended."""

from __future__ import annotations

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shadow.containment.record import Containment
from shadow.reports.shapes import ContainmentReport, ContainmentView
from shadow.store.tables import containments

NO_CONTAINMENT = "none"
"""The state of a task of which nothing is on record."""

# What holds comes before what was tried later, and a proof before a declaration.
_STATES = text("""
    SELECT DISTINCT ON (task) task, state FROM containments
    ORDER BY task, CASE state WHEN 'proven' THEN 0 WHEN 'declared' THEN 1 ELSE 2 END, id DESC
""")


async def containment_states(connection: AsyncConnection) -> dict[str, str]:
    """Task -> the state of what holds for it, or else of what was tried last; tasks without any are left out."""
    return {row.task: row.state for row in await connection.execute(_STATES)}


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
