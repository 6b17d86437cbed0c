"""What allowances make of a verdict. Pure: the same answer when a pair is judged and when an allowance changes.

An allowance covers a difference; a pair all of whose differences are covered is `allowed`, unless something else keeps
it from being compared, which weighs more: mismatch > missing > not_comparable > allowed > match.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from comparators import Severity, Verdict


@dataclass(frozen=True, slots=True)
class Cover:
    """A standing allowance, as far as it says what it covers."""

    id: UUID
    signature: str
    tenant: str | None
    """None: every tenant's pairs; empty: those of events without one."""
    max_severity: Severity
    expires_at: datetime

    def covers(self, severity: Severity, tenant: str) -> bool:
        """Whether it covers a difference of its signature in a pair of that tenant (empty: of none)."""
        return severity <= self.max_severity and self.tenant in (None, tenant)


class Standing:
    """The allowances that stand, by signature."""

    def __init__(self, covers: Iterable[Cover] = ()) -> None:
        self._covers: dict[str, list[Cover]] = {}
        for cover in covers:
            self._covers.setdefault(cover.signature, []).append(cover)

    def covering(self, signature: str, severity: Severity, tenant: str) -> UUID | None:
        """What covers a difference, for longest where several do; None when it is not allowed."""
        found = [cover for cover in self._covers.get(signature, ()) if cover.covers(severity, tenant)]
        return max(found, key=lambda cover: (cover.expires_at, cover.id)).id if found else None


def decided(verdict: Verdict, reason: str | None, covered: Sequence[UUID | None]) -> Verdict:
    """The verdict on a pair whose differences are covered like this.

    Args:
        verdict: what the comparison itself says.
        reason: why it can't (fully) be compared.
        covered: by what, for each of its differences.
    """
    if verdict is not Verdict.mismatch or not covered or None in covered:
        return verdict
    return Verdict.allowed if reason is None else Verdict.not_comparable


def undecided(verdict: Verdict, covered: Sequence[UUID | None]) -> Verdict:
    """What the comparison itself said of a pair that was decided like this: the inverse of `decided`."""
    by_decision = verdict in (Verdict.allowed, Verdict.not_comparable)
    return Verdict.mismatch if by_decision and covered and None not in covered else verdict
