"""How many effects there are of which nobody knows whose they are, for each task that they may be of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, time

from sqlalchemy import ColumnElement, false, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadow.store.tables import effects, events, runs, task_targets


async def unattributed_by_task(
    connection: AsyncConnection, tasks: Iterable[str], *, since: date | None = None, until: date | None = None
) -> dict[str, int]:
    """Task to unattributed effects that may be of its runs, counted as the judge does (judge/doubt.py).

    Args:
        since: the first UTC day on which they were received; from the beginning by default.
        until: the last.
    """
    nobodys = _nobodys(since, until)
    anybodys = {
        row.target: row.number
        for row in await connection.execute(
            select(effects.c.target, func.count().label("number"))
            .where(*nobodys, effects.c.suspects.is_(None))
            .group_by(effects.c.target)
        )
    }
    suspected = (
        select(effects.c.id, func.unnest(effects.c.suspects).label("run_id"))
        .where(*nobodys, effects.c.suspects.is_not(None))
        .subquery()
    )
    counts = Counter(
        {
            row.task: row.number
            for row in await connection.execute(
                select(runs.c.task, func.count(suspected.c.id.distinct()).label("number"))
                .join(suspected, suspected.c.run_id == runs.c.id)
                .group_by(runs.c.task)
            )
        }
    )
    users: dict[str, set[str]] = {}
    known: set[str] = set()
    for row in await connection.execute(select(task_targets.c.task, task_targets.c.target)):
        users.setdefault(row.target, set()).add(row.task)
        known.add(row.task)
    listed = list(tasks)
    for target, number in anybodys.items():
        for task in listed:
            if task not in known or task in users.get(target, {task}):
                counts[task] += number
    return {task: counts[task] for task in listed}


async def unattributed_of_tenants(
    connection: AsyncConnection,
    task: str,
    tenants: Collection[str],
    *,
    since: date | None = None,
    until: date | None = None,
) -> int:
    """Those of which it is known that they are of runs of these tenants, though not of which, and that may be of the
    task's. What may be of anybody's run tells of other tenants, and is not counted; nor is what may be of one that is
    deleted, whose that was nobody can say.
    """
    of = (
        select(effects.c.id, func.bool_or(runs.c.task == task).label("may_be"))
        .select_from(
            effects.join(runs, runs.c.id == func.any(effects.c.suspects)).outerjoin(
                events, events.c.id == runs.c.event_id
            )
        )
        .where(*_nobodys(since, until), effects.c.suspects.is_not(None))
        .group_by(effects.c.id, effects.c.suspects)
        .having(
            func.bool_and(func.coalesce(events.c.tenant.in_(tenants), false())),
            func.count(runs.c.id.distinct()) == func.cardinality(effects.c.suspects),
        )
        .subquery()
    )
    found = await connection.scalar(select(func.count()).select_from(of).where(of.c.may_be))
    return int(found or 0)


def _nobodys(since: date | None, until: date | None) -> list[ColumnElement[bool]]:
    """Which effects are nobody's, received on these days."""
    found: list[ColumnElement[bool]] = [effects.c.run_id.is_(None), effects.c.platform_run_id.is_(None)]
    if since is not None:
        found.append(effects.c.received_at >= datetime.combine(since, time(), UTC))
    if until is not None:
        found.append(effects.c.received_at <= datetime.combine(until, time.max, UTC))
    return found
