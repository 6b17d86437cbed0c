"""Where every route stands: its phase, what its ramp takes, and what is about to hold."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import Field
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncEngine

from shadow.catalogue import ResolvedCatalogue, Route
from shadow.cutover.decision import Phase
from shadow.reports.shapes import Shape
from shadow.store.tables import phases

_ORDER = list(Phase)


class ComingStand(Shape):
    """A move that was made and does not hold yet."""

    phase: Phase
    share: int
    allow: list[str]
    deny: list[str]
    effective_at: datetime


class RouteStand(Shape):
    """Where a route stands."""

    route: str
    tasks: list[str]
    phase: Phase
    share: int = Field(description="Of `ramp`: percent of keys for which the candidate has authority; else 0.")
    allow: list[str] = Field(description="Of `ramp`: keys that go to the candidate whatever the share is.")
    deny: list[str] = Field(description="Of `ramp`: keys that stay with legacy.")
    reverse: bool = Field(description="Legacy runs without authority where the candidate has it.")
    since: datetime | None = Field(description="From when on; null where it was never moved, or a move is coming.")
    coming: ComingStand | None = Field(description="The move that holds next; null where none was made.")


class RouteStands(Shape):
    items: list[RouteStand]


async def stands(engine: AsyncEngine, catalogue: ResolvedCatalogue, now: datetime | None = None) -> RouteStands:
    """Every route of the catalogue, in its order."""
    moment = now or datetime.now(UTC)
    async with engine.connect() as connection:
        rows = {row.task: row for row in await connection.execute(select(phases))}
    return RouteStands(
        items=[
            _stand(route, [rows[task] for task in route.tasks if task in rows], moment)
            for route in catalogue.routes.values()
        ]
    )


def _stand(route: Route, rows: list[Row[tuple[object, ...]]], now: datetime) -> RouteStand:
    if len(rows) < len(route.tasks):
        return RouteStand(
            route=route.name,
            tasks=list(route.tasks),
            phase=Phase.LEGACY,
            share=0,
            allow=[],
            deny=[],
            reverse=False,
            since=None,
            coming=None,
        )
    # As the routing has it: of tasks that stand differently, the one nearest to legacy counts.
    row = min(rows, key=lambda one: _ORDER.index(Phase(one.phase if one.effective_at <= now else one.previous)))
    holds = row.effective_at <= now
    phase = Phase(row.phase if holds else row.previous)
    return RouteStand(
        route=route.name,
        tasks=list(route.tasks),
        phase=phase,
        share=row.share if holds else row.previous_share,
        allow=row.allow if holds else row.previous_allow,
        deny=row.deny if holds else row.previous_deny,
        reverse=row.reverse and route.reverse and phase in (Phase.RAMP, Phase.LIVE),
        since=row.effective_at if holds else None,
        coming=None
        if holds
        else ComingStand(
            phase=Phase(row.phase), share=row.share, allow=row.allow, deny=row.deny, effective_at=row.effective_at
        ),
    )
