"""Allowances: what is allowed to differ, by whom, until when, and what each of them covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy import and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shadow.access.tokens import Tenants
from shadow.reports.paging import DEFAULT_LIMIT
from shadow.reports.shapes import Allowances, AllowanceView
from shadow.store.tables import allowance_sweeps, allowances

State = Literal["standing", "expired", "revoked"]

_STANDS = and_(allowances.c.ended_at.is_(None), allowances.c.expires_at > func.now())
_REVOKED = allowances.c.ended_by.is_not(None)
_STATES = {"standing": _STANDS, "revoked": _REVOKED, "expired": and_(~_STANDS, ~_REVOKED)}
_STATE = case(*((condition, name) for name, condition in _STATES.items()))
_DECIDING = select(allowance_sweeps.c.allowance).where(allowance_sweeps.c.allowance == allowances.c.id).exists()
_COMPUTED = {"state": _STATE.label("state"), "deciding": _DECIDING.label("deciding")}
_COLUMNS = [_COMPUTED[name] if name in _COMPUTED else allowances.c[name] for name in AllowanceView.model_fields]


async def newest(
    engine: AsyncEngine,
    *,
    task: str | None = None,
    signature: str | None = None,
    state: State | None = None,
    tenants: Tenants = None,
    limit: int = DEFAULT_LIMIT,
) -> Allowances:
    """Allowances that fulfil every condition given, newest first."""
    async with engine.connect() as connection:
        found = await views(connection, task=task, signature=signature, state=state, tenants=tenants, limit=limit)
    return Allowances(items=found)


async def one(engine: AsyncEngine, allowance: UUID, *, tenants: Tenants = None) -> AllowanceView | None:
    """One of them; None when there is none of that id, or for one of these tenants alone."""
    query = select(*_COLUMNS).where(allowances.c.id == allowance)
    if tenants is not None:
        query = query.where(allowances.c.tenant.in_(tenants))
    async with engine.connect() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else AllowanceView.model_validate(row._mapping)


async def views(
    connection: AsyncConnection,
    *,
    task: str | None = None,
    signature: str | None = None,
    state: State | None = None,
    tenants: Tenants = None,
    limit: int,
) -> list[AllowanceView]:
    """The same on a connection. With `tenants`, only those for one of them alone: what holds for all counts all."""
    query = select(*_COLUMNS).order_by(allowances.c.id.desc()).limit(limit)
    if task is not None:
        query = query.where(allowances.c.task == task)
    if signature is not None:
        query = query.where(allowances.c.signature == signature)
    if state is not None:
        query = query.where(_STATES[state])
    if tenants is not None:
        query = query.where(allowances.c.tenant.in_(tenants))
    return [AllowanceView.model_validate(row._mapping) for row in await connection.execute(query)]


@dataclass(frozen=True, slots=True)
class Standing:
    """The allowances of a task that stand."""

    number: int
    left_seconds: float
    """Until the next of them expires."""


async def standing_by_task(connection: AsyncConnection) -> dict[str, Standing]:
    """By task, where any stands."""
    left = func.extract("epoch", func.min(allowances.c.expires_at) - func.now()).label("left")
    rows = await connection.execute(
        select(allowances.c.task, func.count().label("number"), left).where(_STANDS).group_by(allowances.c.task)
    )
    return {row.task: Standing(row.number, float(row.left)) for row in rows}
