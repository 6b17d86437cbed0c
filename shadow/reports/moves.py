"""Moves: every change of phase, as it was audited."""

from __future__ import annotations

from sqlalchemy import any_, literal, select
from sqlalchemy.ext.asyncio import AsyncEngine

from shadow.reports.shapes import Moves, MoveView
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
