"""What the guards in workers report of themselves (`POST /shadow/guard`): whom they deny, which secrets they hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

from shadow.catalogue.model import Side
from shadow.model.ids import new_id
from shadow.store.database import Connection

Covers: TypeAlias = Literal["clients", "process"]
"""What a guard reaches: the HTTP clients that the client package made, or whatever the worker's process calls with."""

_STORE = """
INSERT INTO guard_reports (id, side, version, gateway, denies, allowed, reached, fingerprints, tasks, covers)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_COLUMNS = "id, side, version, gateway, denies, allowed, reached, fingerprints, made_at, tasks, covers"
_NEWEST = f"""
SELECT {_COLUMNS} FROM guard_reports
WHERE side = %(side)s AND (tasks IS NULL OR %(task)s = ANY(tasks))
  AND (%(version)s::text IS NULL OR version = %(version)s) AND fingerprints <> '{{}}'
ORDER BY made_at DESC, id DESC LIMIT 1
"""  # noqa: S608  # of constants
_SINCE = f"""
SELECT {_COLUMNS} FROM guard_reports
WHERE side = %s AND (tasks IS NULL OR %s = ANY(tasks)) AND made_at >= %s ORDER BY made_at, id
"""  # noqa: S608  # of constants


@dataclass(frozen=True, slots=True)
class GuardReport:
    """What one worker's guard says."""

    side: Side
    version: str | None
    """Of the worker's deployment."""
    gateway: str | None
    """The host of the gateway, as the worker knows it."""
    denies: bool
    """Whether every host but the gateway and `allowed` is denied."""
    allowed: tuple[str, ...]
    """Hosts that are let through beside the gateway: the platform, as a rule."""
    fingerprints: frozenset[str]
    """Of every secret that the worker holds; none in a report that only tells of hosts."""
    reached: tuple[str, ...] = ()
    """The guard's log: hosts other than the gateway and `allowed` that calls went to, as when it only watches."""
    tasks: frozenset[str] | None = None
    """That the worker runs; None: it may be any of its side."""
    covers: Covers = "clients"
    id: UUID | None = None
    made_at: datetime | None = None


async def store_report(connection: Connection, report: GuardReport) -> UUID:
    """Keep a report; its id."""
    identifier = report.id or new_id()
    await connection.execute(
        _STORE,
        (
            identifier,
            report.side.value,
            report.version,
            report.gateway,
            report.denies,
            list(report.allowed),
            list(report.reached),
            sorted(report.fingerprints),
            None if report.tasks is None else sorted(report.tasks),
            report.covers,
        ),
    )
    return identifier


async def newest_report(
    connection: Connection, side: Side, task: str, version: str | None = None
) -> GuardReport | None:
    """The newest report with fingerprints of a worker of that task, of that version if one is named."""
    cursor = await connection.execute(_NEWEST, {"side": side.value, "task": task, "version": version})
    row = await cursor.fetchone()
    return None if row is None else _report(row)


async def reports_since(connection: Connection, side: Side, task: str, moment: datetime) -> list[GuardReport]:
    """The reports of workers of that task from a moment on, oldest first."""
    cursor = await connection.execute(_SINCE, (side.value, task, moment))
    return [_report(row) for row in await cursor.fetchall()]


def _report(row: tuple[Any, ...]) -> GuardReport:
    return GuardReport(
        id=row[0],
        side=Side(row[1]),
        version=row[2],
        gateway=row[3],
        denies=row[4],
        allowed=tuple(row[5]),
        reached=tuple(row[6]),
        fingerprints=frozenset(row[7]),
        made_at=row[8],
        tasks=None if row[9] is None else frozenset(row[9]),
        covers=row[10],
    )
