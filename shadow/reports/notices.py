"""Notices, and how channels were told of them."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from sqlalchemy import case, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from shadow.catalogue import ResolvedCatalogue
from shadow.reports.notice_shapes import NoticeDelivery, Notices, NoticeView
from shadow.store.tables import notice_deliveries, notices

_STATE = case(
    (notice_deliveries.c.sent_at.is_not(None), "sent"),
    (notice_deliveries.c.due_at.is_not(None), "waiting"),
    else_="given_up",
).label("state")
_DELIVERY = [_STATE if name == "state" else notice_deliveries.c[name] for name in NoticeDelivery.model_fields]
_NOTICE = [notices.c[name] for name in NoticeView.model_fields if name != "deliveries"]


async def newest(
    engine: AsyncEngine,
    catalogue: ResolvedCatalogue,
    *,
    kind: str | None = None,
    task: str | None = None,
    limit: int = 50,
) -> Notices:
    """The newest notices, of all kinds and tasks or of these. One of a route is of each of its tasks."""
    query = select(*_NOTICE).order_by(notices.c.made_at.desc(), notices.c.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(notices.c.kind == kind)
    if task is not None:
        route = catalogue.tasks[task].route if task in catalogue.tasks else None
        of_route = (notices.c.task.is_(None)) & (notices.c.route == route)
        query = query.where(or_(notices.c.task == task, of_route))
    async with engine.connect() as connection:
        found = (await connection.execute(query)).all()
        ids = [row.id for row in found]
        made = await connection.execute(
            select(notice_deliveries.c.notice, *_DELIVERY)
            .where(notice_deliveries.c.notice.in_(ids))
            .order_by(notice_deliveries.c.channel)
        )
        deliveries: dict[UUID, list[NoticeDelivery]] = defaultdict(list)
        for row in made:
            values = dict(row._mapping)
            deliveries[values.pop("notice")].append(NoticeDelivery.model_validate(values))
    return Notices(
        items=[NoticeView.model_validate({**row._mapping, "deliveries": deliveries[row.id]}) for row in found]
    )
