"""`shadow board` and `shadow costs`, as a person and a program read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shadow.cli import app
from tests.integration.cli.within import within
from tests.integration.control.test_board import stand
from tests.integration.control.test_costs import PRICES, tallied
from tests.integration.judge.world import CATALOGUE, World


@pytest.fixture
def given(tmp_path: Path, database_url: str) -> tuple[str, ...]:
    """Options of every command: which catalogue and which database."""
    file = tmp_path / "catalogue.yaml"
    file.write_text(CATALOGUE + PRICES)
    return "-c", str(file), "--database-url", database_url


def shadow(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [*arguments])


def test_the_board_says_of_every_task_where_it_stands_and_what_it_waits_for(
    given: tuple[str, ...], database_url: str
) -> None:
    async def moved(world: World) -> None:
        await stand(world, "order-sync", "ramp", share=25)

    within(database_url, moved)
    done = shadow("board", *given)
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if "order-sync" in line or "digest" in line]
    assert any("ramp 25 %" in line and "not evaluated" in line for line in lines)
    assert any("legacy" in line and "neither proven nor declared" in line for line in lines)
    only = shadow("board", "--category", "orders", *given)
    assert "order-sync" in only.output
    assert "digest" not in only.output
    found = json.loads(shadow("board", "--json", *given).output)
    assert [task["phase"] for task in found["tasks"]] == ["ramp", "legacy"]


def test_costs_are_shown_with_what_they_rest_on(given: tuple[str, ...], database_url: str) -> None:
    async def ran(world: World) -> None:
        await tallied(world, "legacy", 100, 0.2)
        await tallied(world, "candidate", 3, 0, purpose="canary")

    within(database_url, ran)
    done = shadow("costs", *given)
    assert done.exit_code == 0, done.output
    assert "EUR a month, at the volume of the last 7 days" in done.output
    (line,) = [line for line in done.output.splitlines() if "order-sync" in line]
    assert "56.09" in line  # 3,043.75 runs of 0.2 cents, and 50 a month
    assert "platform" in line
    assert "declared" in line
    (line,) = [line for line in done.output.splitlines() if "digest" in line]
    assert "unknown" in line
    assert "1 task is not in the sums" in done.output
    assert "Apart: 21 runs, candidate, canary" in done.output
    found = json.loads(shadow("costs", "--json", *given).output)
    assert found["total"]["unknown"] == 1
