"""The committed dashboard is what the code says, and asks only for what is exposed."""

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
from dashboards.generated import FOLDER, contents
from dashboards.panels import DATASOURCE
from shadow.observe import metrics
from shadow.reports.figures import GAUGES

BOARD: dict[str, Any] = json.loads((FOLDER / "grafana" / "parity.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]

_SELECTOR = re.compile(r"(shadow_\w+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"by \(([^)]*)\)")


def exposed() -> dict[str, set[str]]:
    """Series name -> its labels, of all that Prometheus can have."""
    found = {name: set(labels) for name, (_text, labels) in GAUGES.items()}
    for metric in vars(metrics).values():
        if isinstance(metric, Counter):
            found[f"{metric._name}_total"] = set(metric._labelnames)
        elif isinstance(metric, Gauge):
            found[metric._name] = set(metric._labelnames)
        elif isinstance(metric, Histogram):
            found[f"{metric._name}_bucket"] = {*metric._labelnames, "le"}
            for suffix in ("_sum", "_count"):
                found[metric._name + suffix] = set(metric._labelnames)
    return found


SERIES = exposed()


def expressions() -> Iterator[str]:
    for panel in PANELS:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in BOARD["templating"]["list"]:
        yield variable["query"]


@pytest.mark.parametrize("path", sorted(contents()), ids=lambda path: path.name)
def test_the_committed_file_is_current(path: Path) -> None:
    assert path.read_text() == contents()[path], "run `python -m dashboards`"


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_query_asks_for_series_and_labels_that_exist(expression: str) -> None:
    selectors = _SELECTOR.findall(expression)
    assert selectors
    labels: set[str] = set()
    for name, matchers in selectors:
        assert name in SERIES, name
        assert set(_LABEL.findall(matchers)) <= SERIES[name], f"{name}{{{matchers}}}"
        labels |= SERIES[name]
    for grouping in _GROUPING.findall(expression):
        assert {label.strip() for label in grouping.split(",")} <= labels


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_no_figure_of_the_installation_is_taken_for_a_counter(expression: str) -> None:
    for name in re.findall(r"(?:rate|irate|increase)\((shadow_\w+)", expression):
        assert name not in GAUGES


def test_every_legend_uses_labels_that_its_series_has() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            named = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
            groupings = _GROUPING.findall(target["expr"])
            left = {label.strip() for grouping in groupings for label in grouping.split(",")}
            assert named <= (left or SERIES[_SELECTOR.findall(target["expr"])[0][0]])


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_says_what_it_shows_and_uses_the_provisioned_source(panel: dict[str, Any]) -> None:
    assert panel["description"]
    assert panel["datasource"] == {"type": "prometheus", "uid": DATASOURCE}
    assert panel["options"] is not None


def test_panels_fill_the_grid_without_overlap_and_have_ids_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _y in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)


def test_what_an_operator_needs_first_is_there() -> None:
    titles = {panel["title"] for panel in PANELS}
    assert {
        "Parity per task",
        "Verdicts",
        "Pending",
        "Tasks with the most pairs that differ or miss a run",
        "Deliveries",
        "Dead letters",
    } <= titles


def test_grafana_finds_the_dashboards_and_the_source_they_name() -> None:
    provisioning = FOLDER / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert (source["uid"], source["type"]) == (DATASOURCE, "prometheus")
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "shadow.yaml").read_text())["providers"]
    assert provider["type"] == "file"


def test_the_examples_of_the_api_name_exposed_series() -> None:
    for example in (examples.METRICS, examples.PARITY_METRICS):
        assert _SELECTOR.findall(example)[0][0] in SERIES
