"""One event: what came in, who has it, and which runs it started."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from shadow.reports.runs import summaries_of_event
from shadow.reports.shapes import DispatchView, EventDetail
from shadow.reports.stored_json import shown
from shadow.store.tables import bodies, dispatches, events, pairs

_DISPATCH = [dispatches.c[name] for name in DispatchView.model_fields]
_BESIDE = {"data", "runs", "dispatches", "pairs"}
_EVENT = [events.c[name] for name in EventDetail.model_fields if name not in _BESIDE]


async def detail(engine: AsyncEngine, name: str) -> EventDetail | None:
    """The event of that name; None when there is none.

    Args:
        name: Shadow's id, the ULID that Inngest assigned, the id that candidate runs carry, or what its
            producer calls it; of several events the newest.
    """
    async with engine.connect() as connection:
        row = (
            await connection.execute(select(*_EVENT).where(_named(name)).order_by(events.c.id.desc()).limit(1))
        ).one_or_none()
        if row is None:
            return None
        content = await connection.scalar(
            select(bodies.c.content).where(bodies.c.id == row.id, bodies.c.part == "data")
        )
        waiting = await connection.execute(
            select(*_DISPATCH)
            .where(dispatches.c.event_id == row.id)
            .order_by(dispatches.c.side.desc(), dispatches.c.id)
        )
        handed = [DispatchView.model_validate(found._mapping) for found in waiting]
        opened = await connection.scalars(select(pairs.c.id).where(pairs.c.event_id == row.id).order_by(pairs.c.task))
        return EventDetail.model_validate(
            {
                **row._mapping,
                "data": shown(content),
                "runs": await summaries_of_event(connection, row.id),
                "dispatches": handed,
                "pairs": list(opened),
            }
        )


def _named(name: str) -> ColumnElement[bool]:
    try:
        return events.c.id == UUID(name)
    except ValueError:
        return or_(events.c.upstream_id == name, events.c.delivery_id == name, events.c.external_id == name)
