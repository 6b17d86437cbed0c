"""Which child of its parent an event is, and the pair that it shares with the child that the parent's twin emitted.

A child is known by the business identity of its data (the parent's rules for effects of kind `event`), else by its
place among the events of that name which its parent emitted. Both twins' children get the same key that way, whatever
platform carried them, and the key with the parents' pair makes the children's pair: to any depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from comparators import Effect, IdentityRule, Rules
from comparators.normalise import identify
from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Origin
from shadow.causes.authority import Cause, ParentAuthority, Purpose, has_twin
from shadow.effects import evidence
from shadow.intake.storable import key_of
from shadow.model.ids import derived_id
from shadow.platforms.event import EventRow
from shadow.store.database import Connection

TARGET = "events"
"""The target of emitted events, whatever platform carries them."""

_PARENTS = b"""
SELECT run.id, run.task, run.side, run.authority, run.pair_id, pair.deadline_at,
       CASE run.side WHEN 'legacy' THEN pair.candidate_run ELSE pair.legacy_run END
FROM runs AS run JOIN pairs AS pair ON pair.id = run.pair_id
-- Of a replay only one twin runs, so its children have none; that they were emitted is compared as an effect.
WHERE run.id = ANY(%s::uuid[]) AND pair.replay IS NULL
"""
_LOCK = b"""
SELECT pg_advisory_xact_lock(key) FROM (SELECT DISTINCT unnest(%s::bigint[]) AS key ORDER BY 1) AS locks
"""
_SIBLINGS = b"""
SELECT id, parent_run, name, task, child_key FROM events WHERE parent_run = ANY(%s::uuid[]) ORDER BY id
"""
_NAME = b"""
UPDATE events AS event SET child_key = given.child_key
FROM unnest(%s::uuid[], %s::text[]) AS given (id, child_key) WHERE event.id = given.id AND event.id = ANY(%s::uuid[])
"""
_ALONE = b"""
SELECT parent_run, child_key, sides FROM events
WHERE parent_run = ANY(%s::uuid[]) AND child_key IS NOT NULL AND sides IS NOT NULL AND NOT (sides @> ARRAY[origin])
"""
_INCOMPARABLE = b"""
UPDATE pairs SET incomparable = gone.reason, due_at = now()
FROM unnest(%s::uuid[], %s::text[]) AS gone (id, reason)
WHERE pairs.id = gone.id
  AND pairs.id IN (SELECT id FROM pairs WHERE id = ANY(%s::uuid[]) AND incomparable IS NULL ORDER BY id FOR UPDATE)
"""

BRIDGED = "bridged: its twin went to the other side, as its task had moved between the two emissions"
WITHHELD = "withheld: its twin was not run, as its task was not in shadow when that was emitted"


@dataclass(frozen=True, slots=True)
class Child:
    """An event whose parent has a pair."""

    parent_pair: UUID
    parent_deadline: datetime
    """When the parents' pair is judged at the latest: until then the twin may still be emitted."""
    key: str
    paired: bool
    """Whether the parent's twin emits its twin."""
    incomparable: str | None = None
    """Why its pair can't be compared, where the twin has been emitted already and took another way."""

    def pair(self, task: str) -> UUID:
        """The pair of the two children for that task."""
        return derived_id(self.parent_pair, "child", task, self.key)


@dataclass(frozen=True, slots=True)
class _Parent:
    task: str
    side: str
    authority: str
    pair: UUID
    deadline: datetime
    twin: UUID


async def place(conn: Connection, catalogue: ResolvedCatalogue, events: Iterable[EventRow]) -> Mapping[UUID, Child]:
    """Those of the events whose parents have a pair, each with its key, which is written down once and stands.

    Takes locks of its own, before any row of runs or pairs; where the twin of a bridged or withheld child has opened a
    pair, that pair is marked.
    """
    emitted = [event for event in events if event.parent_run is not None]
    if not emitted:
        return {}
    parents = await _parents(conn, emitted)
    emitted = [event for event in emitted if event.parent_run in parents]
    if not emitted:
        return {}
    keys = {event.id: event.child_key for event in emitted if event.child_key is not None}
    nameless = [event for event in emitted if event.child_key is None]
    if nameless:
        keys |= await _named(conn, catalogue, {event.parent_run for event in nameless if event.parent_run}, parents)
    gone = await _elsewhere(conn, parents.values())
    placed: dict[UUID, Child] = {}
    for event in emitted:
        assert event.parent_run is not None
        parent, key = parents[event.parent_run], keys.get(event.id)
        if key is not None:
            paired = _is_paired(event, parent)
            reason = gone.get((parent.twin, key)) if paired else None
            placed[event.id] = Child(parent.pair, parent.deadline, key, paired, reason)
    await _mark_alone(conn, catalogue, [event for event in emitted if event.id in placed], placed)
    return placed


