"""The effects comparator: did both runs do the same to the world, equally often?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator

from comparators.case import Case, EffectComparison, effect_parts
from comparators.diff import Change, How, changes
from comparators.normalise import Entry
from comparators.path import Parts
from comparators.sentence import changed_effect, changed_key, counted
from comparators.severity import severity_of
from comparators.shape import shape
from comparators.verdict import Difference, Severity


def compare_effects(case: Case) -> Iterator[Difference]:
    """One difference for each effect without counterpart, and for each change within a paired effect."""
    ordinals: Counter[tuple[str, str, str]] = Counter()
    keyed = (_keyed(case, case.legacy_entries), _keyed(case, case.candidate_entries))
    for compared in case.effects:
        parts = _parts(compared.entry, ordinals)
        yield from _changed(case, compared, parts)
        if (key := _key(case, compared, parts, keyed)) is not None:
            yield key

    legacy = Counter(_same(case, entry) for entry in case.legacy_entries)
    candidate = Counter(_same(case, entry) for entry in case.candidate_entries)
    paired_legacy = Counter(_same(case, entry) for entry, _ in case.pairing.pairs)
    paired_candidate = Counter(_same(case, entry) for _, entry in case.pairing.pairs)
    for entry in case.pairing.missing:
        same = _same(case, entry)
        answered = max(candidate[same], paired_legacy[same])
        yield case.difference(
            "effect.missing",
            _parts(entry, ordinals, alone=True),
            legacy=entry.data,
            candidate=None,
            severity=Severity.critical,
            sentence=counted(entry, legacy[same], answered),
        )
    for entry in case.pairing.surplus:
        same = _same(case, entry)
        answered = max(legacy[same], paired_candidate[same])
        yield case.difference(
            "effect.duplicate" if answered else "effect.extra",
            _parts(entry, ordinals, alone=True),
            legacy=None,
            candidate=entry.data,
            severity=Severity.critical,
            sentence=counted(entry, answered, candidate[same]),
        )


def _changed(case: Case, compared: EffectComparison, parts: Parts) -> Iterator[Difference]:
    entry, counterpart = compared.entry, compared.counterpart
    if not compared.same_operation:
        change = Change(How.changed, ("operation",), entry.spelled, counterpart.spelled)
        yield case.difference(
            "effect.changed",
            (*parts, "operation"),
            legacy=entry.spelled,
            candidate=counterpart.spelled,
            # The operation says what the effect was done to.
            severity=Severity.critical,
            sentence=changed_effect(entry, change),
        )
    if compared.data.equal:
        return
    for change in changes(compared.data.legacy, compared.data.candidate):
        yield case.difference(
            f"effect.{change.how}",
            (*parts, *change.parts),
            legacy=change.legacy,
            candidate=change.candidate,
            severity=severity_of(change),
            sentence=changed_effect(entry, change),
        )


def _keyed(case: Case, entries: Iterable[Entry]) -> Counter[Hashable]:
    """How often each effect was done under a provider's idempotency key."""
    return Counter(_same(case, entry) for entry in entries if entry.idempotency_key is not None)


def _key(
    case: Case, compared: EffectComparison, parts: Parts, keyed: tuple[Counter[Hashable], Counter[Hashable]]
) -> Difference | None:
    """The difference that only one of them carried the provider's idempotency key. Which key is no matter: each side
    makes its own.

    Args:
        keyed: how often each effect carried one, in legacy and in the candidate. Of several that are the same it
            can't be said which is whose counterpart, so it is their number that tells.
    """
    entry, counterpart = compared.entry, compared.counterpart
    if (entry.idempotency_key is None) == (counterpart.idempotency_key is None):
        return None
    dropped = counterpart.idempotency_key is None
    legacy, candidate = keyed[0][_same(case, entry)], keyed[1][_same(case, counterpart)]
    if legacy == candidate or dropped != (legacy > candidate):
        return None
    return case.difference(
        "effect.key_dropped" if dropped else "effect.key_added",
        (*parts, "idempotency_key"),
        legacy=entry.idempotency_key,
        candidate=counterpart.idempotency_key,
        # Without one a retry reaches the provider twice.
        severity=Severity.major if dropped else Severity.minor,
        sentence=changed_key(entry, dropped=dropped),
    )


def _same(case: Case, entry: Entry) -> Hashable:
    """Entries with equal keys are the same effect done again."""
    if entry.identity is not None:
        return (entry.group, entry.identity)
    return (entry.group, shape(entry.data, case.known.texts))


def _parts(entry: Entry, ordinals: Counter[tuple[str, str, str]], *, alone: bool = False) -> Parts:
    ordinal = ordinals[entry.group]
    if entry.identity is None:
        ordinals[entry.group] += 1
    return effect_parts(entry, ordinal, alone=alone)
