"""Cost: what a month costs on either side, and what moving saves."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.frame import TASK, Placed, Section, dashboard
from dashboards.panels import NEUTRAL, Column, Query, bars, figure, joined, lines, steps

_MONEY = "locale"
"""A number with its thousands apart; the currency is the price book's."""
_KNOWN = f"shadow_cost_saving_month{{{TASK}}}"


def cost() -> Dashboard:
    """The dashboard as Grafana's model."""
    return dashboard(
        "cost",
        "shadow-cost",
        "What a month costs at the volume of the last seven days, in the price book's currency. Runs of replays and"
        " canaries are apart.",
        _now(),
        _tasks(),
        by_category=True,
        by_task=True,
    )


def _side(side: str) -> str:
    """What a month costs on that side, of tasks of which both sides are known."""
    return f'sum(shadow_cost_month{{{TASK},side="{side}"}} and on (task) {_KNOWN}) or vector(0)'


def _now() -> Section:
    return Section(
        "A month",
        [
            Placed(
                figure(
                    "Legacy",
                    "Of the chosen tasks of which both sides' costs are known.",
                    Query(_side("legacy")),
                    unit=_MONEY,
                    thresholds=NEUTRAL,
                ),
                6,
                5,
            ),
            Placed(
                figure(
                    "Candidate",
                    "Of the same tasks.",
                    Query(_side("candidate")),
                    unit=_MONEY,
                    thresholds=NEUTRAL,
                ),
                6,
                5,
            ),
            Placed(
                figure(
                    "Saving",
                    "What the candidate costs less; fixed prices are saved only once the last task has left.",
                    Query(f"sum({_KNOWN}) or vector(0)"),
                    unit=_MONEY,
                    thresholds=steps("red", (0, "green")),
                ),
                6,
                5,
            ),
            Placed(
                figure(
                    "Tasks of unknown cost",
                    "Of all tasks, those of which nothing says what one of their sides costs: they are in no sum.",
                    Query("sum(shadow_cost_unknown_tasks)"),
                    thresholds=steps("green", (1, "yellow")),
                ),
                6,
                5,
            ),
            Placed(
                lines(
                    "A month, over time",
                    "As it was projected at each moment, of the chosen tasks, by side.",
                    Query(f"sum by (side) (shadow_cost_month{{{TASK}}})", "{{side}}"),
                    unit=_MONEY,
                ),
                12,
                9,
            ),
            Placed(
                lines(
                    "Runs a month",
                    "Expected of the chosen tasks, by the volume of the last seven days.",
                    Query(f"sum(shadow_cost_month_runs{{{TASK}}})", "runs"),
                ),
                12,
                9,
            ),
        ],
    )


def _tasks() -> Section:
    return Section(
        "Tasks",
        [
            Placed(
                joined(
                    "A month by task",
                    "Empty where nothing says what a side costs. /v1/costs says what each figure rests on.",
                    [
                        Query(f"sum by (task) (shadow_cost_month_runs{{{TASK}}})"),
                        Query(f'sum by (task) (shadow_cost_month{{{TASK},side="legacy"}})'),
                        Query(f'sum by (task) (shadow_cost_month{{{TASK},side="candidate"}})'),
                        Query(f"sum by (task) (shadow_cost_saving_month{{{TASK}}})"),
                        Query(f'sum by (task) (shadow_cost_run{{{TASK},side="legacy"}})'),
                        Query(f'sum by (task) (shadow_cost_run{{{TASK},side="candidate"}})'),
                    ],
                    "task",
                    [
                        Column("task", "task", link="/pages/tasks/${__value.text}"),
                        Column("Value #A", "runs", unit="locale"),
                        Column("Value #B", "legacy", unit=_MONEY),
                        Column("Value #C", "candidate", unit=_MONEY),
                        Column("Value #D", "saving", unit=_MONEY),
                        Column("Value #E", "a run on legacy"),
                        Column("Value #F", "a run on the candidate"),
                    ],
                ),
                16,
                12,
            ),
            Placed(
                bars(
                    "Runs that are in no projection",
                    "Of the last 30 days, all tasks: replays, canaries, and runs that nothing of ours expected.",
                    Query(
                        "sort_desc(sum by (side, purpose) (shadow_cost_runs_apart))",
                        "{{side}} {{purpose}}",
                    ),
                ),
                8,
                12,
            ),
        ],
    )
