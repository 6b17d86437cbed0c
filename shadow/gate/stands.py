"""As what a pair counts: a pure function of its verdict, of what made it, and of the epoch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from comparators import Severity, Verdict
from shadow.catalogue.model import Side
from shadow.causes.authority import Purpose
from shadow.gate.epochs import Epoch
from shadow.gate.report import Counted
from shadow.gate.versions import is_another
from shadow.judge.deciding import Cover, Standing


class Stand(StrEnum):
    """What a pair is in its epoch. The first five are counted."""

    MATCH = "match"
    ALLOWED = "allowed"
    MISMATCH = "mismatch"
    MISSING = "missing"
    NOT_COMPARABLE = "not_comparable"
    OTHER_RULES = "other_rules"
    """It was judged with other rules than the epoch's."""
    OTHER_VERSION = "other_version"
    """A run is known to be of another version than the epoch's."""
    REPEATED = "repeated"
    """Its event has been counted in this epoch."""
    OTHER_PURPOSE = "other_purpose"
    """Its event was neither live nor replayed on the candidate."""

    @property
    def counted(self) -> bool:
        return self.value in _COUNTED

    @property
    def compared(self) -> bool:
        """Whether it is one of the n pairs of the statistic."""
        return self.counted and self is not Stand.NOT_COMPARABLE

    @property
    def mismatched(self) -> bool:
        """Whether it is one of the k mismatches."""
        return self in (Stand.MISMATCH, Stand.MISSING)


_COUNTED = frozenset(Counted.__dataclass_fields__)
_OF_VERDICT = {
    Verdict.match: Stand.MATCH,
    Verdict.mismatch: Stand.MISMATCH,
    Verdict.missing_candidate: Stand.MISSING,
    Verdict.missing_legacy: Stand.MISSING,
    Verdict.not_comparable: Stand.NOT_COMPARABLE,
}


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair that has its verdict."""

    id: UUID
    starts_at: datetime
    accepted_at: datetime
    """When its event was; of a replay: when that was started."""
    purpose: Purpose
    verdict: Verdict
    rules: str
    """With which it was judged."""
    tenant: str
    """Empty when the event has none."""
    legacy_version: str | None
    candidate_version: str | None
    replays: UUID | None = None
    """The pair whose event was run again."""


@dataclass(frozen=True, slots=True)
class Granted:
    """An allowance, and when it stood."""

    cover: Cover
    made_at: datetime
    ended_at: datetime | None

    def stood(self, moment: datetime) -> bool:
        return self.made_at <= moment < (self.ended_at or self.cover.expires_at)


def was_allowed(pair: Pair, differences: Iterable[tuple[str, Severity]], granted: Iterable[Granted]) -> bool:
    """Whether all that differs in a pair was allowed already when its event was accepted.

    What was only allowed after people could look at it is a criterion chosen by its result: for the statistic such a
    pair stays a mismatch.

    Args:
        differences: signature and severity of each.
    """
    standing = Standing(one.cover for one in granted if one.stood(pair.accepted_at))
    return all(standing.covering(signature, severity, pair.tenant) for signature, severity in differences)


def stand_of(pair: Pair, epoch: Epoch, *, allowed: bool, repeated: bool = False) -> Stand:
    """As what it counts.

    Args:
        allowed: `was_allowed`, where its verdict is `allowed`.
        repeated: its event has been counted in this epoch.
    """
    if pair.purpose not in (Purpose.LIVE, Purpose.REPLAY):
        return Stand.OTHER_PURPOSE
    versions = ((pair.legacy_version, Side.LEGACY), (pair.candidate_version, Side.CANDIDATE))
    if any(is_another(version, epoch.version(side)) for version, side in versions):
        return Stand.OTHER_VERSION
    if pair.rules != epoch.rules:
        return Stand.OTHER_RULES
    if repeated:
        return Stand.REPEATED
    if pair.verdict is Verdict.allowed:
        return Stand.ALLOWED if allowed else Stand.MISMATCH
    return _OF_VERDICT[pair.verdict]
