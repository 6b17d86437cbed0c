"""The generated files: which there are, and what they contain."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.parity import parity

FOLDER = Path(__file__).parent


def contents() -> dict[Path, str]:
    """Path -> content of every generated file."""
    board = JSONEncoder(sort_keys=True, indent=2).encode(parity())
    return {FOLDER / "grafana" / "parity.json": board + "\n"}


def write() -> list[Path]:
    """Write them; returns their paths."""
    found = contents()
    for path, content in found.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return list(found)
