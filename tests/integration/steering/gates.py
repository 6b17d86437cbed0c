"""What gates say, made up: for tests of who listens to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from shadow.catalogue import ResolvedCatalogue
from shadow.gate.report import Condition, ConditionName, Counted, GateReport, State
from shadow.steering.moving import Look
from shadow.store.database import Database

SAYS = "the mismatch rate is not shown to be below 1.0 %: 120 more clean pairs are needed."


def report(task: str, *, is_open: bool) -> GateReport:
    state = State.MET if is_open else State.UNMET
    return GateReport(
        task=task,
        category=None,
        open=is_open,
        epoch=None,
        epoch_number=1,
        epoch_started_at=None,
        candidate_version=None,
        legacy_version=None,
        live=Counted(match=400),
        replayed=Counted(),
        pending=0,
        budget=0.01,
        alpha=0.05,
        e_value=1e300,
        upper_bound=0.009,
        pairs_needed=0,
        pairs_a_day=100.0,
        opens_at=None,
        conditions=(Condition(ConditionName.STATISTIC, state, 0.02, 0.01, SAYS),),
        evaluated_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


def gates(*closed: str) -> Look:
    """All gates are open but these."""

    async def look(
        database: Database, catalogue: ResolvedCatalogue, tasks: Collection[str]
    ) -> Mapping[str, GateReport]:
        return {task: report(task, is_open=task not in closed) for task in tasks}

    return look
