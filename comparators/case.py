"""A case: two ledgers made comparable, which is all that comparators see.

Built in the order normalise (surrogate keys go, too) -> collapse attempts -> pair effects -> unify what was born in the
runs. A comparator then only has to say what still differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from comparators.attempts import Collapsed, collapse
from comparators.births import Births, TokenCache
from comparators.canonical import JSON, plain
from comparators.correspondence import Correspondence, Known
from comparators.generated import HOLE
from comparators.instant import Window
from comparators.layout import Comparison, Layout
from comparators.ledger import COMPLETED, Ledger, Outcome
from comparators.normalise import Entry, NormalCache, entries
from comparators.pairing import Pairing, pair
from comparators.path import Parts, normalised
from comparators.rules import Rules
from comparators.signature import signature_of
from comparators.surrogates import without_surrogates
from comparators.treatment import Treatment
from comparators.uses import UseCount
from comparators.verdict import Difference, RuleUse, Severity


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
    legacy_collapsed: Collapsed
    candidate_collapsed: Collapsed
    layouts: tuple[Layout, ...]
    """Of the output, then of the data of each pair of effects: what was compared, before anything was unified."""
    output: Comparison | None
    """None unless both runs completed and outputs are to be compared."""
    effects: tuple[EffectComparison, ...]
    pairing: Pairing
    correspondence: Correspondence
    uses: tuple[RuleUse, ...]
    """What the rules did."""

    @classmethod
    def of(
        cls, legacy: Ledger, candidate: Ledger, rules: Rules, *, task: str, known: JSON, inherited: Mapping[str, str]
    ) -> Case:
        """The case of two ledgers.

        Raises ValueError or TypeError when a ledger holds what JSON cannot say.
        """
        before = Known.of(known)
        made: NormalCache = {}
        recorded: Sequence[Entry] = entries(legacy.effects, rules, before.texts, made)
        recorded_theirs: Sequence[Entry] = entries(candidate.effects, rules, before.texts, made)
        outputs = (plain(legacy.outcome.output), plain(candidate.outcome.output))
        recorded, recorded_theirs = without_surrogates(recorded, recorded_theirs, outputs, before.texts)
        mine, theirs = collapse(recorded, before.texts), collapse(recorded_theirs, before.texts)
        pairing = pair(mine.kept, theirs.kept, outputs=outputs, known=before.texts)
        told: TokenCache = {}
        correspondence = Correspondence(
            before,
            Window.of(legacy.outcome),
            Window.of(candidate.outcome),
            rules.relative_noise,
            Births(recorded, (outputs[0], legacy.outcome.error_message), before.texts, told),
            Births(recorded_theirs, (outputs[1], candidate.outcome.error_message), before.texts, told),
            pairing.pairs,
        )
        correspondence.inherit(inherited)
        compares_output = rules.output and {legacy.outcome.status, candidate.outcome.status} == {COMPLETED}
        compared_outputs = outputs if compares_output else (None, None)
        layouts = [
            Layout.of(*compared_outputs, Treatment.of_output(rules, *compared_outputs), before, correspondence.ties)
        ]
        for entry, counterpart in pairing.pairs:
            both = (entry.data, counterpart.data)
            treatment = Treatment.of_effect(rules, (entry.kind, entry.target, entry.spelled), *both)
            layouts.append(Layout.of(*both, treatment, before, correspondence.ties))
        # What is equal on both sides is known to both before anything else is mapped.
        for layout in layouts:
            if layout.legacy is layout.candidate:
                correspondence.learn_all(layout.raw[0])
            else:
                correspondence.learn_equal(layout.legacy, layout.candidate)
        for entry, counterpart in pairing.pairs:
            correspondence.learn_equal(entry.spelled, counterpart.spelled)
        effects, output = _all_compared(pairing, layouts, correspondence)
        if correspondence.ambiguous:
            # Which of several alike is which is told by what else mentions them.
            correspondence.names_wait = False
            effects, output = _all_compared(pairing, layouts, correspondence)
        count = UseCount()
        for layout, comparison in zip(layouts, (output, *(effect.data for effect in effects)), strict=True):
            count.compared(layout, comparison, correspondence)
        for entry in (*pairing.missing, *pairing.surplus):
            count.alone(rules.of_effect(entry.kind, entry.target, entry.spelled), entry.data)
        for side in (mine.kept, theirs.kept):
            count.identified(rules, side)
        if rules.before:
            count.ordered(rules, [(e.kind, e.target, e.spelled) for e in (*mine.kept, *theirs.kept)])
        # What is left to be unified is in the messages of errors.
        correspondence.place = "error"
        return cls(
            task=task,
            rules=rules,
            known=before,
            legacy=legacy.outcome,
            candidate=candidate.outcome,
            legacy_collapsed=mine,
            candidate_collapsed=theirs,
            layouts=tuple(layouts),
            output=output if compares_output else None,
            effects=effects,
            pairing=pairing,
            correspondence=correspondence,
            uses=count.uses(),
        )

    @property
    def legacy_entries(self) -> tuple[Entry, ...]:
        """Legacy's effects as the world saw them, in order."""
        return self.legacy_collapsed.kept

    @property
    def candidate_entries(self) -> tuple[Entry, ...]:
        """The candidate's."""
        return self.candidate_collapsed.kept

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


def _all_compared(
    pairing: Pairing, layouts: Sequence[Layout], correspondence: Correspondence
) -> tuple[tuple[EffectComparison, ...], Comparison]:
    effects = tuple(
        _compared(entry, counterpart, layout, correspondence)
        for (entry, counterpart), layout in zip(pairing.pairs, layouts[1:], strict=True)
    )
    correspondence.operation, correspondence.place = "", "output"
    return effects, layouts[0].compared(correspondence)


def _compared(entry: Entry, counterpart: Entry, layout: Layout, correspondence: Correspondence) -> EffectComparison:
    correspondence.operation = entry.spelled
    correspondence.place = f"{entry.kind} {entry.target}/{entry.spelled}"
    data = layout.compared(correspondence)
    same_operation = correspondence.texts_correspond(entry.spelled, counterpart.spelled)
    return EffectComparison(entry, counterpart, data, same_operation)


def effect_parts(entry: Entry, ordinal: int, *, alone: bool = False) -> Parts:
    """The path of an effect within the pair: by its identity, or by its place among its like.

    Args:
        alone: it has no counterpart, so a key that was made up for it names it all the better.
    """
    operation = entry.operation.replace(HOLE, "{id}")
    identity = entry.named if alone else entry.identity
    which = ordinal if identity is None else identity.replace(HOLE, "{id}")
    return ("effects", entry.kind, entry.target, operation, which)


@dataclass(frozen=True, slots=True)
class _Located:
    kind: str
    path: str
    legacy: JSON
    candidate: JSON
