"""Which version of a task's candidate runs now, as far as anybody said: its runs, or a guard in its worker."""

from __future__ import annotations

from collections.abc import Collection

from shadow.store.database import Connection

# By event first, which has an index; of the newest events, the run that began last.
_VERSIONS = """
SELECT task, version FROM unnest(%(tasks)s::text[]) AS wanted (task)
CROSS JOIN LATERAL (
    SELECT version, at FROM (
        SELECT version, coalesce(started_at, finished_at) AS at FROM runs
        WHERE runs.task = wanted.task AND side = 'candidate' AND version IS NOT NULL
        ORDER BY id DESC LIMIT 50) AS ran
    UNION ALL
    (SELECT version, made_at FROM guard_reports
     WHERE side = 'candidate' AND version IS NOT NULL ORDER BY made_at DESC LIMIT 1)
    ORDER BY at DESC NULLS LAST LIMIT 1) AS newest
"""


async def current_versions(connection: Connection, tasks: Collection[str]) -> dict[str, str]:
    """Task -> the version of its candidate that was seen last; tasks of which nobody told one are left out."""
    cursor = await connection.execute(_VERSIONS, {"tasks": sorted(tasks)})
    return dict(await cursor.fetchall())


async def current_version(connection: Connection, task: str) -> str | None:
    """The version of that task's candidate that was seen last; None while nobody told one."""
    return (await current_versions(connection, [task])).get(task)
