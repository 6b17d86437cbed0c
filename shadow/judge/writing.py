"""Writing verdicts: pair, differences, signature counts and tallies change in one transaction, by delta.

Judging again therefore corrects every count, and no report ever scans pairs. Rows are locked in one order (pairs,
signatures, their tenants, tallies; each sorted), so that several judges can't wait for each other in a circle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from comparators import Difference, Judgement, Verdict
from shadow.judge.evidence_text import storable_json, storable_text
from shadow.judge.pair import Step
from shadow.model.ids import time_of
from shadow.store.database import Connection

KEPT = 1000
"""Differences kept of one pair, worst first; the pair says how many there were."""

_POSTPONE = """
UPDATE pairs SET state = step.state, due_at = step.due_at
FROM unnest(%(ids)s::uuid[], %(states)s::text[], %(moments)s::timestamptz[]) AS step (id, state, due_at)
WHERE pairs.id = step.id AND pairs.id = ANY(%(ids)s::uuid[]) AND pairs.due_at = %(lease)s
"""
_LOCK = """
SELECT pairs.id, pairs.task, coalesce(pairs.tenant, ''), (events.accepted_at AT TIME ZONE 'UTC')::date,
       pairs.verdict
FROM pairs LEFT JOIN events ON events.id = pairs.event_id
WHERE pairs.id = ANY(%s) AND pairs.due_at = %s ORDER BY pairs.id FOR UPDATE OF pairs
"""
_SHOWN = "SELECT DISTINCT pair_id, signature FROM differences WHERE pair_id = ANY(%s)"
_FORGET = "DELETE FROM differences WHERE pair_id = ANY(%s)"
_KEEP = """
INSERT INTO differences (pair_id, ordinal, signature, kind, path, severity, sentence, legacy, candidate)
SELECT pair_id, ordinal, signature, kind, path, severity, sentence, legacy::jsonb, candidate::jsonb
FROM unnest(%s::uuid[], %s::smallint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
            %s::text[])
    AS kept (pair_id, ordinal, signature, kind, path, severity, sentence, legacy, candidate)
"""
_LOCK_SIGNATURES = "SELECT id FROM signatures WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
_MORE_SIGNATURES = """
INSERT INTO signatures AS known
    (id, task, kind, path, severity, sentence, example_pair, first_seen, last_seen, pairs)
SELECT id, task, kind, path, severity, sentence, example_pair, now(), now(), pairs
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::uuid[], %s::bigint[])
    AS more (id, task, kind, path, severity, sentence, example_pair, pairs)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET
    pairs = known.pairs + excluded.pairs,
    last_seen = excluded.last_seen,
    example_pair = CASE WHEN known.pairs > 0 THEN known.example_pair ELSE excluded.example_pair END,
    sentence = CASE WHEN known.pairs > 0 THEN known.sentence ELSE excluded.sentence END,
    severity = CASE WHEN known.pairs > 0 THEN known.severity ELSE excluded.severity END
"""
_FEWER_SIGNATURES = """
UPDATE signatures SET pairs = signatures.pairs - fewer.pairs
FROM unnest(%s::text[], %s::bigint[]) AS fewer (id, pairs) WHERE signatures.id = fewer.id
"""
_OTHER_EXAMPLES = """
UPDATE signatures SET example_pair = other.pair_id, sentence = other.sentence, severity = other.severity
FROM unnest(%s::text[], %s::uuid[]) AS gone (signature, pair_id), LATERAL (
    SELECT pair_id, sentence, severity FROM differences WHERE differences.signature = gone.signature
    ORDER BY pair_id DESC LIMIT 1
) AS other
WHERE signatures.id = gone.signature AND signatures.example_pair = gone.pair_id
"""
_SIGNATURE_TENANTS = """
INSERT INTO signature_tenants AS known (signature, tenant, pairs)
SELECT signature, tenant, pairs FROM unnest(%s::text[], %s::text[], %s::bigint[])
    AS delta (signature, tenant, pairs)
