"""After an allowance was granted or ended, the pairs that show its signature get their verdict anew.

What differs in them is stored, so nothing is compared again: pairs whose evidence is long gone follow too. A sweep is
a row; its place and the verdicts of a batch are written together, so it may be killed anywhere and goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg
import structlog

from comparators import Severity, Verdict
from shadow.judge import allowances
from shadow.judge.deciding import decided, undecided
from shadow.judge.recounting import recount
from shadow.judge.signature_counts import count, shown
from shadow.judge.tallying import Locked, tally
from shadow.model.ids import time_of
from shadow.observe import metrics
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

BATCH = 500
"""Pairs decided in one transaction."""
POLL_SECONDS = 1.0
_PAUSE_SECONDS = 0.02
"""Between two batches: verdicts on new pairs come first."""

_CLAIM = """
SELECT sweep.allowance, sweep.position, allowances.signature, allowances.tenant
FROM allowance_sweeps AS sweep JOIN allowances ON allowances.id = sweep.allowance
ORDER BY sweep.allowance LIMIT 1 FOR UPDATE OF sweep SKIP LOCKED
"""
_CONCERNED = """
SELECT DISTINCT pair_id FROM differences WHERE signature = %s AND pair_id > %s ORDER BY pair_id LIMIT %s
"""
_LOCK = """
SELECT pairs.id, pairs.task, coalesce(pairs.tenant, ''), events.accepted_at, pairs.verdict, pairs.replay IS NOT NULL,
       pairs.reason, pairs.difference_count
FROM pairs LEFT JOIN events ON events.id = pairs.event_id
WHERE pairs.id = ANY(%s) AND (%s::text IS NULL OR coalesce(pairs.tenant, '') = %s) AND pairs.verdict IS NOT NULL
ORDER BY pairs.id FOR UPDATE OF pairs
"""
_STORED = """
SELECT pair_id, ordinal, signature, severity, allowance FROM differences WHERE pair_id = ANY(%s)
ORDER BY pair_id, ordinal
"""
_COVER = """
UPDATE differences SET allowance = cover.allowance
FROM unnest(%(pairs)s::uuid[], %(ordinals)s::smallint[], %(allowances)s::uuid[]) AS cover (pair_id, ordinal, allowance)
WHERE differences.pair_id = cover.pair_id AND differences.ordinal = cover.ordinal
  AND differences.pair_id = ANY(%(pairs)s::uuid[])
