"""Which versions of a task's workers were seen, by whomever: calls at the gateway, guards, outcomes.

Each task has its own: apps are deployed apart, and the proof of one does not end with a deployment of another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.store.database import Connection

# What is known already is not locked: many transactions may say the same at once.
_SAW = """
INSERT INTO versions_seen AS seen (task, side, version, first_seen_at, last_seen_at)
SELECT task, side, version, max(at), max(at)
FROM (SELECT task, side, version, coalesce(at, clock_timestamp()) AS at
      FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[]) AS told (task, side, version, at)) AS told
WHERE NOT EXISTS (SELECT FROM versions_seen AS known WHERE known.task = told.task AND known.side = told.side
                    AND known.version = told.version AND known.last_seen_at >= told.at)
GROUP BY task, side, version ORDER BY task, side, version
ON CONFLICT (task, side, version) DO UPDATE SET last_seen_at = greatest(seen.last_seen_at, excluded.last_seen_at)
"""
_NEWEST = """
SELECT DISTINCT ON (task) task, version FROM versions_seen
WHERE task = ANY(%s) AND side = 'candidate' ORDER BY task, last_seen_at DESC, version
"""
_OUTDATED = """
SELECT DISTINCT ON (proof.id) proof.id, proof.task, proof.version, seen.version
FROM containments AS proof
JOIN versions_seen AS seen ON seen.task = proof.task AND seen.side = 'candidate'
WHERE proof.state = 'proven' AND seen.version IS DISTINCT FROM proof.version AND seen.last_seen_at > proof.made_at
ORDER BY proof.id, seen.last_seen_at DESC, seen.version
"""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A version that somebody told of."""

    task: str
    side: Side
    version: str
    at: datetime | None = None
    """None: now."""


@dataclass(frozen=True, slots=True)
class Outdated:
    """A proof that holds of a version, while another one has been seen since it was begun."""

    proof: UUID
    task: str
    proven: str | None
    seen: str


class UnknownApp(ValueError):
    """No task of that side runs on a platform or in an app of that name; the message says which there are."""


async def saw_versions(connection: Connection, sightings: Iterable[Sighting]) -> None:
    """Note which versions were seen."""
    told = sorted(set(sightings), key=lambda one: (one.task, one.side, one.version))
    if told:
        await connection.execute(
            _SAW,
            (
                [one.task for one in told],
                [one.side.value for one in told],
                [one.version for one in told],
                [one.at for one in told],
            ),
        )


async def current_versions(connection: Connection, tasks: Collection[str]) -> dict[str, str]:
    """Task -> the version of its candidate that was seen last; tasks of which nobody told one are left out."""
    cursor = await connection.execute(_NEWEST, (sorted(tasks),))
    return dict(await cursor.fetchall())


async def current_version(connection: Connection, task: str) -> str | None:
    """The version of that task's candidate that was seen last; None while nobody told one."""
    return (await current_versions(connection, [task])).get(task)


async def outdated(connection: Connection) -> list[Outdated]:
    """The proofs that hold, though another version than theirs was seen since."""
    cursor = await connection.execute(_OUTDATED)
    return [Outdated(*row) for row in await cursor.fetchall()]


def tasks_of_app(catalogue: ResolvedCatalogue, side: Side, app: str | None) -> set[str]:
    """The tasks that a side's app runs, by the platform's name for it or the catalogue's for the platform; None: all.

    Raises:
        UnknownApp: there is no such app.
    """
    found: dict[str, set[str]] = {}
    for task in catalogue.tasks.values():
        placed = task.legacy if side is Side.LEGACY else task.candidate
        platform = catalogue.platforms[placed.platform]
        for name in {placed.platform, getattr(platform, "app", None) or placed.platform}:
            found.setdefault(name, set()).add(task.id)
    if app is None:
        return set(catalogue.tasks)
    if app not in found:
        raise UnknownApp(f"expected an app of {side.value}, one of {', '.join(sorted(found))}; found {app!r}")
    return found[app]
