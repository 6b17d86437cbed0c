"""Gates, phases, moves, the board and costs as gauges: what is kept of them, nothing evaluated anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prometheus_client.metrics_core import GaugeMetricFamily
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.costs.usage import UNSOLICITED
from shadow.cutover.decision import Phase
from shadow.gate.report import Counted, GateReport
from shadow.reports import board as boards
from shadow.reports import costs as bills
from shadow.reports.board_shapes import Board
from shadow.reports.cost_shapes import Costs
from shadow.store.tables import moves

GAUGES = {
    "shadow_task_info": (
        "1 for the category (`none` where it has none) and the route of a task.",
        ["task", "category", "route"],
    ),
    "shadow_task_ready": ("Whether the task's route may take its next step now.", ["task"]),
    "shadow_task_blocked": ("1 for what keeps the task from its next phase.", ["task", "blocker"]),
    "shadow_tasks": ("Tasks in this phase.", ["category", "phase"]),
    "shadow_phase_share": ("Percent of keys for which the candidate has authority.", ["task"]),
    "shadow_moves": ("Moves ever made to this phase.", ["to", "cause"]),
    "shadow_gate_open": ("Whether the gate is open; absent until it was evaluated.", ["task"]),
    "shadow_gate_pairs": ("Pairs that were compared in the epoch and count.", ["task", "origin"]),
    "shadow_gate_mismatches": ("Of them, those that differ or miss a run.", ["task", "origin"]),
    "shadow_gate_pending": ("Resolved pairs that wait for an older one without a verdict.", ["task"]),
    "shadow_gate_upper_bound": ("The mismatch rate is below it, with the gate's confidence.", ["task"]),
    "shadow_gate_budget": ("The share of pairs that may differ.", ["task"]),
    "shadow_gate_pairs_needed": (
        "Clean pairs that the statistic still needs; absent where none help, since it has regressed.",
        ["task"],
    ),
    "shadow_gate_condition": ("1 for the state in which a condition of the gate is.", ["task", "condition", "state"]),
    "shadow_gate_epoch": ("Number of the epoch that counts.", ["task"]),
    "shadow_cost_month": (
        "What a month of the task costs on that side, in the price book's currency; absent where nothing says.",
        ["task", "side"],
    ),
    "shadow_cost_run": ("What one run of it costs, without a share of monthly prices.", ["task", "side"]),
    "shadow_cost_saving_month": ("What a month of the task costs less on the candidate.", ["task"]),
    "shadow_cost_month_runs": ("Runs of the task that a month is expected to have.", ["task"]),
    "shadow_cost_runs_apart": (
        f"Runs of the last {bills.PRICE_DAYS} days that are in no projection.",
        ["side", "purpose"],
    ),
    "shadow_cost_unknown_tasks": ("Tasks of which nothing says what one of their sides costs.", []),
}
"""Name -> (what it says, its labels)."""

NO_CATEGORY = "none"
APART = ("replay", "canary", "legacy_twice", UNSOLICITED)
"""Purposes of runs that are in no projection; others are shown once there are any."""
_SHARES = {Phase.LEGACY: 0, Phase.SHADOW: 0, Phase.LIVE: 100, Phase.RETIRED: 100}


@dataclass(frozen=True)
class Migration:
    """What is true of the migration."""

    board: Board
    costs: Costs
    gates: Mapping[str, GateReport] = field(default_factory=dict)
    """By task; those that were not evaluated yet are left out."""
    moves: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(to phase, cause) -> how many there were."""
    left: Mapping[str, int] = field(default_factory=dict)
    """Task whose candidate has authority, or some -> what legacy still has to finish with it."""


