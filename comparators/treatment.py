"""Treatment: what the task's rules say of two values, place by place.

Rules are paths; a treatment is what they come to in two given values. Everything that a rule can do to a comparison
is one of four things: it leaves a place out, it reads the values at a place in another notation, it says how the
items of an array are paired, or it says itself whether two values are the same.

At each place one rule holds, the most specific. Reading JSON out of a text is apart from that: it comes first, and the
other rules speak of what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from comparators.align import ItemKey
from comparators.canonical import JSON
from comparators.correspondence import Check, Correspondence
from comparators.path import Parts, find, value_at
from comparators.protected import is_protected
from comparators.rules import EmbeddedJsonRule, KeyedListRule, Place, Rules, ValueRule

Rewrite: TypeAlias = Callable[[JSON], JSON]
"""Reads a value in another notation; applied to both sides alike. Raises nothing."""

_NESTED = 4
"""How deep documents within documents are read."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """What rules say of two values. Places are paths into either value, whichever has something there."""

    ignored: Mapping[Parts, ValueRule] = field(default_factory=dict)
    """Left out, with the rule that says so; protected values below stay all the same."""
    rewrites: Mapping[Parts, Rewrite] = field(default_factory=dict)
    unordered: Mapping[Parts, ItemKey | None] = field(default_factory=dict)
    """Arrays whose items are paired by what they say rather than by their place."""
    checks: Mapping[Parts, Check] = field(default_factory=dict)
    """Where a rule decides whether two values are the same."""
    rules: Mapping[Parts, ValueRule] = field(default_factory=dict)
    """The rule that holds at each place, whatever it does."""
    readers: Mapping[Parts, ValueRule] = field(default_factory=dict)
    """The rules behind `rewrites`."""

    keys: frozenset[Parts] = frozenset()
    """Values by which items of arrays are paired, where something is left out that might be one."""

    @classmethod
    def of_output(cls, rules: Rules, legacy: JSON, candidate: JSON) -> Treatment:
        """Of the outputs of two runs."""
        return cls._of(rules.of_output(), (legacy, candidate))

    @classmethod
    def of_effect(cls, rules: Rules, named: tuple[str, str, str], legacy: JSON, candidate: JSON) -> Treatment:
        """Of the data of two effects of the given kind, target and operation."""
        return cls._of(rules.of_effect(*named), (legacy, candidate))

    @classmethod
    def _of(cls, rules: Sequence[ValueRule], values: tuple[JSON, JSON]) -> Treatment:
        if not rules:
            return UNTREATED
        readers = _readers([rule for rule in rules if isinstance(rule, EmbeddedJsonRule)], values)
        rewrites: dict[Parts, Rewrite] = {parts: rule.read for parts, rule in readers.items()}
        legacy, candidate = (rewritten(value, rewrites) for value in values)
        # A query may select by value: what it selects on one side counts on both. The most specific comes last.
        held: dict[Parts, ValueRule] = {}
        for rule in rules:
            if not isinstance(rule, EmbeddedJsonRule):
                held.update((parts, rule) for value in (legacy, candidate) for parts, _ in find(rule.path, value))
        if not held and not readers:
            return UNTREATED
        ignored = {parts: rule for parts, rule in held.items() if rule.leaves_out}
        return cls(
            ignored=ignored,
            rewrites=rewrites,
            unordered={parts: key for parts, rule in held.items() if (key := rule.item_key()) is not None},
            checks={
                parts: _Check(rule, Place(parts, legacy, candidate))
                for parts, rule in held.items()
                if type(rule).says is not ValueRule.says
            },
            rules=held,
            readers=readers,
            keys=_keys(held, (legacy, candidate)) if ignored else frozenset(),
        )


UNTREATED = Treatment()
"""Of values that no rule speaks of."""


def rewritten(value: JSON, rewrites: Mapping[Parts, Rewrite], parts: Parts = ()) -> JSON:
    """The value with the values at some places read in another notation."""
    if not rewrites:
        return value
    if parts in rewrites:
        value = rewrites[parts](value)
    if isinstance(value, dict):
        return {name: rewritten(member, rewrites, (*parts, name)) for name, member in value.items()}
    if isinstance(value, list):
        return [rewritten(item, rewrites, (*parts, index)) for index, item in enumerate(value)]
    return value


def _readers(rules: Sequence[ValueRule], values: tuple[JSON, JSON]) -> dict[Parts, ValueRule]:
    """Where documents are read out of texts, also out of texts in such documents."""
    found: dict[Parts, ValueRule] = {}
    if not rules:
        return found
    for _ in range(_NESTED):
        before = len(found)
        read = [rewritten(value, {parts: rule.read for parts, rule in found.items()}) for value in values]
        for rule in rules:
            for value in read:
                for parts, node in find(rule.path, value):
                    if isinstance(node, str):
                        found[parts] = rule
        if len(found) == before:
            break
    return found


def _keys(held: Mapping[Parts, ValueRule], values: tuple[JSON, JSON]) -> frozenset[Parts]:
    """Where the values stand by which items are paired."""
    found: set[Parts] = set()
    for parts, rule in held.items():
        if not isinstance(rule, KeyedListRule):
            continue
        for value in values:
            array = value_at(value, parts)
            for index, item in enumerate(array if isinstance(array, list) else ()):
                found.update((*parts, index, *inner) for path in rule.by for inner, _ in find(path, item))
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class _Check:
    """A rule at its place."""

    rule: ValueRule
    place: Place

    def __call__(self, legacy: JSON, candidate: JSON, correspondence: Correspondence) -> bool | None:
        if self.rule.weakens() is not None and is_protected(self.place.parts):
            # A wildcard may select it; that was no way to ask for it.
            return None
        return self.rule.says(legacy, candidate, self.place, correspondence)
