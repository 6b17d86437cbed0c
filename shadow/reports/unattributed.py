"""How many effects there are of which nobody knows whose they are, for each task that they may be of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, time

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadow.store.tables import effects, runs, task_targets


async def unattributed_by_task(
    connection: AsyncConnection, tasks: Iterable[str], *, since: date | None = None, until: date | None = None
) -> dict[str, int]:
    """Task to unattributed effects that may be of its runs, counted as the judge does (judge/doubt.py).

    Args:
        since: the first UTC day on which they were received; from the beginning by default.
        until: the last.
    """
    nobodys: list[ColumnElement[bool]] = [effects.c.run_id.is_(None), effects.c.platform_run_id.is_(None)]
    if since is not None:
        nobodys.append(effects.c.received_at >= datetime.combine(since, time(), UTC))
    if until is not None:
        nobodys.append(effects.c.received_at <= datetime.combine(until, time.max, UTC))
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
