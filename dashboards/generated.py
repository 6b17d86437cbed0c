"""The generated files: which there are, and what they contain."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.cost import cost
from dashboards.deliveries import deliveries
from dashboards.egress import egress
from dashboards.migration import migration
from dashboards.parity import parity
from dashboards.prometheus_rules import ALERTS, RULES, as_yaml

FOLDER = Path(__file__).parent
GRAFANA = FOLDER / "grafana"
PROMETHEUS = FOLDER / "prometheus"

BOARDS = {
    "migration": migration,
    "parity": parity,
    "deliveries": deliveries,
    "egress": egress,
    "cost": cost,
}
"""Name of the file, without its ending -> what makes it."""


def contents() -> dict[Path, str]:
    """Path -> content of every generated file."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    found = {GRAFANA / f"{name}.json": encoder.encode(make()) + "\n" for name, make in BOARDS.items()}
    found[PROMETHEUS / "rules.yml"] = as_yaml(RULES)
    found[PROMETHEUS / "alerts.yml"] = as_yaml(ALERTS)
    return found


def write() -> list[Path]:
    """Write them; returns their paths."""
    found = contents()
    for path, content in found.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return list(found)
