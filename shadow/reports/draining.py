"""What is still in flight on legacy: of a route, and of all of them for the metrics."""

from __future__ import annotations

from typing import cast

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shadow.catalogue import ResolvedCatalogue
from shadow.reports.drain_shapes import Drain, DrainView
from shadow.steering.draining import Draining, draining
from shadow.store.database import Connection


async def drain(engine: AsyncEngine, catalogue: ResolvedCatalogue, task: str) -> Drain:
    """Of all tasks of the route of `task`, which the catalogue has."""
    route = catalogue.routes[catalogue.tasks[task].route]
    async with engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        found = await draining(cast(Connection, raw), catalogue, route.tasks)
    tasks = [_view(found[one]) for one in route.tasks]
    return Drain(route=route.name, left=sum(one.left for one in tasks), tasks=tasks)


async def left_by_task(connection: AsyncConnection, catalogue: ResolvedCatalogue) -> dict[str, int]:
    """How much is left of every task whose candidate has authority, or some of it."""
    raw = (await connection.get_raw_connection()).driver_connection
    found = await draining(cast(Connection, raw), catalogue, catalogue.tasks)
    return {task: one.left for task, one in found.items() if one.since is not None}


def _view(found: Draining) -> DrainView:
    return DrainView(
        task=found.task,
        phase=found.phase,
        since=found.since,
        left=found.left,
        runs=found.runs,
        scheduled=found.scheduled,
        waiting=found.waiting,
        dead=found.dead,
        oldest=found.oldest,
        examples=list(found.examples),
    )
