"""As what a pair counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from comparators import Severity, Verdict
from shadow.causes.authority import Purpose
from shadow.gate.epochs import Epoch
from shadow.gate.stands import Granted, Pair, Stand, stand_of, was_allowed
from shadow.judge.deciding import Cover

T0 = datetime(2026, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PAIR = Pair(UUID(int=1), T0, T0, Purpose.LIVE, Verdict.match, "r1", "acme", "20260501.1", "v1")
EPOCH = Epoch(UUID(int=2), "order-sync", 1, "20260501.1", "v1", "r1", "the first pairs of the task", T0)


@pytest.mark.parametrize(
    ("pair", "stand"),
    [
        (PAIR, Stand.MATCH),
        (replace(PAIR, verdict=Verdict.mismatch), Stand.MISMATCH),
        (replace(PAIR, verdict=Verdict.missing_candidate), Stand.MISSING),
        (replace(PAIR, verdict=Verdict.missing_legacy), Stand.MISSING),
        (replace(PAIR, verdict=Verdict.not_comparable), Stand.NOT_COMPARABLE),
        (replace(PAIR, purpose=Purpose.REPLAY), Stand.MATCH),
        (replace(PAIR, purpose=Purpose.LEGACY_TWICE), Stand.OTHER_PURPOSE),
        (replace(PAIR, purpose=Purpose.CANARY), Stand.OTHER_PURPOSE),
        (replace(PAIR, rules="r0"), Stand.OTHER_RULES),
        (replace(PAIR, candidate_version="v0"), Stand.OTHER_VERSION),
        (replace(PAIR, legacy_version="20260430.1"), Stand.OTHER_VERSION),
        (replace(PAIR, candidate_version=None, legacy_version=None), Stand.MATCH),
    ],
)
def test_it_follows_from_its_verdict_its_versions_and_its_rules(pair: Pair, stand: Stand) -> None:
    assert stand_of(pair, EPOCH, allowed=False) is stand


def test_what_is_left_out_is_so_whatever_its_verdict() -> None:
    """Else leaving it out would be a choice by outcome."""
    for verdict in Verdict:
        pair = replace(PAIR, verdict=verdict)
        assert stand_of(pair, EPOCH, allowed=True, repeated=True) is Stand.REPEATED
        assert stand_of(replace(pair, candidate_version="v0"), EPOCH, allowed=True) is Stand.OTHER_VERSION
        assert stand_of(replace(pair, rules="r0"), EPOCH, allowed=True) is Stand.OTHER_RULES


def test_every_stand_says_whether_it_is_compared_and_a_mismatch() -> None:
    compared = {stand for stand in Stand if stand.compared}
    assert compared == {Stand.MATCH, Stand.ALLOWED, Stand.MISMATCH, Stand.MISSING}
    assert {stand for stand in Stand if stand.mismatched} == {Stand.MISMATCH, Stand.MISSING}
    assert {stand for stand in Stand if stand.counted} == compared | {Stand.NOT_COMPARABLE}


def granted(
    made: timedelta,
    ended: timedelta | None = None,
    *,
    signature: str = "s1",
    tenant: str | None = None,
    severity: Severity = Severity.major,
) -> Granted:
    cover = Cover(UUID(int=3), signature, tenant, severity, T0 + 90 * DAY)
    return Granted(cover, T0 + made, None if ended is None else T0 + ended)


@pytest.mark.parametrize(
    ("allowances", "allowed"),
    [
        ([granted(-DAY)], True),
        ([granted(DAY)], False),
        ([granted(-2 * DAY, -DAY)], False),
        ([granted(-2 * DAY, DAY), granted(DAY)], True),
        ([granted(-DAY, tenant="acme")], True),
        ([granted(-DAY, tenant="other")], False),
        ([granted(-DAY, severity=Severity.minor)], False),
        ([granted(-DAY, signature="s2")], False),
        ([], False),
    ],
)
def test_allowed_is_what_was_so_when_its_event_was_accepted(allowances: list[Granted], allowed: bool) -> None:
    assert was_allowed(PAIR, [("s1", Severity.major)], allowances) is allowed
    found = stand_of(replace(PAIR, verdict=Verdict.allowed), EPOCH, allowed=allowed)
    assert found is (Stand.ALLOWED if allowed else Stand.MISMATCH)


def test_every_difference_must_have_been_allowed() -> None:
    both = [("s1", Severity.major), ("s2", Severity.minor)]
    assert not was_allowed(PAIR, both, [granted(-DAY)])
    assert was_allowed(PAIR, both, [granted(-DAY), granted(-DAY, signature="s2")])
