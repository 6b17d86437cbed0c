"""All the rules of one task."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from comparators.rules.identity import IdentityRule
from comparators.rules.ignore import IgnoreRule
from comparators.rules.order import OrderRule
from comparators.rules.ratio import RatioRule
from comparators.rules.rule import ValueRule

_REMEMBERED = 4096
"""Effects, by kind, target and operation, of which it is remembered which rules apply."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rules that speak of the values of an effect."""

    identities: tuple[IdentityRule, ...]
    values: tuple[ValueRule, ...]
    """The most specific last."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one task. The defaults suit a task whose effects report their identity."""

    identities: tuple[IdentityRule, ...] = ()
    ignore: tuple[IgnoreRule, ...] = ()
    values: tuple[ValueRule, ...] = ()
    """Typed rules. At each place the most specific of these and of `ignore` wins, see `ValueRule.specificity`."""
    before: tuple[OrderRule, ...] = ()
    """Declared order; without it the effects of a run are independent of each other."""
    output: bool = True
    """Whether the outputs of completed runs are compared."""
    attempts: bool = False
    """Whether failed runs must have made equally many attempts. Off: platforms count them differently."""
    latency: RatioRule | None = None
    """How much longer the candidate's run may take, in seconds; None: it may take any time."""
    cost: RatioRule | None = None
    """How much more it may cost, in cents; None: it may cost anything."""
    relative_noise: float = 1e-9
    """Relative difference up to which two numbers, not both integers, are the same (amounts: 1e-6)."""
    _chosen: dict[tuple[str, str, str], Chosen] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What was found to apply to effects met before."""

    def all(self) -> tuple[IdentityRule | ValueRule | OrderRule, ...]:
        """Every rule, each with an id by which its uses are counted."""
        return (*self.identities, *self.ignore, *self.values, *self.before)

    def of_output(self) -> list[ValueRule]:
        """The rules about outputs, the most specific last."""
        return _ranked(rule for rule in (*self.values, *self.ignore) if rule.scope == "output")

    def of_effect(self, kind: str, target: str, operation: str) -> tuple[ValueRule, ...]:
        """The rules about an effect, the most specific last."""
        return self.chosen(kind, target, operation).values if self.values or self.ignore else ()

    def chosen(self, kind: str, target: str, operation: str) -> Chosen:
        """All rules about the values of an effect."""
        named = (kind, target, operation)
        found = self._chosen.get(named)
        if found is None:
            if len(self._chosen) >= _REMEMBERED:
                self._chosen.clear()
            rules = (rule for rule in (*self.values, *self.ignore) if rule.scope == "effect")
            found = self._chosen[named] = Chosen(
                tuple(rule for rule in self.identities if rule.pattern.selects(*named)),
                tuple(_ranked(rule for rule in rules if rule.pattern.selects(*named))),
            )
        return found


def _ranked(rules: Iterable[ValueRule]) -> list[ValueRule]:
    # Of equally specific ones `ignore` wins, then what was written first.
    ranked = list(rules)
    ranked.reverse()
    ranked.sort(key=lambda rule: (*rule.specificity, rule.leaves_out))
    return ranked
