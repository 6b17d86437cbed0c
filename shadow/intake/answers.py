"""What becomes of an intent once the legacy platform has answered the call that the door forwarded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from uuid import UUID

from shadow.catalogue.model import Side
from shadow.intake.arrival import DedupeKey
from shadow.intake.storable import storable
from shadow.model.alias import key_alias
from shadow.model.ids import derived_id
from shadow.store.arrays import Texts, Uuids
from shadow.store.database import Connection

_WITHOUT_WAITING = b"SET LOCAL synchronous_commit = off"
_PRESENT = b"SELECT id FROM events WHERE id = ANY(%s::uuid[]) FOR KEY SHARE"
_RUNS_OF_EVENTS = b"SELECT id, platform_run_id FROM runs WHERE id = ANY(%s::uuid[])"
_EVENTS_OF_RUNS = b"""
SELECT known.alias, run.event_id FROM run_aliases AS known JOIN runs AS run ON run.id = known.run_id
WHERE known.platform = %s AND known.alias = ANY(%s::text[])
"""
_REFUSED = b"""
WITH keys AS (
    DELETE FROM dedupe_keys USING unnest(%(scope)s, %(key)s, %(keyed)s) AS gone (scope, key, event_id)
    WHERE dedupe_keys.scope = gone.scope AND dedupe_keys.key = gone.key AND dedupe_keys.event_id = gone.event_id
),
queue AS (DELETE FROM dispatches WHERE event_id = ANY(%(ids)s)),
content AS (DELETE FROM bodies WHERE id = ANY(%(ids)s))
DELETE FROM events WHERE id = ANY(%(ids)s)
"""
_FORGET = b"DELETE FROM dedupe_keys WHERE scope = %s AND key = %s AND event_id = %s"
_HASTEN = b"""
UPDATE dispatches SET due_at = now() + %s
WHERE event_id = ANY(%s::uuid[]) AND stage IN ('deliver', 'forward') AND side = 'legacy' AND state = 'due'
  AND (lease IS NULL OR due_at <= now())
"""
_RELEASE = b"""
UPDATE dispatches AS dispatch SET due_at = GREATEST(now(), event.scheduled_at)
FROM events AS event
WHERE event.id = ANY(%(ids)s::uuid[]) AND dispatch.event_id = event.id AND dispatch.event_id = ANY(%(ids)s::uuid[])
  AND dispatch.side = 'candidate' AND dispatch.state = 'due' AND dispatch.lease IS NULL AND dispatch.attempts = 0
RETURNING dispatch.event_id
"""
_HOLD = b"SELECT id FROM dispatches WHERE event_id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE"
_OPENED = b"SELECT event_id FROM runs WHERE id = ANY(%s::uuid[])"
_TAKE_OVER = b"""
UPDATE dispatches SET due_at = now() + %s
WHERE event_id = %s AND stage = 'forward' AND state = 'due'
  AND (lease IS NULL OR due_at <= now())
RETURNING id
"""
_ALIASES = b"""
INSERT INTO run_aliases (platform, alias, run_id)
SELECT %s, alias, run_id FROM unnest(%s::text[], %s::uuid[]) AS known (alias, run_id) ORDER BY alias
ON CONFLICT (platform, alias) DO UPDATE SET run_id = excluded.run_id
"""


class Fate(Enum):
    """What an accepted call was."""

    STARTED = auto()
    """The run of this event: write it down."""
    LINKED = auto()
    """A run that is known for another event, or older than Shadow: nothing new happened, drop the intent."""
    ANEW = auto()
    """A new run under a key whose event had its own (the platform frees the keys of failed runs), or whose event is
    gone: a new event."""
    SETTLED = auto()
    """Nothing to write down."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The platform's answer to one call, and the event that stands for the call."""

    event_id: UUID
    duplicate: bool
    """True when an earlier call had brought the event."""
    task: str
    """The catalogue's id of it."""
    run: str | None
    """None where the answer names no runs."""
    cached: bool = False
    own_key: bool = False
    """True when the key was made for this very intent: what it finds was started for it."""


def fate(answer: Accepted, *, present: bool, owner: UUID | None, recorded: str | None) -> Fate:
    """What the answer means for its event.

    Args:
        present: the event is still there.
        owner: the event for which the run is known already.
        recorded: the run that is written down for the event.
    """
    if answer.run is None:
        return Fate.STARTED if present else Fate.SETTLED
    if owner is not None and owner != answer.event_id:
        return Fate.SETTLED if answer.duplicate else Fate.LINKED
    if not present:
        return Fate.ANEW
    if recorded is not None and recorded != answer.run:
        return Fate.SETTLED if answer.cached else Fate.ANEW
    if answer.cached and not answer.duplicate and not answer.own_key and recorded is None:
        return Fate.LINKED
    return Fate.STARTED


