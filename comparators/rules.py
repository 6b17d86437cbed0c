"""The rules of a task: what identifies its effects, what is left out, what tolerance a number has."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from typing import Literal, TypeAlias

from comparators.path import compiled, names
from comparators.protected import is_protected

Scope: TypeAlias = Literal["output", "effect"]


@dataclass(frozen=True, slots=True)
class EffectPattern:
    """Selects effects by shell-style patterns (`*`, `?`, `[...]`), case-sensitively."""

    kind: str = "*"
    target: str = "*"
    operation: str = "*"

    def selects(self, kind: str, target: str, operation: str) -> bool:
        """Whether an effect of this kind, target and operation is meant."""
        return _matches(kind, self.kind) and _matches(target, self.target) and _matches(operation, self.operation)


@dataclass(frozen=True, slots=True)
class IdentityRule:
    """Where in their data the effects of a pattern carry their business identity.

    The first rule whose pattern selects an effect, and whose paths find something, decides.
    """

    kind: str = "*"
    target: str = "*"
    operation: str = "*"
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError("an identity rule needs at least one JSONPath, such as $.orderId")
        for path in self.paths:
            compiled(path)

    @property
    def pattern(self) -> EffectPattern:
        """The effects this rule speaks of."""
        return EffectPattern(self.kind, self.target, self.operation)


@dataclass(frozen=True, slots=True)
class IgnoreRule:
    """Leaves a path out of the comparison, with a reason.

    Refused (ValueError) when it names amounts, currency, recipients, tenants or accounts, or when it selects
    everything. Whatever it selects, protected values below it are compared all the same. Ignoring an element
    of an array hides its content, not that it is there.
    """

    scope: Scope
    path: str
    reason: str
    kind: str = "*"
    target: str = "*"
    operation: str = "*"

    def __post_init__(self) -> None:
        _check_scope(self.scope)
        if not self.reason.strip():
            raise ValueError(f"the ignore rule for {self.path!r} needs a reason")
        _refuse_protected(self.path, "ignored")

    @property
    def pattern(self) -> EffectPattern:
        """The effects this rule speaks of, when its scope is "effect"."""
        return EffectPattern(self.kind, self.target, self.operation)


@dataclass(frozen=True, slots=True)
class ToleranceRule:
    """Numbers at a path are equal within an absolute or a relative difference. Not for protected paths."""

    scope: Scope
    path: str
    reason: str
    absolute: float = 0.0
    relative: float = 0.0
    kind: str = "*"
    target: str = "*"
    operation: str = "*"

    def __post_init__(self) -> None:
        _check_scope(self.scope)
        if not (self.absolute >= 0 and 0 <= self.relative < 1 and self.absolute + self.relative > 0):
            raise ValueError(
                f"the tolerance for {self.path!r} must be an absolute above 0 or a relative between 0 and 1, "
                f"found absolute {self.absolute} and relative {self.relative}"
            )
        _refuse_protected(self.path, "given a tolerance")

    @property
    def pattern(self) -> EffectPattern:
        """The effects this rule speaks of, when its scope is "effect"."""
        return EffectPattern(self.kind, self.target, self.operation)


@dataclass(frozen=True, slots=True)
class OrderRule:
    """All effects of the one pattern come before all effects of the other."""

    first: EffectPattern
    then: EffectPattern


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one task. The defaults suit a task whose effects report their identity."""

    identities: tuple[IdentityRule, ...] = ()
    ignore: tuple[IgnoreRule, ...] = ()
    tolerances: tuple[ToleranceRule, ...] = ()
    before: tuple[OrderRule, ...] = ()
    """Declared order; without it the effects of a run are independent of each other."""
    output: bool = True
    """Whether the outputs of completed runs are compared."""
    attempts: bool = False
    """Whether failed runs must have made equally many attempts. Off: platforms count them differently."""
    relative_noise: float = 1e-9
    """Relative difference up to which two numbers, not both integers, are the same (amounts: 1e-6)."""

    def ignore_output(self) -> list[IgnoreRule]:
        """The ignore rules for outputs."""
        return [rule for rule in self.ignore if rule.scope == "output"]

    def ignore_effect(self, kind: str, target: str, operation: str) -> list[IgnoreRule]:
        """The ignore rules for an effect."""
        rules = (rule for rule in self.ignore if rule.scope == "effect")
        return [rule for rule in rules if rule.pattern.selects(kind, target, operation)]

    def tolerate_output(self) -> list[ToleranceRule]:
        """The tolerance rules for outputs."""
        return [rule for rule in self.tolerances if rule.scope == "output"]

    def tolerate_effect(self, kind: str, target: str, operation: str) -> list[ToleranceRule]:
        """The tolerance rules for an effect."""
        rules = (rule for rule in self.tolerances if rule.scope == "effect")
        return [rule for rule in rules if rule.pattern.selects(kind, target, operation)]


def _matches(text: str, pattern: str) -> bool:
    return pattern == "*" or fnmatchcase(text, pattern)


def _check_scope(scope: str) -> None:
    if scope not in ("output", "effect"):
        raise ValueError(f"expected the scope 'output' or 'effect', found {scope!r}")


def _refuse_protected(path: str, what: str) -> None:
    # A descendant segment (`..`) selects nothing by itself: the segment after it does.
    selected = [segment for segment in names(path) if segment]
    if all(name is None for segment in selected for name in segment):
        raise ValueError(f"{path!r} selects everything, amounts and recipients included: name what is meant")
    for parts in product(*selected):
        if is_protected(tuple(name for name in parts if name is not None)):
            raise ValueError(
                f"{path!r} touches amounts, currency, recipients, tenants or accounts, which cannot be {what}"
            )
