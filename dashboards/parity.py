"""The parity dashboard: how each task's candidate does, what differs, and whether anything is stuck."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DataSourceRef,
    VariableRefresh,
    VariableSort,
)

from dashboards.panels import (
    DATASOURCE,
    NEUTRAL,
    NONE_IS_GOOD,
    SHARE,
    Query,
    bars,
    figure,
    lines,
    ranking,
    steps,
    verdicts,
)

_COMPARED = 'verdict=~"match|mismatch|missing_candidate|missing_legacy"'
_WRONG = 'verdict=~"mismatch|missing_candidate|missing_legacy"'
_TASK = 'task=~"$task"'


def parity() -> Dashboard:
    """The dashboard as Grafana's model."""
    board = (
        dashboards.Dashboard("Shadow: parity")
        .uid("shadow-parity")
        .description("Does the candidate do what legacy does? From the tallies; no figure counts silence as success.")
        .tags(["shadow"])
        .timezone("utc")
        .time("now-24h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(
            dashboards.QueryVariable("task")
            .label("Task")
            .query("label_values(shadow_pairs_opened, task)")
            .datasource(DataSourceRef(type_val="prometheus", uid=DATASOURCE))
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
    )
    for part in (_now, _over_time, _what_differs, _deliveries, _queue):
        board = part(board)
    built = board.build()
    for number, panel in enumerate(built.panels or (), start=1):
        panel.id_val = number  # the builders leave them out, and Grafana would make them up anew each time
    return built


def _now(board: dashboards.Dashboard) -> dashboards.Dashboard:
    return (
        board.with_row(dashboards.Row("Now"))
        .with_panel(
            figure(
                "Parity",
                "match / (match + mismatch + missing) over the chosen tasks. Allowed pairs are in neither.",
                Query(f'sum(shadow_pairs{{{_TASK},verdict="match"}}) / sum(shadow_pairs{{{_TASK},{_COMPARED}}})'),
                unit="percentunit",
                thresholds=SHARE,
            )
            .height(5)
            .span(4)
        )
        .with_panel(
            figure(
                "Pairs",
                "Pairs opened for the chosen tasks.",
                Query(f"sum(shadow_pairs_opened{{{_TASK}}})"),
                thresholds=NEUTRAL,
            )
            .height(5)
            .span(4)
        )
        .with_panel(
            figure(
                "Pending",
                "Pairs without a verdict yet, and events whose pairs are not opened yet.",
                Query(f'sum(shadow_pairs{{{_TASK},verdict="pending"}}) + sum(shadow_events_undelivered{{{_TASK}}})'),
                thresholds=NEUTRAL,
            )
            .height(5)
            .span(4)
        )
        .with_panel(
            figure(
                "Not comparable",
                "Pairs that could not be compared. They count neither for nor against.",
                Query(f'sum(shadow_pairs{{{_TASK},verdict="not_comparable"}})'),
                thresholds=steps("green", (1, "yellow")),
            )
            .height(5)
            .span(4)
        )
        .with_panel(
            figure(
                "Allowed",
                "Pairs that differ only in what allowances cover. They are no matches.",
                Query(f'sum(shadow_pairs{{{_TASK},verdict="allowed"}})'),
                thresholds=NEUTRAL,
            )
            .height(5)
            .span(4)
        )
        .with_panel(
            figure(
                "Dead letters",
                "Dispatches that their platform will not take, on both sides.",
                Query("sum(shadow_dead_letters)"),
                thresholds=NONE_IS_GOOD,
            )
            .height(5)
            .span(4)
        )
    )


def _over_time(board: dashboards.Dashboard) -> dashboards.Dashboard:
    return (
        board.with_row(dashboards.Row("Tasks"))
        .with_panel(
            bars(
                "Parity per task",
                "Worst first. A task of which nothing was compared has no bar.",
                Query(f"sort(shadow_parity_ratio{{{_TASK}}})", "{{task}}"),
            )
            .height(10)
            .span(12)
        )
        .with_panel(
            verdicts(
                lines(
                    "Verdicts",
                    "All pairs of the chosen tasks. A verdict may go down when its pairs are judged again.",
                    Query(f"sum by (verdict) (shadow_pairs{{{_TASK}}})", "{{verdict}}"),
                    stacked=True,
                )
            )
            .height(10)
            .span(12)
        )
    )


def _what_differs(board: dashboards.Dashboard) -> dashboards.Dashboard:
    return (
        board.with_row(dashboards.Row("What differs"))
        .with_panel(
            ranking(
                "Tasks with the most pairs that differ or miss a run",
                "The ten worst, by kind of shortfall.",
                Query(f"sort_desc(topk(10, sum by (task, verdict) (shadow_pairs{{{_TASK},{_WRONG}}}) > 0))"),
                [("task", "task"), ("verdict", "verdict")],
            )
            .height(9)
            .span(10)
        )
        .with_panel(
            ranking(
                "Most frequent differences",
                "By signature, where it is not allowed; GET /v1/signatures/SIGNATURE shows an example.",
                Query(
                    f"sort_desc(topk(10, max by (task, kind, severity, signature) (shadow_signature_pairs{{{_TASK}}})))"
                ),
                [("task", "task"), ("kind", "difference"), ("severity", "severity"), ("signature", "signature")],
            )
            .height(9)
            .span(14)
        )
    )


def _deliveries(board: dashboards.Dashboard) -> dashboards.Dashboard:
    return (
        board.with_row(dashboards.Row("Deliveries"))
        .with_panel(
            lines(
                "Events accepted",
                "Made durable a second, by door.",
                Query('sum by (door) (rate(shadow_events_total{result="accepted"}[$__rate_interval]))', "{{door}}"),
                unit="ops",
            )
            .height(8)
            .span(8)
        )
        .with_panel(
            lines(
                "Answer time",
                "99 of 100 requests at a door are answered within this.",
                Query(
                    "histogram_quantile(0.99,"
                    " sum by (le, door) (rate(shadow_accept_seconds_bucket[$__rate_interval])))",
                    "{{door}}",
                ),
                unit="s",
            )
            .height(8)
            .span(8)
        )
        .with_panel(
            lines(
                "Deliveries",
                "Dispatches handed to the platforms a second, by result.",
                Query("sum by (side, result) (rate(shadow_deliveries_total[$__rate_interval]))", "{{side}} {{result}}"),
                unit="ops",
            )
            .height(8)
            .span(8)
        )
    )


def _queue(board: dashboards.Dashboard) -> dashboards.Dashboard:
    return (
        board.with_row(dashboards.Row("Queue"))
        .with_panel(
            lines(
                "Dispatches waiting",
                "In the queue, dead letters left out.",
                Query('sum by (side, state) (shadow_dispatches{state!="dead"})', "{{side}} {{state}}"),
            )
            .height(8)
            .span(8)
        )
        .with_panel(
            lines(
                "Oldest dispatch",
                "Age of the oldest that is due, by side.",
                Query("max by (side) (shadow_dispatch_oldest_seconds)", "{{side}}"),
                unit="s",
            )
            .height(8)
            .span(8)
        )
        .with_panel(
            lines(
                "Dead letters and open breakers",
                "Both should be 0.",
                Query("sum by (side) (shadow_dead_letters)", "dead letters {{side}}"),
                Query('max by (platform) (shadow_breaker_state{state="open"})', "breaker {{platform}}"),
            )
            .height(8)
            .span(8)
        )
    )
