"""What a guard tells, kept: its report where it shows its worker's secrets, an incident for each host met."""

from __future__ import annotations

from collections.abc import Collection

from pydantic import BaseModel, ConfigDict, Field

from shadow.catalogue.model import Side
from shadow.containment.guard_reports import Covers, GuardReport, store_report
from shadow.containment.version import Sighting, saw_versions
from shadow.model.ids import new_id
from shadow.store.database import Connection

_INCIDENT = """
INSERT INTO incidents (id, kind, task, side, run_id, detail)
VALUES (%(id)s, 'unguarded_host', %(task)s, %(side)s,
        (SELECT run.id FROM runs AS run WHERE run.platform_run_id = %(run)s AND run.side = %(side)s LIMIT 1),
        %(detail)s)
"""
_MOST = 10_000


class MetHost(BaseModel):
    """A host that is neither a target nor allowed, and that a call was made to."""

    model_config = ConfigDict(extra="ignore", strict=True)

    host: str = Field(min_length=1, max_length=300)
    denied: bool
    """False: the guard only watches, and the call went through."""
    run: str | None = None
    task: str | None = None


class GuardTold(BaseModel):
    """One report of a guard. `fingerprints` left out: it is only about `hosts`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: str | None = None
    app: str | None = None
    """Which app of its side the worker serves, where several are deployed apart."""
    gateway: str | None = None
    denies_other_hosts: bool
    covers: Covers = "clients"
    allowed_hosts: list[str] = Field(default=[], max_length=_MOST)
    fingerprints: list[str] | None = Field(default=None, max_length=_MOST)
    hosts: list[MetHost] = Field(default=[], max_length=_MOST)


async def keep(connection: Connection, side: Side, told: GuardTold, tasks: Collection[str]) -> int:
    """Keep what a guard told; how many incidents it was.

    Args:
        tasks: those that its worker may run (version.py).

    A report about hosts alone says nothing of secrets: it is kept as one of the guard, without fingerprints, only when
    a call went through.
    """
    reached = tuple(dict.fromkeys(met.host for met in told.hosts if not met.denied))
    if told.fingerprints is not None or reached:
        report = GuardReport(
            side=side,
            version=told.version,
            gateway=told.gateway,
            denies=told.denies_other_hosts and not reached,
            allowed=tuple(told.allowed_hosts),
            fingerprints=frozenset(told.fingerprints or ()),
            reached=reached,
            covers=told.covers,
            tasks=None if told.app is None else frozenset(tasks),
        )
        await store_report(connection, report)
    if told.version:
        await saw_versions(connection, (Sighting(task, side, told.version) for task in tasks))
    for met in told.hosts:
        await connection.execute(
            _INCIDENT.encode(),
            {
                "id": new_id(),
                "task": met.task,
                "side": side.value,
                "run": met.run,
                "detail": f"a call to {met.host} {'was denied' if met.denied else 'went past the gateway'}",
            },
        )
    return len(told.hosts)
