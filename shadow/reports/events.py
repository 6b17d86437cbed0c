"""One event: what came in, who has it, and which runs it started."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Select, Text, any_, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncEngine
from ulid import ULID

from shadow.access.tokens import Tenants
from shadow.model.ids import first_id_at
from shadow.reports.originals import originals_of
from shadow.reports.runs import summaries_of_event
from shadow.reports.shapes import DispatchView, EventDetail
from shadow.reports.stored_json import shown
from shadow.store.tables import bodies, dispatches, events, pairs

_AROUND = timedelta(days=1)
"""How far from an event's acceptance Inngest may have made its ULID."""
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)

_DISPATCH = [dispatches.c[name] for name in DispatchView.model_fields]
_BESIDE = {"data", "originals", "runs", "dispatches", "pairs"}
_EVENT = [events.c[name] for name in EventDetail.model_fields if name not in _BESIDE]


async def detail(
    engine: AsyncEngine, name: str, sources: Collection[str] = (), *, tenants: Tenants = None
) -> EventDetail | None:
    """The event of that name; None when there is none.

    Args:
        name: Shadow's id, the ULID that Inngest assigned, or the id that candidate runs carry; of several events
            the newest.
        sources: those of the catalogue: of a webhook that maps no id of its own, candidate runs carry the
            provider's id after the source's name, and `name` may leave that out.
        tenants: only an event of these.
    """
    async with engine.connect() as connection:
        row = (await connection.execute(_newest(name, sources, tenants))).one_or_none()
        if row is None:
            return None
        content = await connection.scalar(
            select(bodies.c.content).where(bodies.c.id == row.id, bodies.c.part == "evidence")
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
                "originals": await originals_of(connection, row.id),
                "runs": await summaries_of_event(connection, row.id),
                "dispatches": handed,
                "pairs": list(opened),
            }
        )


def _newest(name: str, sources: Collection[str], tenants: Tenants = None) -> Select[Any]:
    """The newest event of that name, of these tenants or of any.

    Every way to look is one index's; nothing is ever scanned for a name.
    """
    carried = [name, *(f"{source}:{name}" for source in sources)]
    ways = [select(events.c.id).where(events.c.delivery_id == any_(literal(carried, ARRAY(Text))))]
    if (identifier := _uuid(name)) is not None:
        ways.append(select(events.c.id).where(events.c.id == identifier))
    if (made := _made(name)) is not None:
        ways.append(
            select(events.c.id).where(
                events.c.upstream_id == name,
                events.c.id.between(first_id_at(made - _AROUND), first_id_at(made + _AROUND)),
            )
        )
    # Found first and ordered then: else the planner may walk all events from the newest, looking for a name.
    found = union_all(*ways).cte("found").prefix_with("MATERIALIZED")
    ids = select(found.c.id)
    if tenants is not None:
        theirs = events.alias("theirs")
        ids = ids.join(theirs, theirs.c.id == found.c.id).where(theirs.c.tenant.in_(tenants))
    newest = ids.order_by(found.c.id.desc()).limit(1).scalar_subquery()
    return select(*_EVENT).where(events.c.id == newest)


def _uuid(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


def _made(name: str) -> datetime | None:
    """When a ULID was made; None for other names, and for times of which there can be no events."""
    try:
        made: datetime = ULID.from_str(name).datetime
    except ValueError:
        return None
    return made if _EARLIEST <= made <= _LATEST else None
