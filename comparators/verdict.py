"""What the judge says of a pair: the verdict and the differences it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from comparators.canonical import JSON, canonical
from comparators.order_seen import OrderSeen

if TYPE_CHECKING:
    from comparators.explanation import Explanation


class Verdict(StrEnum):
    """The verdict on a pair."""

    match = "match"
    allowed = "allowed"
    """It differs, and a reviewed decision says of every difference that it is acceptable. Never the judge's own word:
    it knows no decisions."""
    mismatch = "mismatch"
    missing_candidate = "missing_candidate"
    missing_legacy = "missing_legacy"
    not_comparable = "not_comparable"


class Severity(IntEnum):
    """How bad a difference is; a greater number is worse. `str()` gives the word."""

    minor = 1
    """Visible, but nobody is paid, mailed or shown anything else."""
    major = 2
    """The run does something else than legacy's did."""
    critical = 3
    """Money, recipients or tenants are wrong, or an effect is missing, extra or doubled."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Difference:
    """One discrepancy within a pair."""

    kind: str
    """Dotted: "outcome.status", "output.changed", "effect.missing", "effect.duplicate", ..."""
    path: str
    """Normalised JSONPath (RFC 9535) into the pair: `$['outcome']...`, `$['output']...` or
    `$['effects'][kind][target][operation][identity]...`."""
    legacy: JSON
    """Legacy's value; None where it has none."""
    candidate: JSON
    """The candidate's value; None where it has none."""
    severity: Severity
    sentence: str
    """One English sentence for a person."""
    signature: str
    """What groups the same difference over many pairs, see `signature_of`."""

    def sort_key(self) -> tuple[int, str, str, bytes, bytes, str]:
        """A total order: worst first, then by place, then by value."""
        return (
            -int(self.severity),
            self.path,
            self.kind,
            canonical(self.legacy),
            canonical(self.candidate),
            self.sentence,
        )


@dataclass(frozen=True, slots=True, order=True)
class RuleUse:
    """What one rule did in one pair."""

    rule: str
    """Its id."""
    selected: int
    """How many values it spoke of (effects, of rules for identity; 1, of a rule for order that had both effects)."""
    hid: int
    """How many of them differ without it and not with it."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, the differences behind it, and why a pair could not (fully) be compared."""

    verdict: Verdict
    differences: tuple[Difference, ...] = ()
    reason: str | None = None
    uses: tuple[RuleUse, ...] = ()
    """What the task's rules did, those that did anything."""
    orders: tuple[OrderSeen, ...] = field(default=(), compare=False)
    """In which order legacy's run did what it did, where somebody learns from it."""
    explanation: Explanation | None = field(default=None, compare=False)
    """What each stage did, where that was asked for and there were two ledgers."""

    def of_run(self, orders: tuple[OrderSeen, ...]) -> Judgement:
        """The same, with the order in which legacy's run did what it did."""
        return Judgement(self.verdict, self.differences, self.reason, self.uses, orders, self.explanation)
