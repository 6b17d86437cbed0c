"""Runs with their outputs and ledgers, as reports show them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Row, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadow.reports.shapes import EffectView, RunSummary, RunView
from shadow.reports.stored_json import shown
from shadow.store.tables import bodies, effects, runs

_COLUMNS = [runs.c[name] for name in RunSummary.model_fields]


async def summaries_of_event(connection: AsyncConnection, event: UUID) -> list[RunSummary]:
    """The runs of an event, legacy first."""
    rows = await connection.execute(
        select(*_COLUMNS).where(runs.c.event_id == event).order_by(runs.c.task, runs.c.side.desc(), runs.c.id)
    )
    return [RunSummary.model_validate(row._mapping) for row in rows]


async def views(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, RunView]:
    """These runs with output and effects, as far as they exist."""
    rows = (await connection.execute(select(*_COLUMNS).where(runs.c.id.in_(ids)))).all()
    ledgers = await _ledgers(connection, rows)
    found = await connection.execute(
        select(bodies.c.id, bodies.c.content).where(
            bodies.c.id.in_([row.id for row in rows]), bodies.c.part == "output"
        )
    )
    outputs = {row.id: row.content for row in found}
    return {
        row.id: RunView.model_validate(
            {
                **row._mapping,
                "output": shown(outputs.get(row.id)),
                "effects": ledgers.get(row.id, []),
            }
        )
        for row in rows
    }


async def _ledgers(
    connection: AsyncConnection, found: Sequence[Row[tuple[object, ...]]]
) -> dict[UUID, list[EffectView]]:
    """Run -> its effects in the order in which they happened."""
    if not found:
        return {}
    named = {(row.platform_run_id, row.side): row.id for row in found if row.platform_run_id is not None}
    whose = [
        effects.c.run_id.in_([row.id for row in found]),
        *(
            and_(effects.c.platform_run_id == name, effects.c.side == side, effects.c.run_id.is_(None))
            for name, side in named
        ),
    ]
    moment = func.coalesce(effects.c.occurred_at, effects.c.received_at)
    rows = await connection.execute(
        select(effects, func.coalesce(effects.c.data, bodies.c.content).label("content"))
        .outerjoin(bodies, and_(bodies.c.id == effects.c.id, bodies.c.part == "data"))
        .where(or_(*whose))
        .order_by(moment, effects.c.received_at, effects.c.sequence, effects.c.id)
    )
    ledgers: dict[UUID, list[EffectView]] = {}
    for row in rows:
        values = {name: row._mapping[name] for name in EffectView.model_fields if name != "data"}
        view = EffectView.model_validate({**values, "data": shown(row.content)})
        ledgers.setdefault(row.run_id or named[row.platform_run_id, row.side], []).append(view)
    return ledgers
