"""What people and CI tell: a version was deployed, or what is counted is to begin anew for a reason of theirs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.containment.version import Sighting, saw_versions, tasks_of_app
from shadow.gate import epochs
from shadow.gate.epochs import LONGEST_REASON, Epoch
from shadow.model.ids import new_id
from shadow.store.acts import Act, ActKind, record
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

_TOLD = """
INSERT INTO deployments (id, side, app, version, tasks, actor, note) VALUES (%s, %s, %s, %s, %s, %s, %s)
RETURNING made_at
"""
_NEWEST = "SELECT id, side, app, version, tasks, actor, note, made_at FROM deployments ORDER BY id DESC LIMIT %s"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A version of one side's workers, as somebody told."""

    id: UUID
    side: Side
    app: str | None
    """None: all apps of that side."""
    version: str
    tasks: tuple[str, ...]
    """That run in it."""
    actor: str
    note: str | None
    made_at: datetime
    begun: tuple[str, ...] = ()
    """Tasks of which an epoch began with it: all that had one, of another version."""


async def deployed(
    database: Database,
    catalogue: ResolvedCatalogue,
    side: Side,
    version: str,
    *,
    actor: str,
    app: str | None = None,
    note: str | None = None,
) -> Deployment:
    """A side runs in that version from now on: its tasks begin an epoch each. Harmless to tell twice.

    Args:
        app: the platform's name for it or the catalogue's for the platform; None: all of that side.

    Raises:
        UnknownApp: no task of that side runs in it.
        ValueError: the version is empty.
    """
    if not version.strip():
        raise ValueError("expected a version, found none")
    tasks = tuple(sorted(tasks_of_app(catalogue, side, app)))
    async with database.connection(Work.CONTROL) as connection:
        await saw_versions(connection, [Sighting(task, side, version) for task in tasks])
        identifier = new_id()
        values = (identifier, side.value, app, version, list(tasks), actor, note)
        row = await (await connection.execute(_TOLD, values)).fetchone()
        assert row is not None
        because = f"{side} was deployed in version {version}, told by {actor}"
        begun = [
            task
            for task in tasks
            if await epochs.begin(connection, task, because, versions={side: version}, if_another=True) is not None
        ]
    told = Deployment(identifier, side, app, version, tasks, actor, note, row[0])
    log.info("gate.deployed", side=side.value, version=version, app=app, tasks=len(tasks), epochs=len(begun))
    return replace(told, begun=tuple(begun))


async def newest(connection: Connection, limit: int) -> list[Deployment]:
    """What was told, newest first."""
    cursor = await connection.execute(_NEWEST, (limit,))
    return [
        Deployment(identifier, Side(side), app, version, tuple(tasks), actor, note, made_at)
        for identifier, side, app, version, tasks, actor, note, made_at in await cursor.fetchall()
    ]


async def by_person(database: Database, task: str, *, actor: str, reason: str) -> Epoch | None:
    """Begin the next epoch of a task because a person says so; None when it has none yet, as nothing was counted.

    Raises:
        ValueError: no reason, or too long a one.
    """
    reason = reason.strip()
    if not 0 < len(reason) <= LONGEST_REASON:
        raise ValueError(f"expected a reason of at most {LONGEST_REASON} characters, found {len(reason)}")
    async with database.connection(Work.CONTROL) as connection:
        begun = await epochs.begin(connection, task, f"{actor}: {reason}")
        if begun is not None:
            says = f"began epoch {begun.number}: what was counted before counts no more"
            await record(connection, [Act(actor, ActKind.EPOCH, says, [task], reason)])
        return begun
