"""Proposals: where values of a task differ, which rules would explain it, and what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from shadow.reports.paging import DEFAULT_LIMIT
from shadow.reports.proposal_shapes import Proposals, ProposalView
from shadow.store.tables import proposals

State = Literal["open", "refused", "accepted", "expired", "rejected"]

_EXPIRED = and_(proposals.c.state == "accepted", proposals.c.expires_at <= func.now())
_STATE: ColumnElement[str] = case((_EXPIRED, "expired"), else_=proposals.c.state)
_COLUMNS = [_STATE.label("state") if name == "state" else proposals.c[name] for name in ProposalView.model_fields]


async def of_task(
    engine: AsyncEngine,
    task: str | None,
    *,
    state: State | None = None,
    only: Sequence[UUID] | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Proposals:
    """Those of a task (or of all), what is to be decided first, then the newest."""
    query = select(*_COLUMNS).order_by(case((_STATE.in_(["open"]), 0), else_=1), proposals.c.id.desc()).limit(limit)
    if task is not None:
        query = query.where(proposals.c.task == task)
    if state is not None:
        query = query.where(_STATE.in_([state]))
    if only is not None:
        query = query.where(proposals.c.id.in_(only))
    async with engine.connect() as connection:
        rows = await connection.execute(query)
        return Proposals(items=[ProposalView.model_validate(row._mapping) for row in rows])


async def one(engine: AsyncEngine, proposal: UUID) -> ProposalView | None:
    """One of them; None when there is none of that id."""
    async with engine.connect() as connection:
        row = (await connection.execute(select(*_COLUMNS).where(proposals.c.id == proposal))).one_or_none()
    return None if row is None else ProposalView.model_validate(row._mapping)