async def _parents(conn: Connection, events: Sequence[EventRow]) -> dict[UUID, _Parent]:
    wanted = sorted({event.parent_run for event in events if event.parent_run is not None})
    cursor = await conn.execute(_PARENTS, (wanted,))
    return {row[0]: _Parent(*row[1:]) for row in await cursor.fetchall()}


async def _named(
    conn: Connection, catalogue: ResolvedCatalogue, parents: set[UUID], known: Mapping[UUID, _Parent]
) -> dict[UUID, str]:
    """Give every child of these parents that has none its key, in the order of their acceptance."""
    await conn.execute(_LOCK, ([_lock_of(parent) for parent in parents],))
    cursor = await conn.execute(_SIBLINGS, (sorted(parents),))
    siblings = await cursor.fetchall()
    nameless = [row for row in siblings if row[4] is None]
    data = await evidence.data_of_events(conn, {row[0] for row in nameless})
    # A key is the same for both sides' children, whatever tenant each of their doors found.
    await evidence.ready(conn, [None])
    redactor = evidence.redactor(conn.vault, None)
    keys = {row[0]: row[4] for row in siblings if row[4] is not None}
    last: dict[tuple[UUID, str, str | None, str], int] = {}
    for _event_id, parent, name, task, key in siblings:
        if key is not None:
            identity, _, number = key.rpartition("#")
            like = (parent, name, task, identity)
            last[like] = max(last.get(like, 0), int(number))
    fresh: dict[UUID, str] = {}
    for event_id, parent, name, task, _key in nameless:
        content = data.get(event_id)
        told = None if content is None else orjson.loads(content)
        identity = redactor.text(identity_of(catalogue, known[parent].task, name, told))
        like = (parent, name, task, identity)
        last[like] = last.get(like, 0) + 1
        fresh[event_id] = f"{identity}#{last[like]}"
    if fresh:
        await conn.execute(_NAME, (list(fresh), list(fresh.values()), sorted(fresh)))
    return keys | fresh


def identity_of(catalogue: ResolvedCatalogue, parent_task: str, name: str, data: object) -> str:
    """What makes an event that child, by the rules of the task that emitted it; empty where only its place does."""
    task = catalogue.tasks.get(parent_task)
    if task is None:
        return ""
    rules = Rules(
        identities=tuple(
            IdentityRule(rule.kind, rule.target, rule.operation, rule.paths) for rule in task.rules.identities
        )
    )
    effect = Effect(kind="event", target=TARGET, operation=name, identity=None, data=data)  # type: ignore[arg-type]
    found, _label = identify(effect, effect.data, rules)
    return key_of(found) if found is not None else ""


def _is_paired(event: EventRow, parent: _Parent) -> bool:
    decision = event.decision
    if decision is None:
        return False
    return has_twin(Cause(Origin(parent.side), ParentAuthority(parent.authority), Purpose(event.purpose)), decision)


async def _elsewhere(conn: Connection, parents: Iterable[_Parent]) -> dict[tuple[UUID, str], str]:
    """(parent, key) of the twins' children that their own side did not get, with the reason."""
    cursor = await conn.execute(_ALONE, (sorted({parent.twin for parent in parents}),))
    return {(parent, key): BRIDGED if sides else WITHHELD for parent, key, sides in await cursor.fetchall()}


async def _mark_alone(
    conn: Connection, catalogue: ResolvedCatalogue, events: Sequence[EventRow], placed: Mapping[UUID, Child]
) -> None:
    """Tell the pairs that twins have opened of children which their own side does not get."""
    reasons = {
        placed[event.id].pair(task.id): BRIDGED if event.sides else WITHHELD
        for event in events
        if event.sides is not None and event.origin not in event.sides
        for task in catalogue.tasks_of_event(event.name)
        if event.task in (None, task.id)
    }
    if reasons:
        cursor = await conn.execute(_INCOMPARABLE, (list(reasons), list(reasons.values()), sorted(reasons)))
        if cursor.rowcount:
            await conn.execute(b"NOTIFY shadow_pairs")


def _lock_of(parent: UUID) -> int:
    """A PostgreSQL lock that stands for the children of a run."""
    return int.from_bytes(derived_id(parent, "children").bytes[8:], "big", signed=True)
