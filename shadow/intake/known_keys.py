"""What the key of a call to Trigger.dev stands for already, on whichever platform its run is.

A key is unique for an environment and a task (reference 6.2), whatever side had authority when it was first used: a
call that comes again after a switch, or after a move back, means the run that there is. Trigger.dev frees the key of a
run that has failed, when the key is used again; so does Shadow for the runs that it issues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from shadow.catalogue.model import Side
from shadow.intake.arrival import DedupeKey
from shadow.model.ids import derived_id
from shadow.store.database import Connection

_AUTHORITIES = b"SELECT id, authority FROM events WHERE id = ANY(%s::uuid[])"
_RUNS = b"SELECT id, platform_run_id, status FROM runs WHERE id = ANY(%s::uuid[])"
_LINK = b"""
INSERT INTO linked_keys (scope, key, run, expires_at) VALUES (%s, %s, %s, now() + %s)
ON CONFLICT (scope, key) DO UPDATE SET run = excluded.run, expires_at = excluded.expires_at
"""
_LINKED = b"""
SELECT scope, key, run FROM linked_keys
WHERE (scope, key) IN (SELECT * FROM unnest(%s::text[], %s::text[])) AND expires_at > now()
"""
_UNLINK = b"DELETE FROM linked_keys WHERE scope = %s AND key = %s RETURNING run"
_FORGET = b"DELETE FROM dedupe_keys WHERE scope = %s AND key = %s RETURNING event_id"

UNSUCCESSFUL = frozenset({"failed", "crashed", "timed_out", "expired"})
"""How a run ended whose key is freed; that of a cancelled one is not."""
UNSUCCESSFUL_THERE = frozenset({"FAILED", "CRASHED", "SYSTEM_FAILURE", "TIMED_OUT", "INTERRUPTED", "EXPIRED"})
"""The same in Trigger.dev's words."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an event stands that a key means."""

    authority: Side | None
    """The side whose run it is; None where nobody's has authority."""
    legacy_run: str | None = None
    """Trigger.dev's id of its run, where that is known."""
    legacy_status: str | None = None
    candidate_status: str | None = None
    is_opened: bool = False
    """Whether the candidate's run is written down."""


async def standings(conn: Connection, asked: Sequence[tuple[UUID, str]]) -> dict[UUID, Standing]:
    """How those events (id and task) stand; those that are gone are left out."""
    cursor = await conn.execute(_AUTHORITIES, ([event for event, _task in asked],))
    authorities: dict[UUID, str | None] = dict(await cursor.fetchall())
    cursor = await conn.execute(_RUNS, ([derived_id(event, task, side) for event, task in asked for side in Side],))
    runs: dict[UUID, tuple[str | None, str | None]] = {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}
    found = {}
    for event, task in asked:
        if event not in authorities:
            continue
        name, status = runs.get(derived_id(event, task, Side.LEGACY), (None, None))
        candidates = derived_id(event, task, Side.CANDIDATE)
        _, theirs = runs.get(candidates, (None, None))
        authority = authorities[event]
        found[event] = Standing(Side(authority) if authority else None, name, status, theirs, candidates in runs)
    return found


async def link(conn: Connection, key: DedupeKey, run: str) -> None:
    """The key stands for a run of Trigger.dev that is of no event of that key: older than Shadow, say. Once the
    candidate has authority, nobody else could tell."""
    await conn.execute(_LINK, (key.scope, key.key, run, key.lifetime))


async def linked(conn: Connection, keys: Sequence[DedupeKey]) -> dict[tuple[str, str], str]:
    """The runs of Trigger.dev that those keys stand for, by scope and key."""
    cursor = await conn.execute(_LINKED, ([key.scope for key in keys], [key.key for key in keys]))
    return {(scope, key): run for scope, key, run in await cursor.fetchall()}


async def unlink(conn: Connection, scope: str, key: str) -> bool:
    """The run that it stood for has failed, or a producer has freed the key."""
    return await (await conn.execute(_UNLINK, (scope, key))).fetchone() is not None


async def forget(conn: Connection, scope: str, key: str) -> bool:
    """Free a key, whatever it stands for: the next call with it is a new one.

    Returns:
        whether there was such a key.
    """
    was_linked = await unlink(conn, scope, key)
    return await (await conn.execute(_FORGET, (scope, key))).fetchone() is not None or was_linked
