"""What is on record of many tasks that their gates rest on: each function is one query or two, however many tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from uuid import UUID

from shadow.gate.known import Ended, OpenSignature, Uncompared
from shadow.gate.report import SignOff
from shadow.gate.run_counts import COMPARED
from shadow.judge.shapes_seen import in_words
from shadow.model.ids import derived_id, first_id_at
from shadow.store.database import Connection

VOLUME = timedelta(days=7)
"""Over which pairs a day are counted."""
MOST_PENDING = 10_000
"""Beyond it nobody counts."""
MOST_TICKS = 500
"""Of one task that are looked at: several tenants may share a tick."""
MOST_SCHEDULED = 1000
"""Pairs of one task, accepted before its epoch and critical in it, that are looked at."""
EARLY = timedelta(minutes=5)
"""How long before its event was accepted a tick was due, at most, as a rule."""

_SIGN_OFFS = """
SELECT epoch, id, actor, reason, made_at FROM sign_offs
WHERE epoch = ANY(%s) AND revoked_at IS NULL ORDER BY epoch, made_at, id
"""
_DECLARED = "SELECT DISTINCT task FROM containments WHERE task = ANY(%s) AND state = 'declared'"
_LEAKS = """
SELECT incidents.task, count(*) FROM unnest(%s::text[], %s::uuid[]) AS asked (task, first)
JOIN incidents ON incidents.task = asked.task AND incidents.id >= asked.first
WHERE incidents.kind = 'leak' GROUP BY incidents.task
"""
_VERSION_SINCE = """
SELECT present.task, min(past.started_at) FROM epochs AS present
JOIN epochs AS past ON past.task = present.task
    AND past.candidate_version IS NOT DISTINCT FROM present.candidate_version
WHERE present.id = ANY(%s) GROUP BY present.task
"""
_UNALLOWED = """
EXISTS (SELECT FROM differences AS shown WHERE shown.signature = {signature} AND shown.pair_id >= asked.first
        AND (shown.allowance IS NULL{more}))
"""
# A pair's id is as old as its event, which may start later than it was accepted: those that count in an epoch and were
# accepted before it are found by their start.
_CRITICAL = f"""
WITH asked AS (SELECT * FROM unnest(%s::text[], %s::uuid[], %s::timestamptz[]) AS asked (task, first, since))
SELECT shown.task, shown.id, shown.sentence FROM (
    SELECT asked.task, found.id, found.sentence, found.pairs FROM asked
    JOIN signatures AS found ON found.task = asked.task
    WHERE found.severity = 'critical' AND found.pairs > found.allowed AND found.last_seen >= asked.since
      AND {_UNALLOWED.format(signature="found.id", more="")}
    UNION
    SELECT asked.task, found.id, found.sentence, found.pairs FROM asked CROSS JOIN LATERAL (
        SELECT id FROM pairs
        WHERE pairs.task = asked.task AND pairs.starts_at >= asked.since AND pairs.id < asked.first
          AND verdict = 'mismatch' AND severity = 'critical' AND replay IS NULL
        ORDER BY pairs.starts_at LIMIT {MOST_SCHEDULED}) AS late
    JOIN differences AS one ON one.pair_id = late.id AND one.severity = 'critical' AND one.allowance IS NULL
    JOIN signatures AS found ON found.id = one.signature
) AS shown ORDER BY shown.task, shown.pairs DESC, shown.id
"""  # noqa: S608  # of constants
_EXPIRED = f"""
SELECT asked.task, allowance.signature, max(allowance.expires_at)
FROM unnest(%s::text[], %s::uuid[], %s::timestamptz[]) AS asked (task, first, since)
JOIN allowances AS allowance ON allowance.task = asked.task
JOIN signatures AS found ON found.id = allowance.signature
WHERE allowance.ended_by IS NULL AND allowance.expires_at <= %s AND allowance.expires_at > asked.since
  AND {_UNALLOWED.format(signature="allowance.signature", more=" OR shown.allowance = allowance.id")}
