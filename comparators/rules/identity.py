"""Identity: which values make an effect that effect."""

from __future__ import annotations

from dataclasses import dataclass

from comparators.path import compiled
from comparators.rules.rule import rule_id
from comparators.rules.selection import EffectPattern


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

    @property
    def id(self) -> str:
        """What it is counted by."""
        return rule_id(self)
