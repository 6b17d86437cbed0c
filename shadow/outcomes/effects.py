"""Effects that workers report: kept as they were told, each once, and the judge told of those that come late."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from shadow.catalogue.model import Side
from shadow.model.ids import new_id
from shadow.store import codec
from shadow.store.database import Connection

_REMEMBERED = timedelta(days=30)
"""How long a report with the same id is known to be a repetition."""

_FRESH = b"""
INSERT INTO dedupe_keys AS known (scope, key, event_id, expires_at)
SELECT %(scope)s, key, id, %(expires)s FROM unnest(%(key)s::text[], %(id)s::uuid[]) AS told (key, id)
ORDER BY key
ON CONFLICT (scope, key) DO UPDATE SET event_id = excluded.event_id, expires_at = excluded.expires_at
    WHERE known.expires_at < now()
RETURNING event_id
"""
_EFFECTS = b"""
INSERT INTO effects (id, side, platform_run_id, task, sequence, attempt, kind, target, operation, identity,
                     idempotency_key, occurred_at)
SELECT id, %(side)s, run, task, sequence, attempt, kind, target, operation, identity, idempotency_key, occurred_at
FROM unnest(%(id)s::uuid[], %(run)s::text[], %(task)s::text[], %(sequence)s::bigint[], %(attempt)s::int[],
            %(kind)s::text[], %(target)s::text[], %(operation)s::text[], %(identity)s::text[],
            %(idempotency_key)s::text[], %(occurred_at)s::timestamptz[])
     AS effect (id, run, task, sequence, attempt, kind, target, operation, identity, idempotency_key, occurred_at)
"""
_BODIES = b"""
INSERT INTO bodies (id, part, content)
SELECT id, 'data', content FROM unnest(%s::uuid[], %s::bytea[]) AS body (id, content)
"""
_PAIRS = b"""
SELECT id, state IN ('settling', 'ready', 'judged') OR due_at IS DISTINCT FROM deadline_at FROM pairs
WHERE id IN (SELECT pair_id FROM runs WHERE platform_run_id = ANY(%s::text[]) AND side = %s AND pair_id IS NOT NULL)
ORDER BY id FOR UPDATE
"""
_DUE = b"UPDATE pairs SET due_at = now() WHERE id = ANY(%s::uuid[])"


@dataclass(frozen=True, slots=True)
class ReportedEffect:
    """One thing that a run did, as its worker told it."""

    run: str
    """The platform's id of the run, as the worker knows it."""
    kind: str
    target: str
    operation: str
    data: bytes
    """JSON."""
    task: str | None = None
    attempt: int = 1
    identity: str | None = None
    """What makes it that effect, where the worker says so itself."""
    idempotency_key: str | None = None
    """What the target was given to know a repetition by."""
    occurred_at: datetime | None = None
    reporter_id: str | None = None
    """What makes a report of it, sent again, the same; unique within the run."""


async def record_effects(conn: Connection, side: Side, effects: Sequence[ReportedEffect]) -> int:
    """Keep the effects; have the pairs looked at that are judged or settling.

    Returns:
        how many were new.
    """
    rows = await _fresh(conn, side, [(new_id(), effect) for effect in effects])
    if not rows:
        return 0
    first = time.time_ns() // 1000  # microseconds: reports of one run follow each other
    await conn.execute(
        _EFFECTS,
        {
            "side": side.value,
            "id": [row for row, _effect in rows],
            "run": [effect.run for _row, effect in rows],
            "task": [effect.task for _row, effect in rows],
            "sequence": [first + index for index in range(len(rows))],
            "attempt": [effect.attempt for _row, effect in rows],
            "kind": [effect.kind for _row, effect in rows],
            "target": [effect.target for _row, effect in rows],
            "operation": [effect.operation for _row, effect in rows],
            "identity": [effect.identity for _row, effect in rows],
            "idempotency_key": [effect.idempotency_key for _row, effect in rows],
            "occurred_at": [effect.occurred_at for _row, effect in rows],
        },
    )
    await conn.execute(_BODIES, ([row for row, _effect in rows], [codec.encode(effect.data) for _row, effect in rows]))
    await _tell_the_judge(conn, side, sorted({effect.run for _row, effect in rows}))
    return len(rows)


async def _fresh(
    conn: Connection, side: Side, rows: Sequence[tuple[UUID, ReportedEffect]]
) -> list[tuple[UUID, ReportedEffect]]:
    """Those that were not reported before, by this report or another."""
    named: dict[str, UUID] = {}
    for row, effect in rows:
        if effect.reporter_id is not None:
            named.setdefault(_key(effect), row)
    if not named:
        return list(rows)
    cursor = await conn.execute(
        _FRESH,
        {
            "scope": f"effect:{side.value}",
            "key": list(named),
            "id": list(named.values()),
            "expires": datetime.now(UTC) + _REMEMBERED,
        },
    )
    fresh = {row[0] for row in await cursor.fetchall()}
    return [(row, effect) for row, effect in rows if effect.reporter_id is None or row in fresh]


def _key(effect: ReportedEffect) -> str:
    return f"{effect.run}:{effect.reporter_id}"


async def _tell_the_judge(conn: Connection, side: Side, runs: Sequence[str]) -> None:
    """Make those pairs due that may have been read without these effects.

    That is also a pair whose due time is not its deadline: the judge holds it at this moment, and due again it will
    not take that judgement. Any other is locked until this transaction ends, and read with them afterwards.
    """
    cursor = await conn.execute(_PAIRS, (list(runs), side.value))
    late = [pair for pair, read in await cursor.fetchall() if read]
    if late:
        await conn.execute(_DUE, (late,))
        await conn.execute(b"NOTIFY shadow_pairs")
