"""Which version of a side an epoch is about, and when another one begins a new epoch. Pure but for one read.

Workers of two versions are seen in parallel while a deploy rolls, for minutes. So a version begins an epoch when it is
seen for the first time, and one that was known before only once the other has not been seen for a while.

A worker of Trigger.dev has two: the one that the platform counts (`20260115.3`) and the one that the client package
tells, or CI. They are never compared with each other, and what is seen of one soon after an epoch began by the other is
the same deploy. Of what the platform counts only a higher one is new: a run that waited long has an old one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shadow.catalogue.model import Side
from shadow.store.database import Connection

GONE = timedelta(minutes=10)
"""A version that has not been seen for so long, while another one was, is not deployed any more."""

_COUNTED_BY_PLATFORM = re.compile(r"\d{8}\.\d+")
_SEEN = b"""
SELECT task, side, version, first_seen_at, last_seen_at FROM versions_seen WHERE task = ANY(%s)
ORDER BY task, side, last_seen_at DESC, first_seen_at DESC, version
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A version of one side of a task."""

    version: str
    first: datetime
    last: datetime


async def versions_seen(connection: Connection, tasks: Collection[str]) -> dict[tuple[str, Side], list[Seen]]:
    """By task and side, its versions, those seen last first."""
    found: dict[tuple[str, Side], list[Seen]] = {}
    cursor = await connection.execute(_SEEN, (sorted(tasks),))
    for task, side, version, first, last in await cursor.fetchall():
        found.setdefault((task, Side(side)), []).append(Seen(version, first, last))
    return found


def is_another(version: str | None, than: str | None) -> bool:
    """Whether a run's version is known to be another one than that of the epoch."""
    return version is not None and than is not None and version != than and _alike(version, than)


def present_version(seen: Sequence[Seen]) -> str | None:
    """The version that was seen last; one that the platform counts, where there is any."""
    counted = [one for one in seen if _COUNTED_BY_PLATFORM.fullmatch(one.version)]
    return max(counted or seen, key=lambda one: (one.last, one.first, one.version)).version if seen else None


@dataclass(frozen=True, slots=True)
class Change:
    """Another version than the epoch's is what counts from now on."""

    version: str
    says: str
    """What was seen, in words."""


def change_of(known: str | None, since: datetime, seen: Sequence[Seen]) -> Change | None:
    """Whether what was seen of a side means another version than the epoch's; None where it does not.

    Args:
        known: the epoch's version; None while nobody has told one.
        since: when the epoch began.
    """
    if known is None:
        version = present_version(seen)
        return None if version is None else Change(version, f"told its version for the first time: {version}")
    new = [one for one in seen if _is_new(one, known, since)]
    others = [one for one in seen if one.version != known and _alike(one.version, known)]
    if new:
        newest = max(new, key=lambda one: (one.first, one.last, one.version))
        return Change(newest.version, f"was seen in version {newest.version}, after {known}")
    current = next((one for one in seen if one.version == known), None)
    latest = max(others, key=lambda one: (one.last, one.version), default=None)
    if current is not None and latest is not None and latest.last > current.last + GONE:
        minutes = GONE // timedelta(minutes=1)
        says = f"is back in version {latest.version}: {known} was not seen for {minutes} minutes"
        return Change(latest.version, says)
    return None


def _is_new(seen: Seen, known: str, since: datetime) -> bool:
    if seen.version == known or seen.first <= since:
        return False
    if not _alike(seen.version, known):
        return seen.first > since + GONE
    return not _COUNTED_BY_PLATFORM.fullmatch(known) or _counted(seen.version) > _counted(known)


def _counted(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _alike(one: str, other: str) -> bool:
    return bool(_COUNTED_BY_PLATFORM.fullmatch(one)) == bool(_COUNTED_BY_PLATFORM.fullmatch(other))