ORDER BY signature, tenant
ON CONFLICT (signature, tenant) DO UPDATE SET pairs = known.pairs + excluded.pairs
"""
_TALLIES = """
INSERT INTO tallies AS known
    (task, day, tenant, match, mismatch, missing_candidate, missing_legacy, not_comparable)
SELECT * FROM unnest(%s::text[], %s::date[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
                     %s::bigint[]) AS delta (task, day, tenant)
ORDER BY task, day, tenant
ON CONFLICT (task, day, tenant) DO UPDATE SET
    match = known.match + excluded.match,
    mismatch = known.mismatch + excluded.mismatch,
    missing_candidate = known.missing_candidate + excluded.missing_candidate,
    missing_legacy = known.missing_legacy + excluded.missing_legacy,
    not_comparable = known.not_comparable + excluded.not_comparable
"""
_VERDICTS = """
UPDATE pairs SET state = 'judged', due_at = NULL, verdict = judged.verdict, reason = judged.reason,
    severity = judged.severity, difference_count = judged.differences, judged_at = now(),
    revision = revision + 1
FROM unnest(%(ids)s::uuid[], %(verdicts)s::text[], %(reasons)s::text[], %(severities)s::text[],
            %(counts)s::int[]) AS judged (id, verdict, reason, severity, differences)
WHERE pairs.id = judged.id AND pairs.id = ANY(%(ids)s::uuid[])
"""


@dataclass(frozen=True, slots=True)
class _Locked:
    """A pair that is still ours to judge."""

    id: UUID
    task: str
    tenant: str
    """Empty when the event has none."""
    day: date
    """UTC, of the event's acceptance: where its pair was counted as opened."""
    verdict: str | None
    """The verdict that the new one replaces."""


async def postpone(connection: Connection, steps: Mapping[UUID, Step], lease: datetime) -> None:
    """Leave these pairs until their steps say; those that were made due meanwhile are left alone."""
    await connection.execute(
        _POSTPONE,
        {
            "ids": list(steps),
            "states": [step.state.value for step in steps.values()],
            "moments": [step.due_at for step in steps.values()],
            "lease": lease,
        },
    )


async def write_judgements(connection: Connection, judgements: Mapping[UUID, Judgement], lease: datetime) -> set[UUID]:
    """Write what the judge says of these pairs. The caller commits.

    A pair that is not due at `lease` any more learned something since it was claimed: its judgement is void, and
    it will be judged anew.

    Returns:
        The pairs whose verdict was written.
    """
    cursor = await connection.execute(_LOCK, (list(judgements), lease))
    locked = [
        _Locked(pair, task, tenant, day or time_of(pair).date(), verdict)
        for pair, task, tenant, day, verdict in await cursor.fetchall()
    ]
    if not locked:
        return set()
    gone = await _forget(connection, [pair.id for pair in locked if pair.verdict is not None])
    kept = {pair.id: _kept(judgements[pair.id].differences) for pair in locked}
    await _keep(connection, kept)
    await _count_signatures(connection, locked, kept, gone)
    await _count_verdicts(connection, locked, judgements)
    await connection.execute(_VERDICTS, _verdicts(locked, judgements))
    return {pair.id for pair in locked}


async def _forget(connection: Connection, pairs: Sequence[UUID]) -> dict[UUID, set[str]]:
    """Delete the differences of pairs that are judged again; returns the signatures each of them showed."""
    gone: dict[UUID, set[str]] = {}
    if pairs:
        cursor = await connection.execute(_SHOWN, (list(pairs),))
        for pair, signature in await cursor.fetchall():
            gone.setdefault(pair, set()).add(signature)
    if gone:
        await connection.execute(_FORGET, (list(gone),))
    return gone


def _kept(differences: Sequence[Difference]) -> list[Difference]:
    """At most `KEPT` of them, in their order, with at least one of each signature before any second one."""
    if len(differences) <= KEPT:
        return list(differences)
    first: dict[str, int] = {}
    for index, difference in enumerate(differences):
        first.setdefault(difference.signature, index)
    chosen = set(first.values())
    others = (index for index in range(len(differences)) if index not in chosen)
    ranked = [*sorted(chosen), *others][:KEPT]
    return [differences[index] for index in sorted(ranked)]


async def _keep(connection: Connection, kept: Mapping[UUID, Sequence[Difference]]) -> None:
    rows = [
        (
            pair,
            ordinal,
            found.signature,
            found.kind,
            storable_text(found.path),
            str(found.severity),
            storable_text(found.sentence),
            storable_json(found.legacy),
            storable_json(found.candidate),
        )
        for pair, differences in kept.items()
        for ordinal, found in enumerate(differences)
    ]
    if rows:
        await connection.execute(_KEEP, [list(column) for column in zip(*rows, strict=True)])


async def _count_signatures(
    connection: Connection,
    locked: Sequence[_Locked],
    kept: Mapping[UUID, Sequence[Difference]],
    gone: Mapping[UUID, set[str]],
) -> None:
    """Bring the counts of pairs a signature, and a signature and tenant, up to date."""
    example: dict[str, tuple[_Locked, Difference]] = {}
    change: Counter[str] = Counter()
    tenants: Counter[tuple[str, str]] = Counter()
    lost: list[tuple[str, UUID]] = []
    for pair in locked:
        now_shown = {difference.signature: difference for difference in reversed(kept[pair.id])}
        before = gone.get(pair.id, set())
        for signature in now_shown.keys() - before:
            example.setdefault(signature, (pair, now_shown[signature]))
            change[signature] += 1
            tenants[signature, pair.tenant] += 1
        for signature in before - now_shown.keys():
            change[signature] -= 1
            tenants[signature, pair.tenant] -= 1
            lost.append((signature, pair.id))
    if not change:
        return
    await connection.execute(_LOCK_SIGNATURES, (sorted(change),))
    more = [
        (
            signature,
            pair.task,
            found.kind,
            storable_text(found.path),
            str(found.severity),
            storable_text(found.sentence),
            pair.id,
            max(change[signature], 0),
        )
        for signature, (pair, found) in sorted(example.items())
    ]
    if more:
        await connection.execute(_MORE_SIGNATURES, [list(column) for column in zip(*more, strict=True)])
    fewer = sorted((signature, -count) for signature, count in change.items() if count < 0)
    if fewer:
        await connection.execute(_FEWER_SIGNATURES, [list(column) for column in zip(*fewer, strict=True)])
    if lost:
        await connection.execute(_OTHER_EXAMPLES, [list(column) for column in zip(*lost, strict=True)])
    per_tenant = sorted((*key, count) for key, count in tenants.items() if count)
    if per_tenant:
        await connection.execute(_SIGNATURE_TENANTS, [list(column) for column in zip(*per_tenant, strict=True)])


async def _count_verdicts(
    connection: Connection, locked: Sequence[_Locked], judgements: Mapping[UUID, Judgement]
) -> None:
    """Move each pair from the count of its old verdict to that of its new one."""
    change: dict[tuple[str, date, str], Counter[str]] = {}
    for pair in locked:
        counts = change.setdefault((pair.task, pair.day, pair.tenant), Counter())
        if pair.verdict is not None:
            counts[pair.verdict] -= 1
        counts[judgements[pair.id].verdict.value] += 1
    rows = [
        (*key, *(counts[verdict.value] for verdict in Verdict))
        for key, counts in sorted(change.items())
        if any(counts.values())
    ]
    if rows:
        await connection.execute(_TALLIES, [list(column) for column in zip(*rows, strict=True)])


def _verdicts(locked: Sequence[_Locked], judgements: Mapping[UUID, Judgement]) -> dict[str, list[object]]:
    said = [judgements[pair.id] for pair in locked]
    return {
        "ids": [pair.id for pair in locked],
        "verdicts": [judgement.verdict.value for judgement in said],
        "reasons": [None if judgement.reason is None else storable_text(judgement.reason) for judgement in said],
        "severities": [
            str(max(difference.severity for difference in judgement.differences)) if judgement.differences else None
            for judgement in said
        ],
        "counts": [len(judgement.differences) for judgement in said],
    }
