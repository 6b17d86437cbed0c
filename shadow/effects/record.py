"""Effects as somebody saw them: kept each once, and the judge told of those that come late.

Whoever sees effects (reports of workers, the gateway, probes, row changes, mail, the doors) hands them over here.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg import AsyncCursor

from shadow.catalogue.model import Side
from shadow.effects import evidence
from shadow.effects.evidence import NOT_YET, PENDING, Owner, Redacted, Told
from shadow.model.giving_way import Turns
from shadow.model.ids import first_id_at, new_id
from shadow.observe import metrics
from shadow.sealing.vault import Vault
from shadow.store.arrays import packed
from shadow.store.database import Connection

CLOCKS_DIFFER = timedelta(seconds=2)
"""How long before its run started, or after it ended, an effect may have happened by another clock."""

_REMEMBERED = timedelta(days=30)
"""How long a report with the same id is known to be a repetition."""

_EMITTED = "event:"
# Of the rows that are written here most are new, all of them. That is told in one word: to read a thousand ids takes as
# long as to send them.
_WHICH = b"""
SELECT CASE WHEN count(*) = cardinality(%(id)s::uuid[]) THEN NULL ELSE coalesce(array_agg(id), '{}') END
FROM fresh
"""
_FRESH = (
    b"""
WITH fresh (id) AS (
INSERT INTO dedupe_keys AS known (scope, key, event_id, expires_at)
SELECT %(scope)s, key, id, %(expires)s FROM unnest(%(key)s::text[], %(id)s::uuid[]) AS told (key, id)
ORDER BY key
ON CONFLICT (scope, key) DO UPDATE SET event_id = excluded.event_id, expires_at = excluded.expires_at
    WHERE known.expires_at < now()
RETURNING event_id
)"""
    + _WHICH
)
_EFFECTS = b"""
INSERT INTO effects (id, side, platform_run_id, run_id, task, sequence, attempt, kind, target, operation, identity,
                     idempotency_key, occurred_at, seen_by, attributed_by, emitted, suspects, data)
SELECT id, %(side)s, run, run_id, task, sequence, attempt, kind, target, operation, identity, idempotency_key,
       occurred_at, seen_by, attributed_by, emitted, suspects::uuid[], data
FROM unnest(%(id)s::uuid[], %(run)s::text[], %(run_id)s::uuid[], %(task)s::text[], %(sequence)s::bigint[],
            %(attempt)s::int[], %(kind)s::text[], %(target)s::text[], %(operation)s::text[], %(identity)s::text[],
            %(idempotency_key)s::text[], %(occurred_at)s::timestamptz[], %(seen_by)s::text[],
            %(attributed_by)s::text[], %(emitted)s::text[], %(suspects)s::text[], %(data)s::bytea[])
     AS effect (id, run, run_id, task, sequence, attempt, kind, target, operation, identity, idempotency_key,
                occurred_at, seen_by, attributed_by, emitted, suspects, data)
"""
_UNLESS_THERE = b"WITH fresh AS (" + _EFFECTS + b"ON CONFLICT (id) DO NOTHING RETURNING id)" + _WHICH
_OF_RUNS = b"""
    SELECT pair_id FROM runs WHERE platform_run_id = ANY(%(runs)s::text[]) AND side = %(side)s AND pair_id IS NOT NULL
    UNION ALL
    SELECT pair_id FROM runs WHERE id = ANY(%(run_ids)s::uuid[]) AND pair_id IS NOT NULL
    UNION ALL
    SELECT * FROM unnest(%(pairs)s::uuid[])
"""
_UNDER_WAY = b"""
    UNION ALL
    SELECT pair_id FROM unnest(%(moments)s::timestamptz[], %(bounds)s::uuid[]) AS moment (at, bound)
    JOIN runs ON runs.side = %(side)s AND runs.finished_at >= moment.at AND runs.id <= moment.bound
    WHERE pair_id IS NOT NULL
