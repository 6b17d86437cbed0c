"""The judge: two ledgers in, a verdict out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from comparators.canonical import JSON, canonical, same
from comparators.case import Case
from comparators.cost import too_dear
from comparators.explanation import explain as explanation_of
from comparators.ledger import COMPLETED, FAILED, Effect, Ledger
from comparators.order import ROWS, table_of
from comparators.registry import comparators, extended
from comparators.renamed import uses_in_renamed
from comparators.rules import Rules
from comparators.timing import too_long
from comparators.uses import uses_in_one
from comparators.verdict import Difference, Judgement, RuleUse, Verdict

NOTHING_INHERITED: Mapping[str, str] = MappingProxyType({})
_RAN = frozenset({COMPLETED, FAILED})
"""Statuses that the task's own code brought about. Two runs that never got to work say nothing of a port."""


def judge(
    legacy: Ledger | None,
    candidate: Ledger | None,
    rules: Rules,
    *,
    reason: str | None = None,
    task: str = "",
    known: JSON = None,
    inherited: Mapping[str, str] = NOTHING_INHERITED,
    explain: bool = False,
) -> Judgement:
    """Judge a pair.

    `None` for a side says that its run never came. `reason` says why the pair cannot (fully) be compared; a
    difference that is found all the same still counts. `task` goes into the signatures. `known` is the data
    of the event and its parents: no value in it is taken for one that was born in the runs. `inherited`
    are ids of legacy's that were born in its parent, with the candidate's for the same: they correspond. With
    `explain` the judgement says what each stage did; it is the same judgement.

    A found difference is never downgraded: mismatch > missing > not_comparable > match.

    Raises ValueError or TypeError when a ledger holds what JSON cannot say (NaN, bytes, ...).
    """
    if legacy is None and candidate is None:
        return Judgement(Verdict.not_comparable, reason=reason or "neither run is known")
    if legacy is None:
        return Judgement(Verdict.missing_legacy, reason=reason or "the legacy run never came")
    if candidate is None:
        return Judgement(Verdict.missing_candidate, reason=reason or "the candidate's run never came")
    identical = _identical(legacy, candidate, rules)
    uses = uses_in_one(legacy, rules) if identical else None
    if not explain:
        if uses is None and _only_ledgers(legacy, candidate, rules):
            uses = uses_in_renamed(legacy, candidate, rules, known=known, inherited=inherited)
        if uses is not None:
            return _judged(legacy, candidate, (), reason, uses)
    case = Case.of(legacy, candidate, rules, task=task, known=known, inherited=inherited)
    differences = () if identical else _differences(case)
    judgement = _judged(legacy, candidate, differences, reason, case.uses if uses is None else uses)
    if not explain:
        return judgement
    return replace(judgement, explanation=explanation_of(case, differences, judgement.verdict, identical=identical))


def _judged(
    legacy: Ledger,
    candidate: Ledger,
    differences: tuple[Difference, ...],
    reason: str | None,
    uses: tuple[RuleUse, ...],
) -> Judgement:
    if differences:
        return Judgement(Verdict.mismatch, differences, reason, uses)
    if reason is not None:
        return Judgement(Verdict.not_comparable, reason=reason, uses=uses)
    if legacy.outcome.status not in _RAN and not legacy.effects and not candidate.effects:
        status = legacy.outcome.status.replace("_", " ")
        return Judgement(Verdict.not_comparable, reason=f"both runs were {status} before they did anything")
    return Judgement(Verdict.match, uses=uses)


def _differences(case: Case) -> tuple[Difference, ...]:
    found = [difference for comparator in comparators() for difference in comparator(case)]
    return tuple(sorted(found, key=Difference.sort_key))


def _only_ledgers(legacy: Ledger, candidate: Ledger, rules: Rules) -> bool:
    """Whether nothing but what both did and returned can differ."""
    mine, theirs = legacy.outcome, candidate.outcome
    return not (extended() or too_long(rules, mine, theirs) or too_dear(rules, mine, theirs))


def _identical(legacy: Ledger, candidate: Ledger, rules: Rules) -> bool:
    """Whether both ledgers say the same in so many words, which most pairs do: nothing else is looked at."""
    mine, theirs = legacy.outcome, candidate.outcome
    if mine.status != theirs.status or len(legacy.effects) != len(candidate.effects):
        return False
    if not _only_ledgers(legacy, candidate, rules):
        return False
    if mine.status == COMPLETED:
        if rules.output and not same(mine.output, theirs.output):
            return False
    elif (mine.error_name, mine.error_message, mine.attempts) != (
        theirs.error_name,
        theirs.error_message,
        theirs.attempts,
    ):
        return False
    left = [
        (effect, other)
        for effect, other in zip(legacy.effects, candidate.effects, strict=True)
        if not _alike(effect, other)
    ]
    if not left:
        return True
    names = [_named(effect) for effect, _ in left]
    if names == [_named(other) for _, other in left] and len(set(names)) == len(names):
        # Each stands beside the only one that can say the same, and it does not.
        return False
    if rules.before or _writes_again(legacy):
        # Then the order of equal effects says something.
        return False
    return sorted(canonical(_said(effect)) for effect, _ in left) == sorted(
        canonical(_said(other)) for _, other in left
    )


def _alike(legacy: Effect, candidate: Effect) -> bool:
    """Whether two effects say the same in so many words."""
    if (
        legacy.kind != candidate.kind
        or legacy.target != candidate.target
        or legacy.operation != candidate.operation
        or legacy.identity != candidate.identity
        or legacy.idempotency_key != candidate.idempotency_key
    ):
        return False
    # The attempt matters only where a key can collapse it.
    if legacy.idempotency_key is not None and legacy.attempt != candidate.attempt:
        return False
    return same(legacy.data, candidate.data)


def _named(effect: Effect) -> tuple[str, str, str, str | None]:
    return (effect.kind, effect.target, effect.operation, effect.identity)


def _writes_again(ledger: Ledger) -> bool:
    """Whether a row may have been written several times: which write came last decides what stays."""
    rows = [(e.target, table_of(e.operation), e.identity) for e in ledger.effects if e.kind == ROWS]
    return len(set(rows)) < len(rows)


def _said(effect: Effect) -> JSON:
    # False for what is lacking: the canonical form of a null takes a closer look. The attempt matters only where
    # a key can collapse it.
    key = effect.idempotency_key
    return [
        effect.kind,
        effect.target,
        effect.operation,
        False if effect.identity is None else effect.identity,
        False if key is None else [key, effect.attempt],
        effect.data,
    ]
