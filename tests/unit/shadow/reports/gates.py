"""Reports of gates, to be told apart by what a test says of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shadow.gate.report import Condition, ConditionName, Counted, GateReport, State

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def condition(name: ConditionName, state: State = State.MET, says: str = "fine") -> Condition:
    return Condition(name, state, 1.0, 2.0, says)


def report(task: str, *blockers: Condition, **more: Any) -> GateReport:
    """Of a gate that is shut by these conditions alone; open without any."""
    told: dict[str, Any] = {
        "category": None,
        "epoch": None,
        "epoch_number": 1,
        "epoch_started_at": None,
        "candidate_version": None,
        "legacy_version": None,
        "live": Counted(match=40, mismatch=1),
        "replayed": Counted(match=10),
        "pending": 2,
        "budget": 0.01,
        "alpha": 0.05,
        "e_value": 3.5,
        "upper_bound": 0.08,
        "pairs_needed": 0 if not blockers else 260,
        "pairs_a_day": 100.0,
        "opens_at": None,
        "evaluated_at": NOON,
    }
    met = [condition(name) for name in ConditionName if name not in {blocker.name for blocker in blockers}]
    return GateReport(task=task, open=not blockers, conditions=(*blockers, *met), **{**told, **more})
