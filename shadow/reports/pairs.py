"""Pairs: lists with filters, newest first, and one pair in full."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Select, false, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shadow.access.tokens import Tenants
from shadow.model.ids import first_id_at, time_of
from shadow.reports.originals import originals_of
from shadow.reports.paging import DEFAULT_LIMIT, cursor_of, read_cursor
from shadow.reports.runs import views
from shadow.reports.shapes import DifferenceView, PairDetail, PairPage, PairSummary
from shadow.store.tables import differences, events, pairs, runs

PENDING = "pending"
"""As a verdict: pairs that have none yet."""

_MOST_EXTRA = 50
"""Runs shown beyond those expected: a platform that runs an event without end is told by fewer."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DERIVED = {"accepted_at"}
_COLUMNS = [pairs.c[name] for name in PairSummary.model_fields if name not in _DERIVED]


@dataclass(frozen=True, slots=True)
class PairFilter:
    """Which pairs are meant; None leaves a condition out."""

    task: str | None = None
    verdict: str | None = None
    """A verdict, or `pending`."""
    signature: str | None = None
    tenant: str | None = None
    """Empty: pairs of events without a tenant."""
    since: datetime | None = None
    """Events accepted at or after."""
    until: datetime | None = None
    """Events accepted before."""
    replay: UUID | None = None
    """Those of this replay; without it none of any."""
    tenants: Tenants = None
    """Only pairs of these."""


async def page(
    engine: AsyncEngine, wanted: PairFilter, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> PairPage:
    """A page of pairs, newest event first.

    Raises:
        BadCursor: `cursor` is none of ours.
    """
    before = None if cursor is None else read_cursor(cursor)
    query = _page(select(*_COLUMNS), wanted, before, limit)
    if wanted.tenants is not None and wanted.tenant is None:
        # The newest of each, and of these the newest: asked for several at once, the planner may walk all pairs.
        each = [
            select(_page(select(pairs.c.id), replace(wanted, tenant=tenant), before, limit).subquery().c.id)
            for tenant in sorted(wanted.tenants)
        ]
        found = union_all(*each).cte("found").prefix_with("MATERIALIZED")
        newest = select(found.c.id).order_by(found.c.id.desc()).limit(limit + 1)
        query = select(*_COLUMNS).where(pairs.c.id.in_(newest)).order_by(pairs.c.id.desc())
    async with engine.connect() as connection:
        rows = (await connection.execute(query)).all()
    items = [PairSummary.model_validate(_values(row._mapping)) for row in rows[:limit]]
    return PairPage(items=items, next_cursor=cursor_of(items[-1].id) if len(rows) > limit else None)


async def detail(engine: AsyncEngine, pair: UUID, *, tenants: Tenants = None) -> PairDetail | None:
    """One pair with its runs, their ledgers and its differences; None when there is none of that id, or of these
    tenants, or when one of its runs is not of these."""
    query = select(*_COLUMNS, pairs.c.deadline_at, pairs.c.legacy_run, pairs.c.candidate_run)
    if tenants is not None:
        query = query.where(pairs.c.tenant.in_(tenants), of_nobody_else(tenants))
    async with engine.connect() as connection:
        row = (await connection.execute(query.where(pairs.c.id == pair))).one_or_none()
        if row is None:
            return None
        extra = await _extra(connection, pair, row.event_id, (row.legacy_run, row.candidate_run))
        shown = await views(connection, [row.legacy_run, row.candidate_run, *extra])
        found = await _differences(connection, pair)
        originals = await originals_of(connection, row.event_id)
    return PairDetail.model_validate(
        {
            **_values(row._mapping),
            "deadline_at": row.deadline_at,
            "originals": originals,
            "legacy": shown.get(row.legacy_run),
            "candidate": shown.get(row.candidate_run),
            "extra": [shown[run] for run in extra],
            "differences": found,
        }
    )


def of_nobody_else(tenants: Collection[str]) -> ColumnElement[bool]:
    """Whether both runs of a pair are of these tenants: a child that one side sent to another tenant, or to none, is
    paired with its twin all the same."""
    others = (
        select(runs.c.id)
        .join(events, events.c.id == runs.c.event_id)
        .where(
            runs.c.id.in_([pairs.c.legacy_run, pairs.c.candidate_run]),
            or_(events.c.tenant.is_(None), events.c.tenant.not_in(tenants)),
        )
    )
    return ~others.exists()


async def _extra(connection: AsyncConnection, pair: UUID, event: UUID, expected: Sequence[UUID]) -> list[UUID]:
    """Runs that a side made beyond the one that was expected of it, oldest first."""
    found = await connection.scalars(
        select(runs.c.id)
        .where(runs.c.event_id == event, runs.c.pair_id == pair, runs.c.id.not_in(expected))
        .order_by(runs.c.id)
        .limit(_MOST_EXTRA)
    )
    return list(found)


async def _differences(connection: AsyncConnection, pair: UUID) -> list[DifferenceView]:
    rows = await connection.execute(
        select(*(differences.c[name] for name in DifferenceView.model_fields))
        .where(differences.c.pair_id == pair)
        .order_by(differences.c.ordinal)
    )
    return [DifferenceView.model_validate(row._mapping) for row in rows]


def _page(
    query: Select[tuple[Any, ...]], wanted: PairFilter, before: UUID | None, limit: int
) -> Select[tuple[Any, ...]]:
    """One more than a page, so that it is known whether there is another."""
    query = _filtered(query, wanted).order_by(pairs.c.id.desc()).limit(limit + 1)
    return query if before is None else query.where(pairs.c.id < before)


def _filtered(query: Select[tuple[Any, ...]], wanted: PairFilter) -> Select[tuple[Any, ...]]:
    query = query.where(pairs.c.replay.is_(None) if wanted.replay is None else pairs.c.replay == wanted.replay)
    if wanted.task is not None:
        query = query.where(pairs.c.task == wanted.task)
    if wanted.verdict == PENDING:
        # Whatever has no verdict is due some day: that is how the few of them are found among the many.
        query = query.where(pairs.c.verdict.is_(None), pairs.c.due_at.is_not(None))
    elif wanted.verdict is not None:
        query = query.where(pairs.c.verdict == wanted.verdict)
    if wanted.tenant is not None:
        query = query.where(pairs.c.tenant == (wanted.tenant or None))
    if wanted.tenants is not None and wanted.tenant not in wanted.tenants:
        query = query.where(false())
    if wanted.since is not None:
        query = query.where(pairs.c.id >= _first_id(wanted.since))
    if wanted.until is not None:
        query = query.where(pairs.c.id < _first_id(wanted.until))
    if wanted.signature is not None:
        shown = select(differences.c.pair_id).where(differences.c.signature == wanted.signature)
        query = query.where(pairs.c.id.in_(shown))
    return query


def _first_id(moment: datetime) -> UUID:
    """The id before those of that moment; no id is of a time before 1970."""
    return first_id_at(max(moment, _EPOCH))


def _values(row: RowMapping) -> dict[str, object]:
    values: dict[str, object] = {column.name: row[column] for column in _COLUMNS}
    values["accepted_at"] = time_of(row[pairs.c.event_id])
    return values
