"""How much more than legacy's run the candidate's may take, of time or of money."""

from __future__ import annotations

from dataclasses import dataclass

from comparators.rules.rule import RuleError


@dataclass(frozen=True, slots=True)
class RatioRule:
    """At most so many times what legacy took, and a little more: one of two small figures is easily twice the other."""

    ratio: float
    """1.5: half as much again."""
    slack: float = 0.0
    """What may come on top, in the unit of what is compared: seconds, or cents."""

    def __post_init__(self) -> None:
        if not 1 <= self.ratio < float("inf"):
            raise RuleError("ratio", str(self.ratio), "1 or more: the candidate may always be as good as legacy")
        if not 0 <= self.slack < float("inf"):
            raise RuleError("slack", str(self.slack), "0 or more")

    def exceeded(self, legacy: float | None, candidate: float | None) -> bool:
        """Whether the candidate took too much; what is not known exceeds nothing."""
        if legacy is None or candidate is None:
            return False
        return candidate > legacy * self.ratio + self.slack
