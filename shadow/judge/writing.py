"""Writing verdicts: pair, differences, signature counts and tallies change in one transaction, by delta.

Judging again therefore corrects every count, and no report ever scans pairs. Rows are locked in one order (allowances
as a whole, pairs, signatures, their tenants, counts of allowances, tallies, counts of rules, orders, corrections of
what the gate counted; each sorted), so that several judges can't wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from comparators import Difference, Judgement, Verdict
from shadow.judge import allowances
from shadow.judge.deciding import Standing, decided
from shadow.judge.evidence_text import storable_json, storable_text
from shadow.judge.pair import Step
from shadow.judge.recounting import recount
from shadow.judge.rule_counts import count_uses, stored
from shadow.judge.rulebook import Rulebook
from shadow.judge.signature_counts import Example, Shown, count, shown, shown_by
from shadow.judge.tallying import Locked, tally
from shadow.model.ids import time_of
from shadow.store.database import Connection

KEPT = 1000
"""Differences kept of one pair, worst first; the pair says how many there were."""

_POSTPONE = """
UPDATE pairs SET state = step.state, due_at = step.due_at
FROM unnest(%(ids)s::uuid[], %(states)s::text[], %(moments)s::timestamptz[]) AS step (id, state, due_at)
WHERE pairs.id = step.id AND pairs.id = ANY(%(ids)s::uuid[]) AND pairs.due_at = %(lease)s
"""
_LOCK_LEASED = """
SELECT pairs.id, pairs.task, coalesce(pairs.tenant, ''), events.accepted_at, pairs.verdict,
       pairs.replay IS NOT NULL
FROM pairs LEFT JOIN events ON events.id = pairs.event_id
WHERE pairs.id = ANY(%s) AND pairs.due_at = %s ORDER BY pairs.id FOR UPDATE OF pairs
"""
_LOCK_UNTOUCHED = """
SELECT pairs.id, pairs.task, coalesce(pairs.tenant, ''), events.accepted_at, pairs.verdict,
       pairs.replay IS NOT NULL
FROM pairs JOIN unnest(%s::uuid[], %s::int[]) AS seen (id, revision) ON seen.id = pairs.id
LEFT JOIN events ON events.id = pairs.event_id
WHERE pairs.due_at IS NULL AND pairs.revision = seen.revision ORDER BY pairs.id FOR UPDATE OF pairs
"""
_FORGET = "DELETE FROM differences WHERE pair_id = ANY(%s)"
_KEEP = """
INSERT INTO differences (pair_id, ordinal, signature, kind, path, severity, sentence, legacy, candidate, allowance)
SELECT pair_id, ordinal, signature, kind, path, severity, sentence, legacy::jsonb, candidate::jsonb, allowance
FROM unnest(%s::uuid[], %s::smallint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
            %s::text[], %s::uuid[])
    AS kept (pair_id, ordinal, signature, kind, path, severity, sentence, legacy, candidate, allowance)
"""
_VERDICTS = """
UPDATE pairs SET state = 'judged', due_at = NULL, verdict = judged.verdict, reason = judged.reason,
    severity = judged.severity, difference_count = judged.differences, judged_at = now(),
    revision = revision + 1, rules = judged.rules, rule_uses = judged.uses::jsonb
FROM unnest(%(ids)s::uuid[], %(verdicts)s::text[], %(reasons)s::text[], %(severities)s::text[],
            %(counts)s::int[], %(rules)s::text[], %(uses)s::text[])
    AS judged (id, verdict, reason, severity, differences, rules, uses)
