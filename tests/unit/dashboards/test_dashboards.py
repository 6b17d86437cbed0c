"""The committed dashboards are what the code says, and ask only for what is exposed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from api.control import examples
from dashboards.generated import BOARDS, FOLDER, GRAFANA, contents
from dashboards.panels import DATASOURCE
from shadow.observe import metrics
from shadow.observe.durations import Durations
from shadow.reports.figures import GAUGES

FILES: dict[str, dict[str, Any]] = {name: json.loads((GRAFANA / f"{name}.json").read_text()) for name in BOARDS}
PANELS = [(name, panel) for name, board in FILES.items() for panel in board["panels"] if panel["type"] != "row"]

_SELECTOR = re.compile(r"\b((?:shadow|process)_\w+|up\b)(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|on|group_left) \(([^)]*)\)")
_OUTER = re.compile(r"^(?:sort|sort_desc|histogram_quantile|topk)?\(?(?:[\d.]+, ?)*(?:sum|max|min) by \(([^)]*)\)")
_OWN = {"job", "instance"}
"""Labels that Prometheus gives every series."""
_TITLED = [f"{name}: {panel['title']}" for name, panel in PANELS]


def exposed() -> dict[str, set[str]]:
    """Series name -> its labels, of all that Prometheus can have."""
    found = {name: set(labels) for name, (_text, labels) in GAUGES.items()}
    found |= {"up": set(), "process_resident_memory_bytes": set()}
    for metric in vars(metrics).values():
        if isinstance(metric, Counter):
            found[f"{metric._name}_total"] = set(metric._labelnames)
        elif isinstance(metric, Gauge):
            found[metric._name] = set(metric._labelnames)
        elif isinstance(metric, Histogram):
            found[f"{metric._name}_bucket"] = {*metric._labelnames, "le"}
            for suffix in ("_sum", "_count"):
                found[metric._name + suffix] = set(metric._labelnames)
        elif isinstance(metric, Durations):
            found[f"{metric.name}_bucket"] = {metric.label, "le"}
            found |= {f"{metric.name}_{suffix}": {metric.label} for suffix in ("sum", "count")}
    return found


SERIES = exposed()


def expressions() -> Iterator[str]:
    for _name, panel in PANELS:
        for target in panel["targets"]:
            yield target["expr"]
    for board in FILES.values():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield variable["query"]


def labels_left(expression: str) -> set[str]:
    """The labels that the series of an expression have, or may have."""
    grouped = _OUTER.match(expression)
    if grouped is not None:
        return {label.strip() for label in grouped[1].split(",")}
    return set().union(*(SERIES[name] for name, _matchers in _SELECTOR.findall(expression))) | _OWN


@pytest.mark.parametrize("path", sorted(contents()), ids=lambda path: path.name)
def test_the_committed_file_is_current(path: Path) -> None:
    assert path.read_text() == contents()[path], "run `python -m dashboards`"


def test_no_other_dashboard_lies_beside_them() -> None:
    assert {path.name for path in GRAFANA.iterdir()} == {f"{name}.json" for name in BOARDS}


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_query_asks_for_series_and_labels_that_exist(expression: str) -> None:
    selectors = _SELECTOR.findall(expression)
    assert selectors
    labels = set(_OWN)
    for name, matchers in selectors:
        assert name in SERIES, name
        assert set(_LABEL.findall(matchers)) <= SERIES[name] | _OWN, f"{name}{{{matchers}}}"
        labels |= SERIES[name]
    for grouping in _GROUPING.findall(expression):
        assert {label.strip() for label in grouping.split(",")} <= labels


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_no_figure_of_the_installation_is_taken_for_a_counter(expression: str) -> None:
    for name in re.findall(r"(?:rate|irate|increase)\((shadow_\w+)", expression):
        assert name not in GAUGES


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=_TITLED)
def test_every_legend_uses_labels_that_its_series_has(name: str, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        named = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
        assert named <= labels_left(target["expr"]), name


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=_TITLED)
def test_every_panel_says_what_it_shows_and_uses_the_provisioned_source(name: str, panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 10, name
    assert panel["description"].endswith(".")
    assert panel["datasource"] == {"type": "prometheus", "uid": DATASOURCE}
    assert panel["options"] is not None
    if panel["type"] != "table":
        assert panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=_TITLED)
def test_every_column_of_a_table_comes_from_its_queries(name: str, panel: dict[str, Any]) -> None:
    if panel["type"] != "table":
        return
    *_join, chosen, organized = (transformation["options"] for transformation in panel["transformations"])
    columns = chosen["include"]["names"]
    assert set(organized["renameByName"]) == set(columns)
    assert sorted(columns, key=organized["indexByName"].__getitem__) == columns
    several = len(panel["targets"]) > 1
    values = {f"Value #{target['refId']}" if several else "Value" for target in panel["targets"]}
    labels = set().union(*(labels_left(target["expr"]) for target in panel["targets"]))
    assert set(columns) <= values | labels, name
    headings = set(organized["renameByName"].values())
    assert {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]} <= headings


@pytest.mark.parametrize("name", BOARDS)
def test_every_variable_that_is_used_is_there_and_the_other_way_round(name: str) -> None:
    board = FILES[name]
    known = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(board["panels"]) + json.dumps(board["templating"])))
    builtin = {"__rate_interval", "__range", "__value", "__all"}
    assert used - builtin <= known
    # the control port's address is passed on from dashboard to dashboard, also by one that has no links to it
    assert known - {"control"} <= used


def test_all_tasks_are_those_of_the_chosen_categories() -> None:
    """A value for "all" that matches everything would pay no heed to them."""
    for board in FILES.values():
        names = {variable["name"] for variable in board["templating"]["list"]}
        for variable in board["templating"]["list"]:
            assert "allValue" not in variable
            if variable["name"] == "task" and "category" in names:
                assert "$category" in variable["query"]


@pytest.mark.parametrize("name", BOARDS)
def test_panels_fill_the_grid_without_overlap_and_have_ids_of_their_own(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in FILES[name]["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _y in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in FILES[name]["panels"]]
    assert len(set(ids)) == len(ids)


def test_each_dashboard_has_a_title_and_an_address_of_its_own() -> None:
    assert len({board["title"] for board in FILES.values()}) == len({board["uid"] for board in FILES.values()}) == 5


def test_what_an_operator_needs_first_is_there() -> None:
    titles = {(name, panel["title"]) for name, panel in PANELS}
    assert {
        ("migration", "Tasks by phase"),
        ("migration", "What holds tasks back"),
        ("parity", "Mismatch rate is below"),
        ("parity", "Differences by kind"),
        ("parity", "Most frequent differences"),
        ("deliveries", "Deliveries"),
        ("deliveries", "Dead letters"),
        ("egress", "Leaks"),
        ("cost", "Saving"),
    } <= titles


def test_links_lead_to_pages_of_the_control_port() -> None:
    links = {
        link["url"]
        for _name, panel in PANELS
        for override in panel["fieldConfig"]["overrides"]
        for one in override["properties"]
        if one["id"] == "links"
        for link in one["value"]
    }
    assert links == {f"${{control}}/pages/{what}/${{__value.text}}" for what in ("tasks", "pairs", "signatures")}


def test_grafana_finds_the_dashboards_and_the_source_they_name() -> None:
    provisioning = FOLDER / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert (source["uid"], source["type"]) == (DATASOURCE, "prometheus")
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "shadow.yaml").read_text())["providers"]
    assert provider["type"] == "file"


def test_the_examples_of_the_api_name_exposed_series() -> None:
    for example in (examples.METRICS, examples.PARITY_METRICS):
        assert _SELECTOR.findall(example)[0][0] in SERIES
