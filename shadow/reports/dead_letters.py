"""Dead letters: dispatches that their platform will not take."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from shadow.access.tokens import Tenants
from shadow.reports.paging import DEFAULT_LIMIT, cursor_of, read_cursor
from shadow.reports.shapes import DeadLetter, DeadLetterPage, DispatchView
from shadow.store.tables import dispatches, events


async def page(
    engine: AsyncEngine,
    *,
    side: str | None = None,
    task: str | None = None,
    tenants: Tenants = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> DeadLetterPage:
    """A page of dead letters, in a stable order.

    Raises:
        BadCursor: `cursor` is none of ours.
    """
    query = (
        select(
            *(dispatches.c[name] for name in DispatchView.model_fields),
            dispatches.c.tenant,
            events.c.name.label("event_name"),
            events.c.source,
        )
        .outerjoin(events, events.c.id == dispatches.c.event_id)
        .where(dispatches.c.state == "dead")
        .order_by(dispatches.c.id.desc())
        .limit(limit + 1)
    )
    if side is not None:
        query = query.where(dispatches.c.side == side)
    if task is not None:
        query = query.where(dispatches.c.task == task)
    if tenants is not None:
        query = query.where(events.c.tenant.in_(tenants))
    if cursor is not None:
        query = query.where(dispatches.c.id < read_cursor(cursor))
    async with engine.connect() as connection:
        rows = (await connection.execute(query)).all()
    items = [DeadLetter.model_validate(row._mapping) for row in rows[:limit]]
    return DeadLetterPage(items=items, next_cursor=cursor_of(items[-1].id) if len(rows) > limit else None)


async def exists(engine: AsyncEngine, dispatch: UUID, *, tenants: Tenants = None) -> bool:
    """Whether there is such a dispatch, dead or on its way, of these tenants or of any."""
    query = select(dispatches.c.id).where(dispatches.c.id == dispatch)
    if tenants is not None:
        query = query.join(events, events.c.id == dispatches.c.event_id).where(events.c.tenant.in_(tenants))
    async with engine.connect() as connection:
        found = await connection.scalar(query)
    return found is not None