async def read_migration(engine: AsyncEngine, catalogue: ResolvedCatalogue) -> Migration:
    """Read all of it now."""
    now = datetime.now(UTC)
    async with engine.connect() as connection:
        found = await boards.on_record(connection, catalogue, now)
        made = await _moves(connection)
        used = await bills.used(connection, now.date())
    return Migration(
        board=boards.board_of(catalogue, found, now),
        costs=bills.costs_of(catalogue, used),
        gates={task: report for task, report in found.reports.items() if task in catalogue.tasks},
        moves=made,
        left=found.left,
    )


async def _moves(connection: AsyncConnection) -> dict[tuple[str, str], int]:
    query = select(moves.c.to_phase, moves.c.cause, func.count()).group_by(moves.c.to_phase, moves.c.cause)
    return {(row[0], row[1]): row[2] for row in await connection.execute(query)}


def fill(made: Mapping[str, GaugeMetricFamily], migration: Migration) -> None:
    """Add the samples of a migration to the families of `GAUGES`."""
    _fill_board(made, migration)
    for task, report in migration.gates.items():
        _fill_gate(made, task, report)
    _fill_costs(made, migration.costs)


def _fill_board(made: Mapping[str, GaugeMetricFamily], migration: Migration) -> None:
    for row in migration.board.tasks:
        made["shadow_task_info"].add_metric([row.task, row.category or NO_CATEGORY, row.route], 1.0)
        made["shadow_task_ready"].add_metric([row.task], float(row.next.ready))
        share = _SHARES[row.phase] if row.share is None else row.share
        made["shadow_phase_share"].add_metric([row.task], share)
        for blocker in sorted({blocker.name for blocker in row.blockers}):
            made["shadow_task_blocked"].add_metric([row.task, blocker], 1.0)
    for category in migration.board.categories:
        for phase, number in category.phases.items():
            made["shadow_tasks"].add_metric([category.category or NO_CATEGORY, phase.value], number)
    for phase in Phase:
        for cause in ("person", "automatic"):
            made["shadow_moves"].add_metric([phase.value, cause], migration.moves.get((phase.value, cause), 0))


def _fill_gate(made: Mapping[str, GaugeMetricFamily], task: str, report: GateReport) -> None:
    made["shadow_gate_open"].add_metric([task], float(report.open))
    counted: tuple[tuple[str, Counted], ...] = (("live", report.live), ("replay", report.replayed))
    for origin, found in counted:
        made["shadow_gate_pairs"].add_metric([task, origin], found.compared)
        made["shadow_gate_mismatches"].add_metric([task, origin], found.mismatches)
    made["shadow_gate_pending"].add_metric([task], report.pending)
    made["shadow_gate_upper_bound"].add_metric([task], report.upper_bound)
    made["shadow_gate_budget"].add_metric([task], report.budget)
    if report.pairs_needed is not None:
        made["shadow_gate_pairs_needed"].add_metric([task], report.pairs_needed)
    for condition in report.conditions:
        made["shadow_gate_condition"].add_metric([task, condition.name.value, condition.state.value], 1.0)
    made["shadow_gate_epoch"].add_metric([task], report.epoch_number)


def _fill_costs(made: Mapping[str, GaugeMetricFamily], costs: Costs) -> None:
    for item in costs.items:
        for side, cost in ((Side.LEGACY, item.legacy), (Side.CANDIDATE, item.candidate)):
            if cost.total is not None:
                made["shadow_cost_month"].add_metric([item.task, side.value], cost.total)
            if cost.per_run is not None:
                made["shadow_cost_run"].add_metric([item.task, side.value], cost.per_run)
        if item.saving is not None:
            made["shadow_cost_saving_month"].add_metric([item.task], item.saving)
        made["shadow_cost_month_runs"].add_metric([item.task], item.runs)
    apart = {(found.side, found.purpose): found.runs for found in costs.apart}
    for key in sorted({*apart, *((side, purpose) for side in Side for purpose in APART)}):
        made["shadow_cost_runs_apart"].add_metric([key[0].value, key[1]], apart.get(key, 0))
    made["shadow_cost_unknown_tasks"].add_metric([], costs.total.unknown)
