"""Replays: what became of the events that were run again."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import RowMapping, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shadow.reports.paging import DEFAULT_LIMIT
from shadow.reports.shapes import Replays, ReplayView, ShownAnew
from shadow.store.tables import differences, pairs, replays

_COMPARED = frozenset({"match", "allowed", "mismatch"})
_MOST_SHOWN = 20

_STILL = (
    select(differences.c.ordinal)
    .where(differences.c.pair_id == pairs.c.id, differences.c.signature == replays.c.signature)
    .exists()
    .label("still")
)


async def newest(
    engine: AsyncEngine, *, task: str | None = None, signature: str | None = None, limit: int = DEFAULT_LIMIT
) -> Replays:
    """Replays, newest first."""
    query = select(replays).order_by(replays.c.id.desc()).limit(limit)
    if task is not None:
        query = query.where(replays.c.task == task)
    if signature is not None:
        query = query.where(replays.c.signature == signature)
    async with engine.connect() as connection:
        found = (await connection.execute(query)).all()
        counted = await _counted(connection, [row.id for row in found])
        return Replays(items=[_view(row._mapping, counted.get(row.id, []), []) for row in found])


async def one(engine: AsyncEngine, replay: UUID) -> ReplayView | None:
    """One of them, with what else its pairs show; None when there is none of that id."""
    async with engine.connect() as connection:
        row = (await connection.execute(select(replays).where(replays.c.id == replay))).one_or_none()
        if row is None:
            return None
        counted = await _counted(connection, [replay])
        others = await connection.execute(
            select(
                differences.c.signature,
                func.count(differences.c.pair_id.distinct()).label("pairs"),
                func.min(differences.c.sentence).label("sentence"),
            )
            .join(pairs, pairs.c.id == differences.c.pair_id)
            .where(pairs.c.replay == replay, differences.c.signature.is_distinct_from(row.signature))
            .group_by(differences.c.signature)
            .order_by(func.count(differences.c.pair_id.distinct()).desc(), differences.c.signature)
            .limit(_MOST_SHOWN)
        )
        shown = [ShownAnew.model_validate(other._mapping) for other in others]
        return _view(row._mapping, counted.get(replay, []), shown)


async def _counted(connection: AsyncConnection, of: Sequence[UUID]) -> dict[UUID, list[tuple[str | None, bool, int]]]:
    """By replay: (verdict, whether the signature is shown still, pairs)."""
    rows = await connection.execute(
        select(pairs.c.replay, pairs.c.verdict, _STILL, func.count().label("number"))
        .join(replays, replays.c.id == pairs.c.replay)
        .where(pairs.c.replay.in_(of))
        .group_by(pairs.c.replay, pairs.c.verdict, _STILL)
    )
    found: dict[UUID, list[tuple[str | None, bool, int]]] = {}
    for replay, verdict, still, number in rows:
        found.setdefault(replay, []).append((verdict, still, number))
    return found


def _view(row: RowMapping, counted: Sequence[tuple[str | None, bool, int]], shown: list[ShownAnew]) -> ReplayView:
    verdicts: dict[str, int] = {}
    cleared = still_shown = pending = 0
    for verdict, still, number in counted:
        if verdict is None:
            pending += number
            continue
        verdicts[verdict] = verdicts.get(verdict, 0) + number
        if still:
            still_shown += number
        elif verdict in _COMPARED:
            cleared += number
    total = pending + sum(verdicts.values())
    return ReplayView.model_validate(
        {
            **row,
            "pairs": total,
            "pending": pending,
            "cleared": cleared,
            "shown": still_shown,
            "inconclusive": total - pending - cleared - still_shown,
            "verdicts": verdicts,
            "others": shown,
        }
    )
