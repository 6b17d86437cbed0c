"""Exact: the two values are the same, and nothing is made of ids, moments or float noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from comparators.canonical import JSON, same
from comparators.rules.rule import Pair, Place, ValueRule


@dataclass(frozen=True, slots=True)
class ExactRule(ValueRule):
    """What looks generated here is not: a key that both sides must derive alike, a moment taken from data."""

    type: ClassVar[str] = "exact"
    may_narrow: ClassVar[bool] = True

    def says(self, legacy: JSON, candidate: JSON, place: Place, pair: Pair) -> bool | None:
        return same(legacy, candidate)
