"""The migration: which tasks stand where, which may move, and what holds the others."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.frame import CATEGORY, Placed, Section, dashboard, of_category
from dashboards.panels import (
    NEUTRAL,
    NONE_IS_GOOD,
    Column,
    Query,
    bars,
    figure,
    joined,
    lines,
    phases,
    steps,
)


def migration() -> Dashboard:
    """The dashboard as Grafana's model."""
    return dashboard(
        "migration",
        "shadow-migration",
        "How far is the migration, which tasks may move, and what holds the others? As on the board (/v1/board).",
        _now(),
        _progress(),
        _tasks(),
        by_category=True,
    )


def _now() -> Section:
    moved = f'sum(shadow_tasks{{{CATEGORY},phase=~"live|retired"}}) / sum(shadow_tasks{{{CATEGORY}}})'
    return Section(
        "Now",
        [
            Placed(
                figure(
                    "Moved",
                    "The share of tasks that stand in live or retired.",
                    Query(moved),
                    unit="percentunit",
                    thresholds=NEUTRAL,
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "May move now",
                    "Tasks whose whole route may take its next step.",
                    Query(f"sum({of_category('shadow_task_ready')})"),
                    thresholds=steps("text", (1, "green")),
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Gates open",
                    "Of the gates that were evaluated.",
                    Query(f"sum({of_category('shadow_gate_open')})"),
                    thresholds=steps("text", (1, "green")),
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Gates regressed",
                    "Gates that had opened, and whose mismatch rate was shown to be above the budget since.",
                    Query(
                        'count(shadow_gate_condition{condition="regression",state="unmet"}'
                        f" * on (task) group_left (category) shadow_task_info{{{CATEGORY}}}) or vector(0)"
                    ),
                    thresholds=NONE_IS_GOOD,
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Moved back by itself",
                    "Moves back that Shadow made without a person, ever, of all tasks.",
                    Query("sum(shadow_automatic_moves)"),
                    thresholds=steps("green", (1, "yellow")),
                ),
                4,
                5,
            ),
            Placed(
                figure(
                    "Leaks",
                    "Writes of runs without authority that reached their target, ever, of all tasks.",
                    Query("sum(shadow_leaks)"),
                    thresholds=NONE_IS_GOOD,
                ),
                4,
                5,
            ),
        ],
    )


def _progress() -> Section:
    return Section(
        "Progress",
        [
            Placed(
                phases(
                    lines(
                        "Tasks by phase",
                        "The burn-up: tasks reach live, then retired. Days before Prometheus looked are in /v1/board.",
                        Query(f"sum by (phase) (shadow_tasks{{{CATEGORY}}})", "{{phase}}"),
                        stacked=True,
                    )
                ),
                12,
                9,
            ),
            Placed(
                bars(
                    "What holds tasks back",
                    "Tasks that each blocker keeps from their next phase; a task may have several.",
                    Query(
                        f"sort_desc(sum by (blocker) ({of_category('shadow_task_blocked')}))",
                        "{{blocker}}",
                    ),
                    nothing="nothing",
                ),
                6,
                9,
            ),
            Placed(
                bars(
                    "Clean pairs still needed",
                    "By task, of those whose gate is furthest from opening.",
                    Query(f"sort_desc(topk(15, {of_category('shadow_gate_pairs_needed')}))", "{{task}}"),
                ),
                6,
                9,
            ),
            Placed(
                lines(
                    "Moves",
                    "Ever made, by who made them. A person's and Shadow's own, which only lead back.",
                    Query("sum by (cause) (shadow_moves)", "{{cause}}"),
                ),
                12,
                7,
            ),
            Placed(
                lines(
                    "Legacy still has to finish",
                    "Runs with authority that legacy began before its tasks moved on.",
                    Query(f"sum({of_category('shadow_draining_runs')}) or vector(0)", "runs"),
                ),
                12,
                7,
            ),
        ],
    )


def _tasks() -> Section:
    return Section(
        "Tasks",
        [
            Placed(
                joined(
                    "Tasks",
                    "Every task with what its gate says. A click on a task opens its page.",
                    [
                        Query(_by_task("shadow_task_ready")),
                        Query(_by_task("shadow_phase_share")),
                        Query(_by_task("shadow_gate_open")),
                        Query(_by_task("sum by (task) (shadow_gate_pairs)")),
                        Query(_by_task("sum by (task) (shadow_gate_mismatches)")),
                        Query(_by_task("shadow_gate_upper_bound")),
                        Query(_by_task("shadow_gate_pairs_needed")),
                    ],
                    "task",
                    [
                        Column("task", "task", link="/pages/tasks/${__value.text}"),
                        Column("Value #A", "may move now", words={"0": "no", "1": "yes"}),
                        Column("Value #B", "candidate's share", unit="percent"),
                        Column("Value #C", "gate", words={"0": "closed", "1": "open"}),
                        Column("Value #D", "pairs"),
                        Column("Value #E", "mismatches"),
                        Column("Value #F", "rate is below", unit="percentunit"),
                        Column("Value #G", "pairs needed"),
                    ],
                ),
                16,
                14,
            ),
            Placed(
                joined(
                    "Categories",
                    "Tasks of each category by phase.",
                    [
                        Query(f'sum by (category) (shadow_tasks{{{CATEGORY},phase="{phase}"}})')
                        for phase in ("legacy", "shadow", "ramp", "live", "retired")
                    ],
                    "category",
                    [
                        Column("category", "category"),
                        Column("Value #A", "legacy", width=70),
                        Column("Value #B", "shadow", width=75),
                        Column("Value #C", "ramp", width=65),
                        Column("Value #D", "live", width=60),
                        Column("Value #E", "retired", width=70),
                    ],
                ),
                8,
                14,
            ),
        ],
    )


def _by_task(expression: str) -> str:
    """One series a task of the chosen categories, and no label but that."""
    return f"sum by (task) ({of_category(expression)})"
