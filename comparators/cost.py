"""The cost comparator: did the candidate's run cost more than was agreed? Off unless the rules agree on a ratio.

What a run costs is what its platform says. Where one does not say, there is nothing to compare.
"""

from __future__ import annotations

from collections.abc import Iterator

from comparators.case import Case
from comparators.ledger import Outcome
from comparators.rules import Rules
from comparators.sentence import costed
from comparators.verdict import Difference, Severity


def compare_costs(case: Case) -> Iterator[Difference]:
    """The one difference that the candidate's run cost too much."""
    legacy, candidate = case.legacy.cost_cents, case.candidate.cost_cents
    if legacy is None or candidate is None or not too_dear(case.rules, case.legacy, case.candidate):
        return
    yield case.difference(
        "cost",
        ("outcome", "cost_cents"),
        legacy=legacy,
        candidate=candidate,
        severity=Severity.minor,
        sentence=costed(legacy, candidate),
    )


def too_dear(rules: Rules, legacy: Outcome, candidate: Outcome) -> bool:
    """Whether the candidate's run cost more than the rules allow; of runs that ended differently it says nothing."""
    if rules.cost is None or legacy.status != candidate.status:
        return False
    return rules.cost.exceeded(legacy.cost_cents, candidate.cost_cents)
