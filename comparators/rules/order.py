"""Order: which effects come before which."""

from __future__ import annotations

from dataclasses import dataclass

from comparators.rules.rule import rule_id
from comparators.rules.selection import EffectPattern


@dataclass(frozen=True, slots=True)
class OrderRule:
    """The effects of the one pattern come before those of the other.

    Where an effect of the one and one of the other carry the same identity, that holds between effects of one identity;
    else between all.
    """

    first: EffectPattern
    then: EffectPattern
    reason: str = ""
    learned: bool = False
    """Whether nobody declared it: legacy's runs always did it so. Then breaking it is a lesser matter."""

    @property
    def id(self) -> str:
        """What it is counted by."""
        return rule_id(self)