GROUP BY asked.task, allowance.signature
"""  # noqa: S608  # of constants
# Those are the ones under way, as the index of what is not counted has them.
_PENDING = """
SELECT asked.task, waiting.pairs FROM unnest(%s::text[], %s::timestamptz[]) AS asked (task, since), LATERAL (
    SELECT count(*) AS pairs FROM (
        SELECT FROM pairs WHERE pairs.task = asked.task AND pairs.starts_at >= asked.since AND pairs.counted IS NULL
          AND pairs.verdict IS NOT NULL AND pairs.due_at IS NULL
        LIMIT %s) AS one) AS waiting
WHERE waiting.pairs > 0
"""
_VOLUME = """
SELECT task, sum(opened)::float8, min(day) FROM tallies
WHERE task = ANY(%s) AND day > %s AND opened > 0 GROUP BY task
"""
_ENDED = """
SELECT epoch, neither_failed, candidate_failed, legacy_failed, both_failed, timed, slower, log_ratio, newest_at
FROM gate_runs WHERE epoch = ANY(%s)
"""
# The newest alone: more than some hundred ticks tell no more than that many.
_TICKS = """
SELECT asked.task, asked.epoch, tick.nominal_at, tick.event_id
FROM unnest(%s::text[], %s::uuid[], %s::timestamptz[]) AS asked (task, epoch, since), LATERAL (
    SELECT nominal_at, event_id FROM ticks
    WHERE ticks.task = asked.task AND nominal_at >= asked.since AND event_id IS NOT NULL
    ORDER BY nominal_at DESC LIMIT %s) AS tick
"""
_COUNTED = """
SELECT id, counted_in FROM pairs WHERE id = ANY(%s) AND counted_in = ANY(%s) AND counted = ANY(%s)
"""
_SHAPES = """
SELECT asked.task, count(*),
       coalesce(jsonb_agg(jsonb_build_array(shown.of, shown.shape, extract(epoch FROM shown.legacy_at))
                          ORDER BY shown.of, shown.shape)
                FILTER (WHERE shown.compared_at IS NULL OR shown.compared_at < asked.since), '[]')
FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[]) AS asked (task, since, from_)
JOIN task_shapes AS shown ON shown.task = asked.task AND shown.legacy_at >= asked.from_
GROUP BY asked.task
"""


@dataclass(frozen=True, slots=True)
class Shapes:
    """What legacy showed lately."""

    shown: int = 0
    uncompared: tuple[Uncompared, ...] = ()


async def sign_offs(connection: Connection, epochs: Collection[UUID]) -> dict[UUID, list[SignOff]]:
    """By epoch, those that stand, oldest first."""
    found: dict[UUID, list[SignOff]] = {}
    cursor = await connection.execute(_SIGN_OFFS, (list(epochs),))
    for epoch, *told in await cursor.fetchall():
        found.setdefault(epoch, []).append(SignOff(*told))
    return found


async def declared(connection: Connection, tasks: Collection[str]) -> set[str]:
    """The tasks of which a declaration stands that their candidate is harmless."""
    cursor = await connection.execute(_DECLARED, (list(tasks),))
    return {task for (task,) in await cursor.fetchall()}


async def version_since(connection: Connection, epochs: Collection[UUID]) -> dict[str, datetime]:
    """By task, when the first of its epochs began that was of the same version of the candidate."""
    return dict(await (await connection.execute(_VERSION_SINCE, (list(epochs),))).fetchall())


async def leaks(connection: Connection, since: Mapping[str, datetime]) -> dict[str, int]:
    """By task, how many were noticed since then; tasks without any are left out."""
    cursor = await connection.execute(_LEAKS, (list(since), [first_id_at(moment) for moment in since.values()]))
    return dict(await cursor.fetchall())


async def critical(connection: Connection, since: Mapping[str, datetime]) -> dict[str, list[OpenSignature]]:
    """By task, the critical signatures that are open and shown by pairs of events accepted since then."""
    found: dict[str, list[OpenSignature]] = {}
    cursor = await connection.execute(_CRITICAL, _asked(since))
    for task, signature, sentence in await cursor.fetchall():
        found.setdefault(task, []).append(OpenSignature(signature, sentence))
    return found


async def expired(
    connection: Connection, since: Mapping[str, datetime], now: datetime
) -> dict[str, dict[str, datetime]]:
    """By task and signature, when its allowance expired, where pairs since then show it and nothing allows it."""
    found: dict[str, dict[str, datetime]] = {}
    cursor = await connection.execute(_EXPIRED, (*_asked(since), now))
    for task, signature, moment in await cursor.fetchall():
        found.setdefault(task, {})[signature] = moment
    return found


async def pending(connection: Connection, since: Mapping[str, datetime]) -> dict[str, int]:
    """By task, its judged pairs since then that were not counted yet, as an older one has no verdict."""
    cursor = await connection.execute(_PENDING, (list(since), list(since.values()), MOST_PENDING))
    return dict(await cursor.fetchall())


async def pairs_a_day(connection: Connection, tasks: Collection[str], now: datetime) -> dict[str, float]:
    """By task, over the last days, or since its first pair; over a day at least, so that one busy hour says little."""
    cursor = await connection.execute(_VOLUME, (list(tasks), (now - VOLUME).date()))
    return {task: opened / _days_since(first, now) for task, opened, first in await cursor.fetchall()}


async def ended(connection: Connection, epochs: Collection[UUID]) -> dict[UUID, Ended]:
    """By epoch, how the runs of its compared pairs ended."""
    cursor = await connection.execute(_ENDED, (list(epochs),))
    return {epoch: Ended(*told) for epoch, *told in await cursor.fetchall()}


async def ticks(connection: Connection, since: Mapping[str, tuple[UUID, datetime]]) -> dict[str, int]:
    """By task of a clock, of how many ticks pairs were compared and counted in the epoch: as far as the newest tell.

    Args:
        since: task -> its epoch, and when that began.
    """
    if not since:
        return {}
    asked = (list(since), [epoch for epoch, _at in since.values()], [at - EARLY for _epoch, at in since.values()])
    rows = await (await connection.execute(_TICKS, (*asked, MOST_TICKS))).fetchall()
    pairs = {derived_id(event, task): (task, epoch, nominal) for task, epoch, nominal, event in rows}
    epochs = [epoch for epoch, _at in since.values()]
    cursor = await connection.execute(_COUNTED, (list(pairs), epochs, list(COMPARED)))
    found: dict[str, set[datetime]] = {}
    for pair, counted_in in await cursor.fetchall():
        task, epoch, nominal = pairs[pair]
        if epoch == counted_in:
            found.setdefault(task, set()).add(nominal)
    return {task: len(nominals) for task, nominals in found.items()}


async def shapes(
    connection: Connection, since: Mapping[str, datetime], shown_from: Mapping[str, datetime]
) -> dict[str, Shapes]:
    """By task, what legacy showed from the second moment on, and of that what was not compared since the first."""
    cursor = await connection.execute(
        _SHAPES, (list(since), list(since.values()), [shown_from[task] for task in since])
    )
    return {
        task: Shapes(number, tuple(_uncompared(*one) for one in uncompared))
        for task, number, uncompared in await cursor.fetchall()
    }


def _uncompared(of: Literal["effect", "event"], shape: str, seconds: float) -> Uncompared:
    return Uncompared(of, in_words(of, shape), datetime.fromtimestamp(seconds, UTC))


def _asked(since: Mapping[str, datetime]) -> tuple[list[str], list[UUID], list[datetime]]:
    moments = list(since.values())
    return list(since), [first_id_at(moment) for moment in moments], moments


def _days_since(first: date, now: datetime) -> float:
    began = datetime.combine(first, time(), now.tzinfo)
    return min(max((now - began) / timedelta(days=1), 1.0), VOLUME / timedelta(days=1))
