"""Panels in the one style that all dashboards share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = "shadow-prometheus"
"""Uid of the data source; see provisioning/datasources/."""

_REF = DataSourceRef(type_val="prometheus", uid=DATASOURCE)

GREEN, YELLOW, RED, GREY = "green", "yellow", "red", "text"
_VERDICT_COLOURS = {
    "match": GREEN,
    "allowed": "semi-dark-green",
    "mismatch": RED,
    "missing_candidate": "orange",
    "missing_legacy": "purple",
    "not_comparable": YELLOW,
    "pending": "blue",
}


@dataclass(frozen=True)
class Query:
    """A PromQL expression and how its series are called."""

    expression: str
    legend: str = ""


def steps(first: str, *later: tuple[float, str]) -> dashboards.ThresholdsConfig:
    """Colours from a value on: `first` below all of `later`."""
    found = [Threshold(value=None, color=first), *(Threshold(value=at, color=colour) for at, colour in later)]
    return dashboards.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(found)


SHARE = steps(RED, (0.95, YELLOW), (0.999, GREEN))
"""Of a parity."""
NONE_IS_GOOD = steps(GREEN, (1, RED))
"""Of a count that should be 0."""
NEUTRAL = steps(GREY)


def figure(
    title: str, description: str, query: Query, *, unit: str = "short", thresholds: dashboards.ThresholdsConfig
) -> stat.Panel:
    """One number."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(_REF)
        .with_target(_target(query, "A", instant=True))
        .unit(unit)
        .thresholds(thresholds)
        .no_value("none")
        .graph_mode(options.BigValueGraphMode.NONE)
    )


def bars(title: str, description: str, query: Query, *, unit: str = "percentunit") -> bargauge.Panel:
    """A bar a series."""
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(_REF)
        .with_target(_target(query, "A", instant=True))
        .unit(unit)
        .min(0)
        .max(1)
        .thresholds(SHARE)
        .no_value("nothing compared yet")
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.GRADIENT)
    )


def lines(
    title: str, description: str, *queries: Query, unit: str = "short", stacked: bool = False
) -> timeseries.Panel:
    """Series over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(_REF)
        .unit(unit)
        .min(0)
        .line_width(1)
        .fill_opacity(40 if stacked else 8)
        .legend(
            common.VizLegendOptions()
            .display_mode(options.LegendDisplayMode.LIST)
            .placement(options.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL))
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel = panel.with_target(_target(query, letter))
    return panel


def verdicts(panel: timeseries.Panel) -> timeseries.Panel:
    """The panel with each verdict in its colour, the same on every dashboard."""
    for verdict, colour in _VERDICT_COLOURS.items():
        panel = panel.override_by_name(verdict, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})])
    return panel


def ranking(
    title: str, description: str, query: Query, columns: Sequence[tuple[str, str]], *, value: str = "pairs"
) -> table.Panel:
    """The series of a query as rows, largest first. `columns`: (label, heading) from left to right."""
    shown = [label for label, _heading in columns]
    headings = {**dict(columns), "Value": value}
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(_REF)
        .with_target(_target(query, "A", instant=True).format(PromQueryFormat.TABLE))
        .with_transformation(
            DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True},
                    "indexByName": {name: index for index, name in enumerate(["Value", *shown])},
                    "renameByName": headings,
                },
            )
        )
        .override_by_name(value, [DynamicConfigValue("custom.width", 90)])
        .show_header(True)
        .no_value("none")
    )


def _target(query: Query, letter: str, *, instant: bool = False) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expression).ref_id(letter).datasource(_REF)
    if query.legend:
        target = target.legend_format(query.legend)
    return target.instant() if instant else target.range()
