"""How long a run took and what it cost: compared where a ratio was agreed on, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from comparators import Ledger, Outcome, RatioRule, Rules, Severity, Verdict
from comparators.rules import RuleError
from tests.unit.comparators.ledgers import judged, kinds


def ran(seconds: float | None, cents: float | None = None, **more: Any) -> Ledger:
    duration = None if seconds is None else seconds * 1000
    return Ledger(Outcome(more.pop("status", "completed"), duration_ms=duration, cost_cents=cents, **more))


def test_neither_counts_unless_it_was_agreed_on() -> None:
    assert judged(ran(1, 1), ran(900, 900)).verdict is Verdict.match


LATENCY = Rules(latency=RatioRule(2.0, slack=1.0))


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        (ran(10), ran(21), []),
        (ran(10), ran(21.1), ["timing"]),
        # small figures are easily twice each other
        (ran(0.1), ran(1.1), []),
        # faster is never a fault
        (ran(10), ran(0.1), []),
        # what is not known exceeds nothing
        (ran(None), ran(99), []),
        (ran(1), ran(None), []),
        (ran(None, started_at=5.0, finished_at=7.0), ran(None, started_at=5.0, finished_at=99.0), ["timing"]),
        # of runs that ended differently that is what is to be said
        (ran(1), ran(99, status="failed"), ["outcome.status"]),
    ],
)
def test_a_candidate_may_take_so_much_longer(legacy: Ledger, candidate: Ledger, expected: list[str]) -> None:
    assert kinds(judged(legacy, candidate, LATENCY)) == expected


COST = Rules(cost=RatioRule(1.5))


@pytest.mark.parametrize(
    ("legacy", "candidate", "expected"),
    [
        (ran(1, 2), ran(1, 3), []),
        (ran(1, 2), ran(1, 3.1), ["cost"]),
        (ran(1, 2), ran(1, 0), []),
        # a platform that tells no cost
        (ran(1, 2), ran(1, None), []),
        (ran(1, None), ran(1, 5), []),
    ],
)
def test_a_candidate_may_cost_so_much_more(legacy: Ledger, candidate: Ledger, expected: list[str]) -> None:
    assert kinds(judged(legacy, candidate, COST)) == expected


def test_they_are_minor_and_say_what_was_found() -> None:
    (slow,) = judged(ran(1), ran(4.25), LATENCY).differences
    assert (slow.severity, slow.sentence) == (Severity.minor, "candidate took 4.2 s; legacy 1.0 s")
    assert (slow.path, slow.legacy, slow.candidate) == ("$['outcome']['seconds']", 1.0, 4.25)
    (dear,) = judged(ran(1, 0.5), ran(1, 2), COST).differences
    assert (dear.severity, dear.sentence) == (Severity.minor, "candidate cost 2 cents; legacy 0.5 cents")


@pytest.mark.parametrize("arguments", [(0.9,), (float("nan"),), (float("inf"),), (2.0, -1.0), (2.0, float("nan"))])
def test_a_ratio_that_no_run_could_keep_is_refused(arguments: tuple[float, ...]) -> None:
    with pytest.raises(RuleError):
        RatioRule(*arguments)
