"""What gates said when they were last evaluated: table `gates`, which pages, the board and metrics read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from shadow.gate.report import GateReport
from shadow.store.database import Connection

_READ = "SELECT task, report FROM gates WHERE %s::text[] IS NULL OR task = ANY(%s) ORDER BY task"
_SINCE = "SELECT task, changed_at FROM gates WHERE task = ANY(%s)"
# A lock on rows would not hold back who finds that there are none yet.
_HOLD = "SELECT pg_advisory_xact_lock(hashtext('shadow_gates'))"
_BEFORE = "SELECT task, report FROM gates WHERE task = ANY(%s)"
_KEEP = """
INSERT INTO gates AS known (task, open, report, evaluated_at, changed_at)
SELECT task, open, report::jsonb, evaluated_at, evaluated_at
FROM unnest(%s::text[], %s::bool[], %s::text[], %s::timestamptz[]) AS said (task, open, report, evaluated_at)
ORDER BY task
ON CONFLICT (task) DO UPDATE SET open = excluded.open, report = excluded.report, evaluated_at = excluded.evaluated_at,
    changed_at = CASE WHEN known.open = excluded.open THEN known.changed_at ELSE excluded.evaluated_at END
WHERE known.evaluated_at < excluded.evaluated_at
RETURNING task
"""
_NEWEST = "SELECT max(evaluated_at) FROM gates"


@dataclass(frozen=True, slots=True)
class Kept:
    """A report that was kept, and the one that it took the place of."""

    before: GateReport | None
    now: GateReport


async def stored_reports(connection: Connection, tasks: Collection[str] | None = None) -> dict[str, GateReport]:
    """Task -> what its gate said when it was last evaluated; tasks whose gate never was are left out."""
    asked = None if tasks is None else sorted(tasks)
    cursor = await connection.execute(_READ, (asked, asked))
    return {task: GateReport.from_json(report) for task, report in await cursor.fetchall()}


async def changed_at(connection: Connection, tasks: Collection[str]) -> dict[str, datetime]:
    """Task -> since when its gate is open, or closed."""
    return dict(await (await connection.execute(_SINCE, (sorted(tasks),))).fetchall())


async def newest_evaluation(connection: Connection) -> datetime | None:
    """When any gate was last evaluated, by whomever."""
    row = await (await connection.execute(_NEWEST)).fetchone()
    return None if row is None else row[0]


async def keep(connection: Connection, reports: Sequence[GateReport]) -> list[Kept]:
    """Keep what gates said, where nobody has evaluated them later. The caller commits.

    Returns:
        those that were kept, with what stood there before. Nobody else keeps any until the end of the transaction, so
        that of two processes that find the same change one sees it made already.
    """
    if not reports:
        return []
    tasks = [report.task for report in reports]
    await connection.execute(_HOLD)
    cursor = await connection.execute(_BEFORE, (tasks,))
    before = {task: GateReport.from_json(report) for task, report in await cursor.fetchall()}
    rows = (
        tasks,
        [report.open for report in reports],
        [orjson.dumps(report).decode() for report in reports],
        [report.evaluated_at for report in reports],
    )
    written = {task for (task,) in await (await connection.execute(_KEEP, rows)).fetchall()}
    return [Kept(before.get(report.task), report) for report in reports if report.task in written]