async def without_waiting(conn: Connection) -> None:
    """Let this transaction's commit not wait for the disk. A server that goes down within a second may lose it, whole:
    then the intents are without an answer again, and are sent again under their keys. Whatever builds on it waits for
    the disk itself, and takes it along."""
    await conn.execute(_WITHOUT_WAITING)


async def fates(conn: Connection, platform: str, answers: Sequence[Accepted]) -> list[Fate]:
    """The fate of each answer. Until the transaction ends, none of their events can be dropped."""
    ids = Uuids(sorted({answer.event_id for answer in answers}))
    present = {row[0] for row in await (await conn.execute(_PRESENT, (ids,))).fetchall()}
    run_ids = {answer: derived_id(answer.event_id, answer.task, Side.LEGACY) for answer in answers}
    cursor = await conn.execute(_RUNS_OF_EVENTS, (Uuids(run_ids.values()),))
    recorded: Mapping[UUID, str | None] = dict(await cursor.fetchall())
    named = Texts(answer.run for answer in answers if answer.run is not None)
    cursor = await conn.execute(_EVENTS_OF_RUNS, (platform, named))
    owners: Mapping[str, UUID | None] = dict(await cursor.fetchall())
    return [
        fate(
            answer,
            present=answer.event_id in present,
            owner=owners.get(answer.run) if answer.run is not None else None,
            recorded=recorded.get(run_ids[answer]),
        )
        for answer in answers
    ]


async def drop(conn: Connection, intents: Sequence[tuple[UUID, DedupeKey | None]]) -> None:
    """Forget intents that the platform refused, or that turned out to be nothing new: nothing of them stays."""
    keyed = [(dedupe, event_id) for event_id, dedupe in intents if dedupe is not None]
    await conn.execute(
        _REFUSED,
        {
            "scope": Texts(dedupe.scope for dedupe, _ in keyed),
            "key": Texts(dedupe.key for dedupe, _ in keyed),
            "keyed": Uuids(event_id for _, event_id in keyed),
            "ids": Uuids(event_id for event_id, _ in intents),
        },
    )


async def told_of(conn: Connection, event_ids: Sequence[UUID], runs: Sequence[UUID]) -> set[UUID]:
    """Those of the events whose runs were opened, since another call was answered with them. Until the transaction ends
    no other call can be.

    Args:
        runs: of the candidate, which has authority for them.
    """
    await conn.execute(_HOLD, (Uuids(event_ids),))
    cursor = await conn.execute(_OPENED, (Uuids(runs),))
    return {row[0] for row in await cursor.fetchall()}


async def forget_key(conn: Connection, event_id: UUID, dedupe: DedupeKey) -> None:
    """Let the next arrival with that key be a new event."""
    await conn.execute(_FORGET, (dedupe.scope, dedupe.key, event_id))


async def hasten(conn: Connection, event_ids: Sequence[UUID], delay: timedelta) -> None:
    """The door got no answer: let the workers send again, soon, under the same key."""
    await conn.execute(_HASTEN, (delay, Uuids(event_ids)))
    await conn.execute(b"NOTIFY shadow_dispatches")


async def release(conn: Connection, event_ids: Sequence[UUID]) -> set[UUID]:
    """What the candidate gets of a call may go: the rest of the call has been taken.

    Returns:
        those of the events that nobody had begun to hand over.
    """
    cursor = await conn.execute(_RELEASE, {"ids": Uuids(event_ids)})
    released = {row[0] for row in await cursor.fetchall()}
    await conn.execute(b"NOTIFY shadow_dispatches")
    return released


async def take_over(conn: Connection, event_id: UUID, patience: timedelta) -> bool:
    """Whether the webhook still has to be forwarded and no worker is at it; if so, they leave it for `patience`."""
    cursor = await conn.execute(_TAKE_OVER, (patience, event_id))
    return await cursor.fetchone() is not None


async def alias_by_key(conn: Connection, platform: str, keys: Sequence[tuple[UUID, str, str]]) -> None:
    """Note under which idempotency keys runs were started whose ids the platform did not say.

    Args:
        keys: event id, the catalogue's id of the task, and a key by which the platform may show the run.
    """
    named = {
        key_alias(task, key): derived_id(event_id, task, Side.LEGACY) for event_id, task, key in keys if storable(key)
    }
    if named:
        await conn.execute(_ALIASES, (platform, Texts(named), Uuids(named.values())))
