"""What all dashboards share: their frame, their rows, and the variables by which one chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Panel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from dashboards.panels import DATASOURCE

TAG = "shadow"
CONTROL = "http://127.0.0.1:8485"
"""Where people reach the control port, unless the dashboard's variable says otherwise."""

TASK = 'task=~"$task"'
"""The chosen tasks."""
CATEGORY = 'category=~"$category"'
"""The chosen categories."""


@dataclass(frozen=True)
class Placed:
    """A panel and the room it takes, in the grid's 24 columns."""

    panel: Builder[Panel]
    width: int
    height: int = 8


@dataclass(frozen=True)
class Section:
    """A row of panels, or several."""

    title: str
    panels: Sequence[Placed]


def dashboard(
    title: str, uid: str, description: str, *sections: Section, by_category: bool = False, by_task: bool = False
) -> Dashboard:
    """A dashboard as Grafana's model.

    Args:
        by_category: whether one may choose categories.
        by_task: whether one may choose tasks: of the chosen categories.
    """
    board = (
        dashboards.Dashboard(f"Shadow: {title}")
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("utc")
        .time("now-24h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            dashboards.DashboardLink("Shadow")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .keep_time(True)
            .include_vars(True)
        )
    )
    if by_category:
        board = board.with_variable(_choice("category", "Category", "label_values(shadow_task_info, category)"))
    if by_task:
        known = (
            f"label_values(shadow_task_info{{{CATEGORY}}}, task)"
            if by_category
            else "label_values(shadow_task_info, task)"
        )
        board = board.with_variable(_choice("task", "Task", known))
    address = VariableOption(selected=True, text=CONTROL, value=CONTROL)
    board = board.with_variable(
        dashboards.TextBoxVariable("control")
        .label("Control port")
        .description("Where links lead: the control port, as your browser reaches it.")
        .default_value(CONTROL)
        .current(address)
        .options([address])
    )
    for section in sections:
        board = board.with_row(dashboards.Row(section.title))
        for placed in section.panels:
            sized = placed.panel
            sized.span(placed.width).height(placed.height)  # type: ignore[attr-defined]  # every panel builder has both
            board = board.with_panel(sized)
    built = board.build()
    for number, panel in enumerate(built.panels or (), start=1):
        panel.id_val = number  # the builders leave them out, and Grafana would make them up anew each time
    return built


def of_category(expression: str) -> str:
    """Those series of an expression, which has one for each task, whose tasks are of the chosen categories."""
    return f"({expression}) * on (task) group_left (category) shadow_task_info{{{CATEGORY}}}"


def _choice(name: str, label: str, query: str) -> dashboards.QueryVariable:
    # "All" is every value there is, not a pattern: so all tasks are those of the chosen categories.
    return (
        dashboards.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(DataSourceRef(type_val="prometheus", uid=DATASOURCE))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )
