"""Uses: how often each rule had something to do in a pair, and how often that made a difference go away.

A rule that selects nothing for a month is dead: it is misspelt, or what it was made for is gone. One that hides much is
worth a second look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

from comparators.align import Aligned, Items, align, same_layout
from comparators.canonical import JSON, plain
from comparators.correspondence import Correspondence
from comparators.kinds import normal
from comparators.layout import Comparison, Layout
from comparators.ledger import COMPLETED, Ledger
from comparators.normalise import Entry
from comparators.path import MISSING, Missing, Parts, find, value_at
from comparators.rules import IdentityRule, Rules, ValueRule
from comparators.rules.rule import holds_protected
from comparators.shape import shape
from comparators.verdict import RuleUse


@dataclass(slots=True)
class UseCount:
    """Uses being counted."""

    selected: Counter[str] = field(default_factory=Counter)
    hid: Counter[str] = field(default_factory=Counter)

    def compared(self, layout: Layout, comparison: Comparison, correspondence: Correspondence) -> None:
        """Count the rules that two values were compared with."""
        treatment = layout.treatment
        for parts, rule in (*treatment.readers.items(), *treatment.rules.items()):
            values = layout.raw if parts in treatment.readers and rule is treatment.readers[parts] else layout.read
            theirs = _counterpart(layout.legacy, parts)
            legacy, candidate = value_at(values[0], parts), value_at(values[1], theirs)
            if legacy is MISSING and candidate is MISSING:
                continue
            self.selected[rule.id] += 1
            if not _alike(legacy, candidate, parts, correspondence) and _hidden(
                rule, (legacy, candidate), parts, comparison
            ):
                self.hid[rule.id] += 1

    def alone(self, rules: Iterable[ValueRule], value: JSON) -> None:
        """Count the rules that speak of a value that was compared with nothing, or is the same on both sides."""
        for rule in rules:
            if found := len(find(rule.path, value)):
                self.selected[rule.id] += found

    def identified(self, rules: Rules, effects: Iterable[Entry]) -> None:
        """Count the rules that told what effects are about."""
        for entry in effects:
            if entry.effect.identity is None:
                self.identity(rules.chosen(entry.kind, entry.target, entry.spelled).identities, entry.data)

    def identity(self, rules: Iterable[IdentityRule], data: JSON) -> bool:
        """Count the one of these rules that tells what an effect with that data is about; False where none does."""
        for rule in rules:
            if any(find(path, data) for path in rule.paths):
                self.selected[rule.id] += 1
                return True
        return False

    def ordered(self, rules: Rules, effects: Sequence[tuple[str, str, str]]) -> None:
        """Count the rules for order that had something, by kind, target and operation, to put in order."""
        for rule in rules.before:
            if all(any(pattern.selects(*named) for named in effects) for pattern in (rule.first, rule.then)):
                self.selected[rule.id] += 1

    def uses(self) -> tuple[RuleUse, ...]:
        """What was counted, by rule."""
        return tuple(RuleUse(rule, count, self.hid[rule]) for rule, count in sorted(self.selected.items()))


def uses_in_one(ledger: Ledger, rules: Rules) -> tuple[RuleUse, ...]:
    """The uses in a pair whose two ledgers say the same: nothing is hidden there.

    Most pairs are such, so only what rules speak of is looked at.
    """
    if not (rules.identities or rules.ignore or rules.values or rules.before):
        return ()
    count = UseCount()
    for effect in ledger.effects:
        chosen = rules.chosen(effect.kind, effect.target, effect.operation)
        identities = chosen.identities if effect.identity is None else ()
        # An identity is nearly always found in what was recorded, too.
        named = not identities or count.identity(identities, effect.data)
        if not named or chosen.values:
            data = normal(effect.kind, effect.data)
            if not named:
                count.identity(identities, data)
            count.alone(chosen.values, data)
    if (of_output := rules.of_output()) and rules.output and ledger.outcome.status == COMPLETED:
        count.alone(of_output, plain(ledger.outcome.output))
    if rules.before:
        count.ordered(rules, [(effect.kind, effect.target, effect.operation) for effect in ledger.effects])
    return count.uses()


def _hidden(
    rule: ValueRule, values: tuple[JSON | Missing, JSON | Missing], parts: Parts, comparison: Comparison
) -> bool:
    if rule.leaves_out and not any(value is not MISSING and holds_protected(value, parts) for value in values):
        return True
    mine, theirs = _within(comparison.legacy, parts), _within(comparison.candidate, parts)
    if mine is MISSING and theirs is MISSING:
        return rule.leaves_out
    return mine is not MISSING and theirs is not MISSING and same_layout(mine, theirs)


def _alike(legacy: JSON | Missing, candidate: JSON | Missing, parts: Parts, correspondence: Correspondence) -> bool:
    """Whether two values are the same without any rule."""
    if legacy is MISSING or candidate is MISSING:
        return False
    mine, theirs = align(legacy, candidate, lambda item: shape(item, correspondence.known.texts))
    return same_layout(mine, theirs) or same_layout(mine, correspondence.trial().reconcile(mine, theirs, parts=parts))


def _counterpart(legacy: Aligned, parts: Parts) -> Parts:
    """Where in the candidate's value that stands which stands there in legacy's."""
    theirs: list[str | int] = []
    value: Aligned | Missing = legacy
    for part in parts:
        label = next((label for label in value if label[0] == part), None) if isinstance(value, Items) else None
        theirs.append(label[1] if label is not None and label[1] is not None else part)
        value = _within(value, (part,)) if not isinstance(value, Missing) else value
    return tuple(theirs)


def _within(value: Aligned, parts: Parts) -> Aligned | Missing:
    """The part of a laid out value at a path of legacy's."""
    for part in parts:
        if isinstance(value, Items):
            label = next((label for label in value if label[0] == part), None)
            if label is None:
                return MISSING
            value = value[label]
        elif isinstance(value, dict) and isinstance(part, str) and part in value:
            value = cast("dict[str, Aligned]", value)[part]
        else:
            return MISSING
    return value
