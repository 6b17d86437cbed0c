"""The timing comparator: did the candidate take longer than was agreed? Off unless the rules agree on a ratio.

How long a run takes says nothing of what it did, and a slow day of a target is no fault of the port. So nothing is
compared by default, and a candidate that is faster is no difference ever.
"""

from __future__ import annotations

from collections.abc import Iterator

from comparators.case import Case
from comparators.ledger import Outcome
from comparators.rules import Rules
from comparators.sentence import lasted
from comparators.verdict import Difference, Severity


def compare_timing(case: Case) -> Iterator[Difference]:
    """The one difference that the candidate's run took too long."""
    if not too_long(case.rules, case.legacy, case.candidate):
        return
    legacy, candidate = seconds(case.legacy), seconds(case.candidate)
    assert legacy is not None
    assert candidate is not None
    yield case.difference(
        "timing",
        ("outcome", "seconds"),
        legacy=round(legacy, 3),
        candidate=round(candidate, 3),
        severity=Severity.minor,
        sentence=lasted(legacy, candidate),
    )


def too_long(rules: Rules, legacy: Outcome, candidate: Outcome) -> bool:
    """Whether the candidate's run took longer than the rules allow; of runs that ended differently it says nothing."""
    if rules.latency is None or legacy.status != candidate.status:
        return False
    return rules.latency.exceeded(seconds(legacy), seconds(candidate))


def seconds(outcome: Outcome) -> float | None:
    """How long a run took; None where it is not known."""
    if outcome.duration_ms is not None:
        return outcome.duration_ms / 1000
    if outcome.started_at is None or outcome.finished_at is None:
        return None
    return max(outcome.finished_at - outcome.started_at, 0.0)