WHERE pairs.id = judged.id AND pairs.id = ANY(%(ids)s::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Leased:
    """Pairs that were claimed: they are still due at the end of that lease unless they learned something since."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Untouched:
    """Pairs that had their verdict already: they are not due, and nobody has judged them since."""

    revisions: Mapping[UUID, int]


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


async def write_judgements(
    connection: Connection, judgements: Mapping[UUID, Judgement], still: Leased | Untouched, rulebook: Rulebook
) -> dict[UUID, Verdict]:
    """Write what the judge says of these pairs, with what allowances make of it. The caller commits.

    A pair that is not as it was learned something meanwhile: its judgement is void, and it will be judged anew.

    Returns:
        The pairs whose verdict was written, with that verdict.
    """
    differing = {difference.signature for judgement in judgements.values() for difference in judgement.differences}
    if differing:
        await allowances.hold(connection)
    locked = await _lock(connection, list(judgements), still)
    if not locked:
        return {}
    standing = await allowances.standing(connection, differing) if differing else Standing()
    before = await shown_by(connection, [pair.id for pair in locked if pair.verdict is not None])
    if before:
        await connection.execute(_FORGET, (list(before),))
    written = [_Written.of(pair, judgements[pair.id], standing) for pair in locked]
    await _keep(connection, written)
    if before or differing:
        now = {one.pair.id: one.shown for one in written}
        await count(connection, locked, before, now, _simplest(written))
    verdicts = {one.pair.id: one.verdict for one in written}
    await tally(connection, locked, verdicts)
    await count_uses(connection, locked, {one.pair.id: one.judgement.uses for one in written})
    # A pair that is judged again, or a replay of one, tells nothing new of the order that legacy keeps.
    new = [one for one in written if one.pair.verdict is None and not one.pair.replayed]
    first = [one for one in new if one.judgement.orders]
    await rulebook.orders.count(connection, [(one.pair.task, one.judgement.orders) for one in first])
    await connection.execute(_VERDICTS, _verdicts(written, rulebook))
    await recount(connection, [one.pair.id for one in written if one.pair.verdict is not None])
    return verdicts


async def _lock(connection: Connection, pairs: Sequence[UUID], still: Leased | Untouched) -> list[Locked]:
    """Those of these pairs that are as they were, their rows locked."""
    if isinstance(still, Leased):
        cursor = await connection.execute(_LOCK_LEASED, (pairs, still.until))
    else:
        cursor = await connection.execute(_LOCK_UNTOUCHED, (pairs, [still.revisions[pair] for pair in pairs]))
    return [
        Locked(pair, task, tenant, accepted_at or time_of(pair), verdict, replayed)
        for pair, task, tenant, accepted_at, verdict, replayed in await cursor.fetchall()
    ]


@dataclass(frozen=True, slots=True)
class _Written:
    """What is written of a pair."""

    pair: Locked
    judgement: Judgement
    verdict: Verdict
    kept: Sequence[Difference]
    covered: Sequence[UUID | None]
    """What allows each of those kept."""

    @classmethod
    def of(cls, pair: Locked, judgement: Judgement, standing: Standing) -> _Written:
        def covering(found: Sequence[Difference]) -> list[UUID | None]:
            return [standing.covering(one.signature, one.severity, pair.tenant) for one in found]

        verdict = decided(judgement.verdict, judgement.reason, covering(judgement.differences))
        kept = _kept(judgement.differences)
        return cls(pair, judgement, verdict, kept, covering(kept))

    @property
    def shown(self) -> dict[str, Shown]:
        return shown([found.signature for found in self.kept], self.covered)


def _simplest(written: Iterable[_Written]) -> dict[str, Example]:
    """By signature, the pair with the fewest differences of those that show it; the first of equals."""
    found: dict[str, Example] = {}
    for one in written:
        if one.pair.replayed:
            continue
        differences = len(one.judgement.differences)
        for difference in one.kept:
            known = found.get(difference.signature)
            if known is None or differences < known.differences:
                found[difference.signature] = Example(one.pair, difference, differences)
    return found


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


async def _keep(connection: Connection, written: Iterable[_Written]) -> None:
    rows = [
        (
            one.pair.id,
            ordinal,
            found.signature,
            found.kind,
            storable_text(found.path),
            str(found.severity),
            storable_text(found.sentence),
            storable_json(found.legacy),
            storable_json(found.candidate),
            allowance,
        )
        for one in written
        for ordinal, (found, allowance) in enumerate(zip(one.kept, one.covered, strict=True))
    ]
    if rows:
        await connection.execute(_KEEP, [list(column) for column in zip(*rows, strict=True)])


def _verdicts(written: Sequence[_Written], rulebook: Rulebook) -> dict[str, list[object]]:
    said = [one.judgement for one in written]
    return {
        "ids": [one.pair.id for one in written],
        "verdicts": [one.verdict.value for one in written],
        "reasons": [None if judgement.reason is None else storable_text(judgement.reason) for judgement in said],
        "severities": [
            str(max(difference.severity for difference in judgement.differences)) if judgement.differences else None
            for judgement in said
        ],
        "counts": [len(judgement.differences) for judgement in said],
        "rules": [rulebook.fingerprint(one.pair.task) for one in written],
        "uses": [stored(one.judgement.uses) for one in written],
    }
