"""Panels in the one style that all dashboards share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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


def bars(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str = "short",
    most: float | None = None,
    thresholds: dashboards.ThresholdsConfig = NEUTRAL,
    nothing: str = "none",
) -> bargauge.Panel:
    """A bar a series. `most`: of a full bar; the longest is full without it."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(_REF)
        .with_target(_target(query, "A", instant=True))
        .unit(unit)
        .min(0)
        .thresholds(thresholds)
        .no_value(nothing)
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.GRADIENT)
    )
    return panel if most is None else panel.max(most)


def lines(
    title: str, description: str, *queries: Query, unit: str = "short", stacked: bool = False, below_zero: bool = False
) -> timeseries.Panel:
    """Series over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(_REF)
        .unit(unit)
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
    if not below_zero:
        panel = panel.min(0)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL))
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel = panel.with_target(_target(query, letter))
    return panel


PHASES = {"legacy": GREY, "shadow": "blue", "ramp": YELLOW, "live": GREEN, "retired": "dark-green"}


def phases(panel: timeseries.Panel) -> timeseries.Panel:
    """The panel with each phase in its colour, the same on every dashboard."""
    for phase, colour in PHASES.items():
        panel = panel.override_by_name(phase, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})])
    return panel


def verdicts(panel: timeseries.Panel) -> timeseries.Panel:
    """The panel with each verdict in its colour, the same on every dashboard."""
    for verdict, colour in _VERDICT_COLOURS.items():
        panel = panel.override_by_name(verdict, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})])
    return panel


@dataclass(frozen=True)
class Column:
    """A column of a table: a label of the series, or the value of a query."""

    name: str
    """The label; `Value` of the one query, or `Value #A` of the first of several."""
    heading: str
    link: str | None = None
    """Where a click on a cell leads below the control port; `${__value.text}` is what the cell says."""
    unit: str | None = None
    width: int | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    """What is shown in place of a value."""


def ranking(title: str, description: str, query: Query, columns: Sequence[Column]) -> table.Panel:
    """The series of a query as rows, in its order."""
    return _table(title, description, [query], columns)


def joined(title: str, description: str, queries: Sequence[Query], by: str, columns: Sequence[Column]) -> table.Panel:
    """Several queries as one table, a row for each value of the label `by`; their columns are `Value #A` and so on."""
    return _table(title, description, queries, columns, by)


def _table(
    title: str, description: str, queries: Sequence[Query], columns: Sequence[Column], by: str | None = None
) -> table.Panel:
    panel = table.Panel().title(title).description(description).datasource(_REF)
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel = panel.with_target(_target(query, letter, instant=True).format(PromQueryFormat.TABLE))
    if by is not None:
        panel = panel.with_transformation(
            DataTransformerConfig(id_val="joinByField", options={"byField": by, "mode": "outer"})
        )
    headings = {column.name: column.heading for column in columns}
    panel = panel.with_transformation(
        DataTransformerConfig(
            id_val="filterFieldsByName",
            options={"include": {"names": list(headings)}},
        )
    ).with_transformation(
        DataTransformerConfig(
            id_val="organize",
            options={"indexByName": {name: index for index, name in enumerate(headings)}, "renameByName": headings},
        )
    )
    for column in columns:
        if properties := _properties(column):
            panel = panel.override_by_name(column.heading, properties)
    return panel.show_header(True).no_value("none")


def _properties(column: Column) -> list[DynamicConfigValue]:
    found = []
    if column.width is not None:
        found.append(DynamicConfigValue("custom.width", column.width))
    if column.unit is not None:
        found.append(DynamicConfigValue("unit", column.unit))
    if column.link is not None:
        link = {"title": f"Open {column.heading}", "url": f"${{control}}{column.link}", "targetBlank": True}
        found.append(DynamicConfigValue("links", [link]))
    if column.words:
        words = {value: {"text": word, "index": index} for index, (value, word) in enumerate(column.words.items())}
        found.append(DynamicConfigValue("mappings", [{"type": "value", "options": words}]))
    return found


def _target(query: Query, letter: str, *, instant: bool = False) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expression).ref_id(letter).datasource(_REF)
    if query.legend:
        target = target.legend_format(query.legend)
    return target.instant() if instant else target.range()
