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
from shadow.judge.rulebook import NO_RULES, Rulebook
from shadow.judge.signature_counts import Example, Shown, count, shown, shown_by
from shadow.judge.tallying import Locked, tally
from shadow.model.ids import time_of
from shadow.store.database import Connection

KEPT = 1000
"""Differences kept of one pair, worst first; the pair says how many there were."""

_POSTPONE = """
UPDATE pairs SET state = step.state, due_at = step.due_at
FROM unnest(%(ids)s::uuid[], %(states)s::text[], %(moments)s::timestamptz[]) AS step (id, state, due_at)
-- So written it is found by its id, and never among all that have the same lease.
WHERE pairs.id = step.id AND pairs.due_at IS NOT DISTINCT FROM %(lease)s::timestamptz
"""
_FORGET = "DELETE FROM differences WHERE pair_id = ANY(%s)"
_KEEP = """
INSERT INTO differences (pair_id, ordinal, signature, kind, path, severity, sentence, legacy, candidate, allowance)
SELECT pair_id, ordinal, signature, kind, path, severity, sentence, legacy::jsonb, candidate::jsonb, allowance
FROM unnest(%s::uuid[], %s::smallint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
            %s::text[], %s::uuid[])
    AS kept (pair_id, ordinal, signature, kind, path, severity, sentence, legacy, candidate, allowance)
"""
_TENANTS = "SELECT id, coalesce(tenant, '') FROM pairs WHERE id = ANY(%s)"
_LEASED = "due_at IS NOT DISTINCT FROM %(lease)s::timestamptz"
_UNTOUCHED = """
due_at IS NULL AND revision = (
    SELECT seen.revision FROM unnest(%(ids)s::uuid[], %(revisions)s::int[]) AS seen (id, revision)
    WHERE seen.id = pairs.id)
"""
# Locked in the order of their ids, and written only as far as they are as they were.
_VERDICTS = """
WITH locked AS (
    SELECT pairs.id, pairs.verdict, pairs.rule_uses, pairs.task, pairs.event_id, judged.verdict AS now, judged.reason,
           judged.severity, judged.differences, judged.uses
    FROM unnest(%(ids)s::uuid[], %(verdicts)s::text[], %(reasons)s::text[], %(severities)s::text[],
                %(counts)s::int[], %(uses)s::text[]) AS judged (id, verdict, reason, severity, differences, uses)
    JOIN pairs ON pairs.id = judged.id
    WHERE {} ORDER BY pairs.id FOR UPDATE OF pairs
)
UPDATE pairs SET state = 'judged', due_at = NULL, verdict = locked.now, reason = locked.reason,
    severity = locked.severity, difference_count = locked.differences, judged_at = now(),
    revision = pairs.revision + 1, rules = coalesce(rule.fingerprint, %(no_rules)s), rule_uses = locked.uses::jsonb
FROM locked
LEFT JOIN unnest(%(tasks)s::text[], %(rules)s::text[]) AS rule (task, fingerprint) ON rule.task = locked.task
LEFT JOIN events ON events.id = locked.event_id
WHERE pairs.id = locked.id
RETURNING pairs.id, pairs.task, coalesce(pairs.tenant, ''), events.accepted_at, locked.verdict,
          pairs.replay IS NOT NULL, CASE WHEN locked.verdict IS NOT NULL THEN locked.rule_uses END
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
    standing, tenants = Standing(), dict[UUID, str]()
    if differing:
        await allowances.hold(connection)
        standing = await allowances.standing(connection, differing)
        shown_in = [pair for pair, judgement in judgements.items() if judgement.differences]
        tenants = dict(await (await connection.execute(_TENANTS, (shown_in,))).fetchall())
    said = {pair: _Said.of(one, standing, tenants.get(pair, "")) for pair, one in judgements.items()}
    locked, uses_before = await _write_verdicts(connection, said, still, rulebook)
    if not locked:
        return {}
    before = await shown_by(connection, [pair.id for pair in locked if pair.verdict is not None])
    if before:
        await connection.execute(_FORGET, (list(before),))
    written = [_Written(pair, said[pair.id]) for pair in locked]
    await _keep(connection, written)
    if before or differing:
        now = {one.pair.id: one.said.shown for one in written}
        await count(connection, locked, before, now, _simplest(written))
    verdicts = {one.pair.id: one.said.verdict for one in written}
    await tally(connection, locked, verdicts)
    await count_uses(connection, locked, uses_before, {one.pair.id: one.said.judgement.uses for one in written})
    # A pair that is judged again, or a replay of one, tells nothing new of the order that legacy keeps.
    new = [one for one in written if one.pair.verdict is None and not one.pair.replayed]
    first = [one for one in new if one.said.judgement.orders]
    await rulebook.orders.count(connection, [(one.pair.task, one.said.judgement.orders) for one in first])
    await recount(connection, [one.pair.id for one in written if one.pair.verdict is not None])
    return verdicts


@dataclass(frozen=True, slots=True)
class _Said:
    """What is said of a pair, with what allowances make of it."""

    judgement: Judgement
    verdict: Verdict
    kept: Sequence[Difference] = ()
    covered: Sequence[UUID | None] = ()
    """What allows each of those kept."""

    @classmethod
    def of(cls, judgement: Judgement, standing: Standing, tenant: str) -> _Said:
        if not judgement.differences:
            return cls(judgement, judgement.verdict)

        def covering(found: Sequence[Difference]) -> list[UUID | None]:
            return [standing.covering(one.signature, one.severity, tenant) for one in found]

        verdict = decided(judgement.verdict, judgement.reason, covering(judgement.differences))
        kept = _kept(judgement.differences)
        return cls(judgement, verdict, kept, covering(kept))

    @property
    def shown(self) -> dict[str, Shown]:
        return shown([found.signature for found in self.kept], self.covered)


@dataclass(frozen=True, slots=True)
class _Written:
    """What was written of a pair."""

    pair: Locked
    said: _Said


async def _write_verdicts(
    connection: Connection, said: Mapping[UUID, _Said], still: Leased | Untouched, rulebook: Rulebook
) -> tuple[list[Locked], dict[UUID, Mapping[str, Sequence[int]]]]:
    """Write the verdicts of those of these pairs that are as they were; their rows are locked then.

    Returns:
        them by id, and of those that had a verdict what rules had done in them.
    """
    values = _columns(said, rulebook)
    if isinstance(still, Leased):
        query, values["lease"] = _VERDICTS.format(_LEASED), still.until
    else:
        query, values["revisions"] = _VERDICTS.format(_UNTOUCHED), [still.revisions[pair] for pair in said]
    rows = await (await connection.execute(query, values)).fetchall()
    locked = [
        Locked(pair, task, tenant, accepted_at or time_of(pair), verdict, replayed)
        for pair, task, tenant, accepted_at, verdict, replayed, _uses in rows
    ]
    locked.sort(key=lambda pair: pair.id)
    return locked, {row[0]: row[6] for row in rows if row[6] is not None}


def _simplest(written: Iterable[_Written]) -> dict[str, Example]:
    """By signature, the pair with the fewest differences of those that show it; the first of equals."""
    found: dict[str, Example] = {}
    for one in written:
        if one.pair.replayed:
            continue
        differences = len(one.said.judgement.differences)
        for difference in one.said.kept:
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
        for ordinal, (found, allowance) in enumerate(zip(one.said.kept, one.said.covered, strict=True))
    ]
    if rows:
        await connection.execute(_KEEP, [list(column) for column in zip(*rows, strict=True)])


def _columns(said: Mapping[UUID, _Said], rulebook: Rulebook) -> dict[str, object]:
    judgements = [one.judgement for one in said.values()]
    return {
        "ids": list(said),
        "verdicts": [one.verdict.value for one in said.values()],
        "reasons": [None if judgement.reason is None else storable_text(judgement.reason) for judgement in judgements],
        "severities": [
            str(max(difference.severity for difference in judgement.differences)) if judgement.differences else None
            for judgement in judgements
        ],
        "counts": [len(judgement.differences) for judgement in judgements],
        "tasks": list(rulebook.fingerprints),
        "rules": list(rulebook.fingerprints.values()),
        "no_rules": NO_RULES,
        "uses": [stored(judgement.uses) for judgement in judgements],
    }