"""
_VERDICTS = """
UPDATE pairs SET verdict = decided.verdict, judged_at = now(), revision = revision + 1
FROM unnest(%(ids)s::uuid[], %(verdicts)s::text[]) AS decided (id, verdict)
WHERE pairs.id = decided.id AND pairs.id = ANY(%(ids)s::uuid[])
"""
_GO_ON = "UPDATE allowance_sweeps SET position = %s WHERE allowance = %s"
_DONE = "DELETE FROM allowance_sweeps WHERE allowance = %s"


@dataclass(frozen=True, slots=True)
class Swept:
    """What one turn did."""

    expired: int = 0
    """Allowances that ended by the clock."""
    pairs: int = 0
    """Looked at."""
    changed: int = 0
    """Of them, those that have another verdict now."""
    more: bool = False
    """Whether another turn has something to do at once."""


class AllowanceLoop:
    """Ends allowances when their time has come, and decides anew what any change of one concerns."""

    def __init__(self, database: Database, *, batch: int = BATCH, poll_seconds: float = POLL_SECONDS) -> None:
        self._database = database
        self._batch = batch
        self._poll_seconds = poll_seconds
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def once(self, now: datetime | None = None) -> Swept:
        """End what has expired by `now` (the database's clock by default), and decide one batch of pairs anew."""
        async with self._database.connection(Work.JUDGE) as connection:
            expired = await allowances.expire(connection, now)
        async with self._database.connection(Work.JUDGE) as connection:
            await allowances.hold(connection)
            sweep = await (await connection.execute(_CLAIM)).fetchone()
            if sweep is None:
                return Swept(expired)
            allowance, position, signature, tenant = sweep
            cursor = await connection.execute(_CONCERNED, (signature, position, self._batch))
            concerned = [row[0] for row in await cursor.fetchall()]
            changed = await _decide(connection, concerned, tenant)
            if len(concerned) < self._batch:
                await connection.execute(_DONE, (allowance,))
            else:
                await connection.execute(_GO_ON, (concerned[-1], allowance))
        for verdict in changed.values():
            metrics.judged(verdict.value)
        if len(concerned) < self._batch:
            log.info("allowance.swept", allowance=str(allowance), signature=signature)
        return Swept(expired, len(concerned), len(changed), more=True)

    async def _run(self) -> None:
        while True:
            try:
                done = await self.once()
            except psycopg.OperationalError as error:
                log.warning("allowance.unreachable", error=type(error).__name__)
                done = Swept()
            except Exception as error:
                log.exception("allowance.sweep_failed", error=type(error).__name__)
                done = Swept()
            await asyncio.sleep(_PAUSE_SECONDS if done.more else self._poll_seconds)


@dataclass(frozen=True, slots=True)
class _Difference:
    ordinal: int
    signature: str
    severity: Severity
    allowance: UUID | None


async def _decide(connection: Connection, pairs: Sequence[UUID], tenant: str | None) -> dict[UUID, Verdict]:
    """Decide these pairs (of that tenant, if one is named) by what allowances stand now.

    Returns:
        those that have another verdict now.
    """
    if not pairs:
        return {}
    rows = await (await connection.execute(_LOCK, (pairs, tenant, tenant))).fetchall()
    locked = [Locked(pair, task, of, at or time_of(pair), *more) for pair, task, of, at, *more, _reason, _count in rows]
    whole = {row[0]: row[-2:] for row in rows}
    stored = await _stored(connection, [pair.id for pair in locked])
    standing = await allowances.standing(
        connection, {difference.signature for found in stored.values() for difference in found}
    )
    covered = {
        pair.id: [standing.covering(one.signature, one.severity, pair.tenant) for one in stored.get(pair.id, ())]
        for pair in locked
    }
    await _cover(connection, stored, covered)
    await _count(connection, locked, stored, covered)
    changed: dict[UUID, Verdict] = {}
    for pair in locked:
        reason, differences = whole[pair.id]
        verdict = _verdict(pair, reason, differences, stored.get(pair.id, ()), covered[pair.id])
        if verdict.value != pair.verdict:
            changed[pair.id] = verdict
    if changed:
        await tally(connection, [pair for pair in locked if pair.id in changed], changed)
        values = {"ids": list(changed), "verdicts": [verdict.value for verdict in changed.values()]}
        await connection.execute(_VERDICTS, values)
        await recount(connection, list(changed))
    return changed


async def _stored(connection: Connection, pairs: Sequence[UUID]) -> dict[UUID, list[_Difference]]:
    found: dict[UUID, list[_Difference]] = {}
    cursor = await connection.execute(_STORED, (list(pairs),))
    for pair, ordinal, signature, severity, allowance in await cursor.fetchall():
        found.setdefault(pair, []).append(_Difference(ordinal, signature, Severity[severity], allowance))
    return found


def _verdict(
    pair: Locked,
    reason: str | None,
    differences: int,
    stored: Sequence[_Difference],
    covered: Sequence[UUID | None],
) -> Verdict:
    said = undecided(Verdict(pair.verdict or Verdict.mismatch), [one.allowance for one in stored])
    if differences > len(stored) and len({one.signature for one in stored}) == len(stored):
        # So many signatures that not even one difference of each is kept: nobody can have looked at them all.
        return said
    return decided(said, reason, covered)


async def _cover(
    connection: Connection, stored: Mapping[UUID, Sequence[_Difference]], covered: Mapping[UUID, Sequence[UUID | None]]
) -> None:
    rows = [
        (pair, one.ordinal, allowance)
        for pair, found in stored.items()
        for one, allowance in zip(found, covered[pair], strict=True)
        if one.allowance != allowance
    ]
    if rows:
        pairs, ordinals, by = zip(*rows, strict=True)
        await connection.execute(_COVER, {"pairs": list(pairs), "ordinals": list(ordinals), "allowances": list(by)})


async def _count(
    connection: Connection,
    locked: Sequence[Locked],
    stored: Mapping[UUID, Sequence[_Difference]],
    covered: Mapping[UUID, Sequence[UUID | None]],
) -> None:
    signatures = {pair: [one.signature for one in found] for pair, found in stored.items()}
    before = {pair: shown(signatures[pair], [one.allowance for one in found]) for pair, found in stored.items()}
    now = {pair: shown(signatures[pair], covered[pair]) for pair in stored}
    await count(connection, locked, before, now, {})