"""
_PAIRS = b"""
SELECT id, state IN ('settling', 'probing', 'ready', 'judged') OR due_at IS DISTINCT FROM deadline_at FROM pairs
WHERE id IN ("""
_LOCKED = b") ORDER BY id FOR UPDATE"
_DUE = b"UPDATE pairs SET due_at = now() WHERE id = ANY(%s::uuid[])"


class SeenBy(StrEnum):
    """Who saw an effect."""

    REPORT = "report"
    """A worker, which reported it itself."""
    GATEWAY = "gateway"
    PROBE = "probe"
    ROWS = "rows"
    """Logical decoding of a database."""
    MAIL = "mail"
    """The SMTP sink."""
    DOOR = "door"
    """An event that came in with a worker's key."""
    PLATFORM = "platform"
    """A child in the platform's own records."""


class AttributedBy(StrEnum):
    """How it is known whose an effect is, in the order of trust."""

    REPORT = "report"
    """The reporter named its run."""
    HEADERS = "headers"
    """The client packages' headers."""
    TRANSACTION = "transaction"
    """A message of the wrapper in the database transaction that changed the row."""
    PARENT = "parent"
    """The platform names the run that triggered it, or the probe was made for it."""
    TRACE = "trace"
    """`traceparent` or the platform's own entry of `tracestate`."""
    KEY = "key"
    """A business key of the event within the run's time."""


_SAID = {said: said.value for said in (*SeenBy, *AttributedBy)}
"""To ask an enumeration for a value takes longer than to look it up."""


@dataclass(slots=True)
class SeenEffect:
    """One thing that a run did, as somebody saw it. Not to be changed but for its `id`: to make a frozen one takes five
    times as long, and there are many."""

    run: str | None
    """The platform's id of the run, as the worker knows it."""
    kind: str
    target: str
    operation: str
    data: bytes
    """JSON."""
    task: str | None = None
    attempt: int = 1
    identity: str | None = None
    """What makes it that effect, where that is known already."""
    idempotency_key: str | None = None
    """What the target was given to know a repetition by."""
    occurred_at: datetime | None = None
    reporter_id: str | None = None
    """What makes a report of it, sent again, the same; unique within the run."""
    run_id: UUID | None = None
    """Shadow's own id of the run, where it is known."""
    event: str | None = None
    """The id of the event that started the run, as the run sees it: says whose it is before the run is known. Only the
    candidate's runs see the id that the event has here."""
    seen_by: SeenBy = SeenBy.REPORT
    attributed_by: AttributedBy | None = AttributedBy.REPORT
    """None: it is not known whose it is."""
    emitted: str | None = None
    """Of an emitted event: the id that its platform gave it; a report's id may say it too, as `event:ID`."""
    id: UUID | None = None
    """Of the row, where who saw it has to make repeating harmless; made anew by default."""
    suspects: tuple[UUID, ...] = ()
    """Of one that is nobody's: the runs that it may be of, where that is known."""
    traits: bytes | None = None
    """Of one that is nobody's: what it carries, to ask again whose it is once more is known (`CallTraits.stored`)."""

    @property
    def nobodys(self) -> bool:
        return self.run is None and self.run_id is None


async def record_effects(conn: Connection, side: Side, effects: Sequence[SeenEffect]) -> int:
    """Keep the effects, redacted; have the pairs looked at that are judged or settling.

    Returns:
        how many were new.
    """
    return sum(await record_each(conn, side, effects))


async def record_each(conn: Connection, side: Side, effects: Sequence[SeenEffect]) -> list[bool]:
    """The same; which of them were new."""
    told = [(effect.id or new_id(), effect) for effect in effects]
    new = await _record(conn, side, told)
    return [True] * len(told) if new is None else [row in new for row, _effect in told]


async def _record(conn: Connection, side: Side, told: Sequence[tuple[UUID, SeenEffect]]) -> set[UUID] | None:
    """The ids of what was new; None: of all."""
    rows = await _fresh(conn, side, told)
    if not rows:
        return set()
    await _note_emitted(conn, side, rows)
    whose = await _owners(conn, side, [effect for _row, effect in rows])
    redacted = []
    turns = Turns()
    vault = conn.vault
    tenants = {owner.tenant for owner in whose}
    for owner, (_row, effect) in zip(whose, rows, strict=True):
        told_of = Told(effect.operation, effect.identity, effect.idempotency_key, effect.data, effect.kind)
        redacted.append(evidence.of_effect(vault, owner.tenant, told_of, owner.names))
        if await turns.give_way():
            await evidence.ready(conn, tenants)
    columns: dict[str, object] = {"side": side.value}
    for name, column in _columns(rows, redacted):
        columns[name] = packed(column)
        await turns.give_way()
    # An id that was made a moment ago is nobody's: to look whether it is there costs a sixth of the insert.
    repeatable = any(effect.id is not None for _row, effect in rows)
    cursor = await conn.execute(_UNLESS_THERE if repeatable else _EFFECTS, columns)
    new = await _which(cursor) if repeatable else None
    if new is not None and not new:
        return new
    written = [
        (row, effect, owner, made)
        for owner, (row, effect), made in zip(whose, rows, redacted, strict=True)
        if new is None or row in new
    ]
    await evidence.keep(conn, _bodies([(row, effect, made) for row, effect, _owner, made in written], vault))
    pairs: set[UUID] = set()
    runs: set[str] = set()
    run_ids: set[UUID] = set()
    moments = []
    for _row, effect, owner, _made in written:
        if owner.pair is not None:
            pairs.add(owner.pair)
        elif effect.run_id is not None:
            run_ids.add(effect.run_id)
        elif effect.run is not None:
            runs.add(effect.run)
        else:
            metrics.unattributed(side.value, effect.seen_by.value)
            run_ids.update(effect.suspects)
            if not effect.suspects:
                moments.append(effect.occurred_at or datetime.now(UTC))
    await tell_the_judge(conn, side, runs=runs, run_ids=run_ids, pairs=pairs, moments=moments)
    return None if len(written) == len(told) else {row for row, _effect, _owner, _made in written}


def _columns(
    rows: Sequence[tuple[UUID, SeenEffect]], redacted: Sequence[Redacted]
) -> Iterator[tuple[str, list[object]]]:
    """What is written of effects, column by column."""
    effects = [effect for _row, effect in rows]
    first = time.time_ns() // 1000  # microseconds: reports of one run follow each other
    yield "id", [row for row, _effect in rows]
    yield "run", [effect.run for effect in effects]
    yield "run_id", [effect.run_id for effect in effects]
    yield "task", [effect.task for effect in effects]
    yield "sequence", list(range(first, first + len(effects)))
    yield "attempt", [effect.attempt for effect in effects]
    yield "kind", [effect.kind for effect in effects]
    yield "target", [effect.target for effect in effects]
    yield "operation", [made.operation for made in redacted]
    yield "identity", [made.identity for made in redacted]
    yield "idempotency_key", [made.idempotency_key for made in redacted]
    yield "occurred_at", [effect.occurred_at for effect in effects]
    yield "seen_by", [_SAID[effect.seen_by] for effect in effects]
    yield "attributed_by", [effect.attributed_by and _SAID[effect.attributed_by] for effect in effects]
    yield "emitted", [_emitted(effect) for effect in effects]
    # An array of arrays would have to be as wide in every row.
    yield "suspects", [_array(effect.suspects) for effect in effects]
    yield "data", [made.stored for made in redacted]


async def _which(cursor: AsyncCursor[Any]) -> set[UUID] | None:
    """What `_WHICH` says: the ids of those that were new; None: of all."""
    row = await cursor.fetchone()
    ids = None if row is None else row[0]
    return None if ids is None else set(ids)


async def _owners(conn: Connection, side: Side, effects: Sequence[SeenEffect]) -> list[Owner]:
    """Whose each of the effects is; makes their tenants' keys ready."""
    whose = await evidence.owners(
        conn,
        side,
        runs={effect.run_id for effect in effects if effect.run_id is not None},
        platform_runs={effect.run for effect in effects if effect.run is not None},
    )
    found = [whose.get(effect.run_id or effect.run or "", NOT_YET) for effect in effects]
    named = {
        effect.event
        for effect, owner in zip(effects, found, strict=True)
        if owner is NOT_YET and effect.event is not None and side is Side.CANDIDATE
    }
    if named:
        by_event = await evidence.owners_by_event(conn, named)
        found = [
            by_event.get(effect.event or "", NOT_YET) if owner is NOT_YET else owner
            for effect, owner in zip(effects, found, strict=True)
        ]
    await evidence.ready(conn, {owner.tenant for owner in found})
    return found


def _bodies(rows: Sequence[tuple[UUID, SeenEffect, Redacted]], vault: Vault) -> list[tuple[UUID, str, bytes]]:
    found = []
    for row, effect, made in rows:
        if made.pending is not None:
            found.append((row, PENDING, made.pending))
        if effect.traits is not None:
            found.append((row, "traits", vault.seal(None, row.bytes, "traits", effect.traits)))
    return found


def _array(ids: Sequence[UUID]) -> str | None:
    return "{" + ",".join(map(str, ids)) + "}" if ids else None


async def _fresh(
    conn: Connection, side: Side, rows: Sequence[tuple[UUID, SeenEffect]]
) -> list[tuple[UUID, SeenEffect]]:
    """Those that were not reported before, by this report or another."""
    named: dict[str, UUID] = {}
    names = 0
    for row, effect in rows:
        if effect.reporter_id is not None:
            names += 1
            named.setdefault(_key(effect), row)
    if not named:
        return list(rows)
    cursor = await conn.execute(
        _FRESH,
        {
            "scope": f"effect:{side.value}",
            "key": packed(list(named)),
            "id": packed(list(named.values())),
            "expires": datetime.now(UTC) + _REMEMBERED,
        },
    )
    fresh = await _which(cursor)
    if fresh is None and len(named) == names:
        return list(rows)
    kept = set(named.values()) if fresh is None else fresh
    return [(row, effect) for row, effect in rows if effect.reporter_id is None or row in kept]


def emitted_scope(side: Side) -> str:
    """Where reported emissions are found by the id that the platform gave the event."""
    return f"emitted:{side.value}"


async def _note_emitted(conn: Connection, side: Side, rows: Sequence[tuple[UUID, SeenEffect]]) -> None:
    """Events that passed no door are found again by their ids, which is how client packages name such a report."""
    emitted = {
        name: row for row, effect in rows if effect.seen_by is SeenBy.REPORT and (name := _emitted(effect)) is not None
    }
    if emitted:
        named = {
            "scope": emitted_scope(side),
            "key": list(emitted),
            "id": list(emitted.values()),
            "expires": datetime.now(UTC) + _REMEMBERED,
        }
        await conn.execute(_FRESH, named)


def _emitted(effect: SeenEffect) -> str | None:
    """The id that the platform gave an emitted event, where that is known."""
    told = effect.reporter_id or ""
    if effect.emitted is None and effect.kind == "event" and told.startswith(_EMITTED):
        return told.removeprefix(_EMITTED)
    return effect.emitted


def _key(effect: SeenEffect) -> str:
    return f"{effect.run}:{effect.reporter_id}"


async def tell_the_judge(
    conn: Connection,
    side: Side,
    *,
    runs: Collection[str] = (),
    run_ids: Collection[UUID] = (),
    pairs: Collection[UUID] = (),
    moments: Collection[datetime] = (),
) -> None:
    """Make those pairs due that may have been read without these effects.

    Args:
        runs: that did them, by the platform's ids; `run_ids`: by ours; `pairs`: whose runs did.
        moments: when something was done that may be of any run of that side that was under way.

    That is also a pair whose due time is not its deadline: the judge holds it at this moment, and due again it will
    not take that judgement. Any other is locked until this transaction ends, and read with them afterwards.
    """
    told: dict[str, object] = {
        "runs": sorted(runs),
        "side": side.value,
        "run_ids": sorted(run_ids),
        "pairs": sorted(pairs),
    }
    query = _PAIRS + _OF_RUNS + _LOCKED
    if moments:
        query = _PAIRS + _OF_RUNS + _UNDER_WAY + _LOCKED
        told["moments"] = [moment - CLOCKS_DIFFER for moment in moments]
        told["bounds"] = [first_id_at(moment + CLOCKS_DIFFER) for moment in moments]
    cursor = await conn.execute(query, told)
    late = [pair for pair, read in await cursor.fetchall() if read]
    if late:
        await conn.execute(_DUE, (late,))
        await conn.execute(b"NOTIFY shadow_pairs")
