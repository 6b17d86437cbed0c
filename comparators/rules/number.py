"""Number: two numbers are the same within an absolute or a relative difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from comparators.canonical import JSON
from comparators.rules.rule import Pair, Place, RuleError, ValueRule

NOISE = 1e-6
"""Absolute difference of amounts that is float noise: far below any currency's unit."""


@dataclass(frozen=True, slots=True)
class NumberRule(ValueRule):
    """A tolerance. For amounts none but float noise."""

    absolute: float = 0.0
    relative: float = 0.0
    """Of the greater of the two magnitudes."""

    type: ClassVar[str] = "number"

    def check(self) -> None:
        if not (self.absolute >= 0 and 0 <= self.relative < 1 and self.absolute + self.relative > 0):
            raise RuleError(
                "absolute" if self.absolute < 0 else "relative",
                f"absolute {self.absolute} and relative {self.relative}",
                "a tolerance: an absolute one above 0, or a relative one between 0 and 1",
            )

    def weakens(self) -> str | None:
        return "given a tolerance" if self.absolute > NOISE or self.relative > 0 else None

    def says(self, legacy: JSON, candidate: JSON, place: Place, pair: Pair) -> bool | None:
        if not _is_number(legacy) or not _is_number(candidate):
            return None
        assert isinstance(legacy, int | float) and isinstance(candidate, int | float)
        allowed = max(self.absolute, self.relative * max(abs(legacy), abs(candidate)))
        return True if abs(legacy - candidate) <= allowed else None


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
