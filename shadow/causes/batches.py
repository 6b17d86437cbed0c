"""Batches that Trigger.dev is asked for, as far as items may be the candidate's: as announced, and what came of them.

The run that asks for a two-phase batch names itself when it announces it, and not with the items; and where some of the
items may be the candidate's, the batch gets a name of ours, since Trigger.dev must not wait for items that it never
gets. Only batches of workers are kept, those with such items, and those with a key, which stands for one batch across
every switch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.intake.trigger_calls import DEFAULT_KEY_LIFETIME
from shadow.model.ids import derived_id, new_id
from shadow.store.database import Connection

_COLUMNS = "name, parent, awaited, run_count, issued, announced, upstream, events, created_at, sealed_at"
_KEEP = b"""
INSERT INTO trigger_batches (platform, name, parent, awaited, run_count, issued, announced, key)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING name
"""
_FIND = f"SELECT {_COLUMNS} FROM trigger_batches WHERE platform = %s AND name = %s"  # noqa: S608  # of constants
_FIND_KEY = f"""
SELECT {_COLUMNS} FROM trigger_batches WHERE platform = %s AND key = %s AND created_at > now() - %s
"""  # noqa: S608  # of constants
_FREE_KEY = b"UPDATE trigger_batches SET key = NULL WHERE platform = %s AND key = %s AND created_at <= now() - %s"
_FREE_LEGACYS = b"UPDATE trigger_batches SET key = NULL WHERE platform = %s AND key = %s AND name <> %s AND NOT issued"
_NAME_UPSTREAM = b"UPDATE trigger_batches SET upstream = %s WHERE platform = %s AND name = %s"
_SEAL = b"""
INSERT INTO trigger_batches (platform, name, awaited, run_count, issued, upstream, events, sealed_at)
VALUES (%s, %s, false, %s, %s, %s, %s, now())
ON CONFLICT (platform, name) DO UPDATE
SET events = excluded.events, sealed_at = excluded.sealed_at,
    upstream = COALESCE(excluded.upstream, trigger_batches.upstream)
"""
_EVENTS = b"SELECT id, name FROM events WHERE id = ANY(%s::uuid[])"
_ISSUED = re.compile(r"batch_[0-9a-f]{32}")
_UNDER_WAY = b"SELECT count(*) FROM runs WHERE id = ANY(%s::uuid[]) AND state = 'finished'"


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that was asked for."""

    name: str
    parent: str | None
    """The run that asked for it, as its platform names it; None where a producer did."""
    awaited: bool
    run_count: int
    issued: bool
    """Whether the name is ours."""
    announced: Mapping[str, Any] | None
    """Of an issued one: `body` and `headers` of its announcement."""
    upstream: str | None
    """What Trigger.dev calls the part that is legacy's, once there is one."""
    events: Sequence[UUID]
    """The part that is the candidate's."""
    created_at: datetime
    sealed_at: datetime | None


def issued_name() -> str:
    """A name for a batch that Trigger.dev does not know."""
    return f"batch_{new_id().hex}"


def may_be_issued(name: str) -> bool:
    """Whether a batch's name has the form of ours."""
    return _ISSUED.fullmatch(name) is not None


def issued_run(event: UUID) -> str:
    """The run id that is issued for a call that the candidate runs."""
    return f"run_{event.hex}"


async def remember(
    conn: Connection,
    platform: str,
    name: str,
    parent: str | None,
    awaited: bool,
    run_count: int,
    key: str | None = None,
) -> None:
    """Keep who asked for a batch of Trigger.dev's, since its items do not say, and the key that stands for it."""
    if key is not None:
        await _free(conn, platform, key)
        await conn.execute(_FREE_LEGACYS, (platform, key, name))  # by now it stands for this one
    await conn.execute(_KEEP, (platform, name, parent, awaited, run_count, False, None, key))


async def issue(
    conn: Connection,
    platform: str,
    parent: str | None,
    run_count: int,
    announced: Mapping[str, Any],
    key: str | None,
) -> Batch:
    """Issue a batch, or find the one that the key stands for, whosever it is."""
    name = issued_name()
    if key is not None:
        await _free(conn, platform, key)
    await conn.execute(_KEEP, (platform, name, parent, False, run_count, True, Jsonb(announced), key))
    found = await (of_key(conn, platform, key) if key is not None else find(conn, platform, name))
    assert found is not None, "it has just been written"
    return found


async def find(conn: Connection, platform: str, name: str) -> Batch | None:
    """The batch of that name; None where no worker asked for it."""
    row = await (await conn.execute(_FIND.encode(), (platform, name))).fetchone()
    return Batch(*row) if row is not None else None


async def of_key(conn: Connection, platform: str, key: str) -> Batch | None:
    """The batch that the key stands for; it does for 30 days (reference 2.3)."""
    row = await (await conn.execute(_FIND_KEY.encode(), (platform, key, DEFAULT_KEY_LIFETIME))).fetchone()
    return Batch(*row) if row is not None else None


async def _free(conn: Connection, platform: str, key: str) -> None:
    """Let the key stand for another batch, if its time is over."""
    await conn.execute(_FREE_KEY, (platform, key, DEFAULT_KEY_LIFETIME))


async def name_upstream(conn: Connection, platform: str, name: str, upstream: str) -> None:
    """Trigger.dev has been told of the part that is legacy's."""
    await conn.execute(_NAME_UPSTREAM, (upstream, platform, name))


async def seal(
    conn: Connection,
    platform: str,
    name: str,
    run_count: int,
    events: Sequence[UUID],
    *,
    issued: bool,
    upstream: str | None,
) -> None:
    """All items of a batch, of which these are the candidate's, have been taken."""
    await conn.execute(_SEAL, (platform, name, run_count, issued, upstream, list(events)))


async def is_over(conn: Connection, catalogue: ResolvedCatalogue, events: Sequence[UUID]) -> bool:
    """Whether all the runs of issued items have ended."""
    cursor = await conn.execute(_EVENTS, (list(events),))
    runs = [
        derived_id(event, task.id, Side.CANDIDATE)
        for event, name in await cursor.fetchall()
        for task in catalogue.tasks_of_event(name)
    ]
    row = await (await conn.execute(_UNDER_WAY, (runs,))).fetchone()
    return row is not None and row[0] >= len(events)
