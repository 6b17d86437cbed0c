"""One value on each side, under one rule."""

from __future__ import annotations

from comparators import JSON, Effect, Judgement, Ledger, Outcome, Rules, ValueRule, judge
from tests.unit.comparators.ledgers import CANDIDATE_START, LEGACY_START


def ledger(data: JSON, start: float = LEGACY_START) -> Ledger:
    """A run of three seconds with one effect."""
    outcome = Outcome("completed", None, started_at=start, finished_at=start + 3)
    return Ledger(outcome, (Effect("http", "x", "PUT /x", "1", data),))


def judged(legacy: JSON, candidate: JSON, *rules: ValueRule, known: JSON = None) -> Judgement:
    """Two runs, four and a half minutes apart, whose one effect has this data."""
    mine, theirs = ledger(legacy), ledger(candidate, CANDIDATE_START)
    return judge(mine, theirs, Rules(values=rules), task="t", known=known)


def same(legacy: JSON, candidate: JSON, *rules: ValueRule, known: JSON = None) -> bool:
    """Whether nothing differs under these rules."""
    return not judged(legacy, candidate, *rules, known=known).differences
