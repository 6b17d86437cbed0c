"""Treatment: what the task's rules say of two values, place by place.

Rules are paths; a treatment is what they come to in two given values. Everything that a rule can do to a comparison
is one of four things: it leaves a place out, it reads the values at a place in another notation, it says how the
items of an array are paired, or it says itself whether two values are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from comparators.align import ItemKey
from comparators.canonical import JSON
from comparators.correspondence import Check, Correspondence
from comparators.path import Parts, find
from comparators.protected import is_protected
from comparators.rules import IgnoreRule, Rules, ToleranceRule

Rewrite: TypeAlias = Callable[[JSON], JSON]
"""Reads a value in another notation; applied to both sides alike. Raises nothing."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """What rules say of two values. Places are paths into either value, whichever has something there."""

    ignored: Mapping[Parts, IgnoreRule] = field(default_factory=dict)
    """Left out, with the rule that says so; protected values below stay all the same."""
    rewrites: Mapping[Parts, Rewrite] = field(default_factory=dict)
    unordered: Mapping[Parts, ItemKey | None] = field(default_factory=dict)
    """Arrays whose items are paired by what they say rather than by their place."""
    checks: Mapping[Parts, Check] = field(default_factory=dict)
    """Where a rule decides whether two values are the same."""

    @classmethod
    def of_output(cls, rules: Rules, legacy: JSON, candidate: JSON) -> Treatment:
        """Of the outputs of two runs."""
        return cls._of(rules.ignore_output(), rules.tolerate_output(), (legacy, candidate))

    @classmethod
    def of_effect(cls, rules: Rules, named: tuple[str, str, str], legacy: JSON, candidate: JSON) -> Treatment:
        """Of the data of two effects of the given kind, target and operation."""
        return cls._of(rules.ignore_effect(*named), rules.tolerate_effect(*named), (legacy, candidate))

    @classmethod
    def _of(
        cls, ignore: Iterable[IgnoreRule], tolerate: Iterable[ToleranceRule], values: tuple[JSON, JSON]
    ) -> Treatment:
        # A query may select by value: what it selects on one side counts on both.
        ignored = {parts: rule for rule in ignore for value in values for parts, _ in find(rule.path, value)}
        checks: dict[Parts, Check] = {
            parts: _Within(parts, rule.absolute, rule.relative)
            for rule in tolerate
            for value in values
            for parts, _ in find(rule.path, value)
        }
        if not ignored and not checks:
            return UNTREATED
        return cls(ignored=ignored, checks=checks)


UNTREATED = Treatment()
"""Of values that no rule speaks of."""


@dataclass(frozen=True, slots=True)
class _Within:
    """Numbers that differ by little are the same; of anything else it says nothing."""

    parts: Parts
    absolute: float
    relative: float

    def __call__(self, legacy: JSON, candidate: JSON, correspondence: Correspondence) -> bool | None:
        if not _is_number(legacy) or not _is_number(candidate) or is_protected(self.parts):
            return None
        assert isinstance(legacy, int | float) and isinstance(candidate, int | float)
        allowed = max(self.absolute, self.relative * max(abs(legacy), abs(candidate)))
        return True if abs(legacy - candidate) <= allowed else None


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
