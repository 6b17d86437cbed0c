"""Moves: every change of phase, as it was audited."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import any_, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shadow.reports.shapes import MoveDetail, Moves, MoveView
from shadow.store.tables import moves


async def newest(engine: AsyncEngine, *, task: str | None = None, limit: int = 50) -> Moves:
    """The newest moves, of all routes or of the one of that task."""
    query = (
        select(*(moves.c[name] for name in MoveView.model_fields))
        .order_by(moves.c.decided_at.desc(), moves.c.id.desc())
        .limit(limit)
    )
    if task is not None:
        query = query.where(literal(task) == any_(moves.c.tasks))
    async with engine.connect() as connection:
        rows = await connection.execute(query)
        return Moves(items=[MoveView.model_validate(row._mapping) for row in rows])


async def one(engine: AsyncEngine, move: UUID) -> MoveDetail | None:
    """A move with its evidence; None where there is none of that id."""
    query = select(*(moves.c[name] for name in MoveDetail.model_fields)).where(moves.c.id == move)
    async with engine.connect() as connection:
        row = (await connection.execute(query)).first()
        return None if row is None else MoveDetail.model_validate(row._mapping)


async def automatic_by_task(connection: AsyncConnection, tasks: Iterable[str]) -> dict[str, int]:
    """How often each of these tasks was moved back by itself."""
    task = func.unnest(moves.c.tasks).label("task")
    made = select(task).where(moves.c.cause == "automatic").subquery()
    rows = await connection.execute(select(made.c.task, func.count()).group_by(made.c.task))
    found: dict[str, int] = {row[0]: row[1] for row in rows}
    return {task: found.get(task, 0) for task in tasks}
