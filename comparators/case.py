"""A case: two ledgers made comparable, which is all that comparators see.

Built in the order normalise -> collapse attempts -> pair effects -> unify what was born in the runs. A
comparator then only has to say what still differs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from comparators.align import Aligned, align, pruned
from comparators.attempts import collapse
from comparators.canonical import JSON, plain
from comparators.correspondence import Correspondence, Known, Tolerance
from comparators.generated import HOLE
from comparators.instant import Window
from comparators.ledger import COMPLETED, Ledger, Outcome
from comparators.normalise import Entry, entries
from comparators.pairing import Pairing, pair
from comparators.path import Parts, find, normalised
from comparators.rules import IgnoreRule, Rules, ToleranceRule
from comparators.shape import shape
from comparators.signature import signature_of
from comparators.verdict import Difference, Severity


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values laid out alike; in the candidate's, what corresponds to legacy's already equals it."""

    legacy: Aligned
    candidate: Aligned

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return _same(self.legacy, self.candidate)


@dataclass(frozen=True, slots=True)
class EffectComparison:
    """An effect of legacy and the candidate's counterpart."""

    entry: Entry
    counterpart: Entry
    data: Comparison
    same_operation: bool
    """False when the operations name different things that cannot correspond."""


@dataclass(frozen=True, slots=True)
class Case:
    """Two ledgers of one pair, ready for the comparators."""

    task: str
    rules: Rules
    known: Known
    legacy: Outcome
    candidate: Outcome
    legacy_entries: tuple[Entry, ...]
    """Legacy's effects as the world saw them, in order."""
    candidate_entries: tuple[Entry, ...]
    output: Comparison | None
    """None unless both runs completed and outputs are to be compared."""
    effects: tuple[EffectComparison, ...]
    pairing: Pairing
    correspondence: Correspondence

    @classmethod
    def of(cls, legacy: Ledger, candidate: Ledger, rules: Rules, *, task: str, known: JSON) -> Case:
        """The case of two ledgers.

        Raises ValueError or TypeError when a ledger holds what JSON cannot say.
        """
        before = Known.of(known)
        mine = collapse(entries(legacy.effects, rules, before.texts), before.texts)
        theirs = collapse(entries(candidate.effects, rules, before.texts), before.texts)
        outputs = (plain(legacy.outcome.output), plain(candidate.outcome.output))
        pairing = pair(mine, theirs, outputs=outputs, known=before.texts)
        correspondence = Correspondence(
            before, Window.of(legacy.outcome), Window.of(candidate.outcome), rules.relative_noise
        )

        compares_output = rules.output and {legacy.outcome.status, candidate.outcome.status} == {COMPLETED}
        compared_outputs = outputs if compares_output else (None, None)
        layouts = [_Layout.of(*compared_outputs, rules.ignore_output(), rules.tolerate_output(), before)]
        for entry, counterpart in pairing.pairs:
            named = (entry.kind, entry.target, entry.spelled)
            layouts.append(
                _Layout.of(
                    entry.data,
                    counterpart.data,
                    rules.ignore_effect(*named),
                    rules.tolerate_effect(*named),
                    before,
                )
            )
        # What is equal on both sides is known to both before anything else is mapped.
        for layout in layouts:
            correspondence.learn_equal(layout.legacy, layout.candidate)
        for entry, counterpart in pairing.pairs:
            correspondence.learn_equal(entry.spelled, counterpart.spelled)
        compared = [layout.compared(correspondence) for layout in layouts]
        effects = tuple(
            EffectComparison(
                entry, counterpart, data, correspondence.texts_correspond(entry.spelled, counterpart.spelled)
            )
            for (entry, counterpart), data in zip(pairing.pairs, compared[1:], strict=True)
        )
        return cls(
            task=task,
            rules=rules,
            known=before,
            legacy=legacy.outcome,
            candidate=candidate.outcome,
            legacy_entries=tuple(mine),
            candidate_entries=tuple(theirs),
            output=compared[0] if compares_output else None,
            effects=effects,
            pairing=pairing,
            correspondence=correspondence,
        )

    def difference(
        self,
        kind: str,
        parts: Iterable[str | int],
        *,
        legacy: JSON,
        candidate: JSON,
        severity: Severity,
        sentence: str,
    ) -> Difference:
        """A difference of this case, with its path written out and its signature."""
        located = _Located(kind, normalised(parts), legacy, candidate)
        return Difference(
            kind=kind,
            path=located.path,
            legacy=legacy,
            candidate=candidate,
            severity=severity,
            sentence=sentence,
            signature=signature_of(self.task, located),
        )


def effect_parts(entry: Entry, ordinal: int) -> Parts:
    """The path of an effect within the pair: by its identity, or by its place among its like."""
    operation = entry.operation.replace(HOLE, "{id}")
    which = ordinal if entry.identity is None else entry.identity
    return ("effects", entry.kind, entry.target, operation, which)


@dataclass(frozen=True, slots=True)
class _Located:
    kind: str
    path: str
    legacy: JSON
    candidate: JSON


@dataclass(frozen=True, slots=True)
class _Layout:
    """Two values laid out alike, before anything is unified."""

    legacy: Aligned
    candidate: Aligned
    tolerances: dict[Parts, Tolerance]

    @classmethod
    def of(
        cls,
        legacy: JSON,
        candidate: JSON,
        ignore: Iterable[IgnoreRule],
        tolerate: Iterable[ToleranceRule],
        known: Known,
    ) -> _Layout:
        # A query may select by value: what it selects on one side counts on both.
        values = (legacy, candidate)
        ignored = {parts for rule in ignore for value in values for parts, _ in find(rule.path, value)}
        tolerances = {
            parts: Tolerance(rule.absolute, rule.relative)
            for rule in tolerate
            for value in values
            for parts, _ in find(rule.path, value)
        }
        mine, theirs = align(pruned(legacy, ignored), pruned(candidate, ignored), lambda item: shape(item, known.texts))
        return cls(mine, theirs, tolerances)

    def compared(self, correspondence: Correspondence) -> Comparison:
        if _same(self.legacy, self.candidate):
            return Comparison(self.legacy, self.candidate)
        return Comparison(self.legacy, correspondence.reconcile(self.legacy, self.candidate, self.tolerances))


def _same(legacy: Aligned, candidate: Aligned) -> bool:
    """Strict equality: Python alone would take True for 1, and an empty array for an empty object."""
    if type(legacy) is not type(candidate):
        return False
    if isinstance(legacy, dict) and isinstance(candidate, dict):
        return legacy.keys() == candidate.keys() and all(
            _same(member, candidate[name])  # type: ignore[index]  # same kind of mapping
            for name, member in legacy.items()
        )
    return legacy == candidate
