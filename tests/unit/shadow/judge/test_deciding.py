"""What allowances make of a verdict, as a table: a found difference is never downgraded by something weaker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from comparators import Severity, Verdict
from shadow.judge.deciding import Cover, Standing, decided, undecided

A, B = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 5, 1, tzinfo=UTC)
V = Verdict


@pytest.mark.parametrize(
    ("verdict", "reason", "covered", "becomes"),
    [
        (V.match, None, [], V.match),
        (V.mismatch, None, [None], V.mismatch),
        (V.mismatch, None, [A, None], V.mismatch),  # one that nobody decided on
        (V.mismatch, None, [A, B], V.allowed),
        (V.mismatch, "an effect may be its own", [A], V.not_comparable),  # which weighs more than allowed
        (V.mismatch, "an effect may be its own", [A, None], V.mismatch),
        (V.mismatch, None, [], V.mismatch),  # its differences are not known, so none is covered
        (V.missing_candidate, None, [], V.missing_candidate),
        (V.missing_legacy, "it never came", [], V.missing_legacy),
        (V.not_comparable, "it was changed by its producer", [], V.not_comparable),
    ],
)
def test_a_verdict_with_its_allowances(
    verdict: Verdict, reason: str | None, covered: list[UUID | None], becomes: Verdict
) -> None:
    assert decided(verdict, reason, covered) is becomes


@pytest.mark.parametrize("reason", [None, "an effect may be its own"])
def test_what_was_decided_can_be_decided_again(reason: str | None) -> None:
    first = decided(V.mismatch, reason, [A, A])
    assert decided(undecided(first, [A, A]), reason, [A, None]) is V.mismatch
    assert decided(undecided(first, [A, A]), reason, [B, B]) is first


def test_what_could_not_be_compared_before_any_decision_stays_so() -> None:
    assert undecided(V.not_comparable, []) is V.not_comparable
    assert undecided(V.not_comparable, [None]) is V.not_comparable


def cover(identifier: UUID = A, **changed: object) -> Cover:
    made = {"tenant": None, "max_severity": Severity.major, "expires_at": NOW, **changed}
    return Cover(identifier, "s1-a", **made)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("allowance", "severity", "tenant", "covers"),
    [
        (cover(), Severity.major, "acme", True),
        (cover(), Severity.minor, "", True),
        (cover(), Severity.critical, "acme", False),  # worse than what was reviewed
        (cover(tenant="acme"), Severity.major, "acme", True),
        (cover(tenant="acme"), Severity.major, "other", False),
        (cover(tenant=""), Severity.major, "", True),  # events without a tenant
        (cover(tenant=""), Severity.major, "acme", False),
    ],
)
def test_an_allowance_covers_up_to_its_severity_and_within_its_scope(
    allowance: Cover, severity: Severity, tenant: str, covers: bool
) -> None:
    assert Standing([allowance]).covering("s1-a", severity, tenant) == (A if covers else None)
    assert Standing([allowance]).covering("s1-b", severity, tenant) is None


def test_of_several_the_one_that_lasts_longest_covers() -> None:
    standing = Standing([cover(A, expires_at=NOW), cover(B, expires_at=NOW + timedelta(days=1))])
    assert standing.covering("s1-a", Severity.major, "acme") == B
