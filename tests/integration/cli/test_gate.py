"""`shadow gate` and `shadow sign-off`: what they print, and the exit codes that CI goes by."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest
from typer.testing import CliRunner, Result

from shadow.cli import app
from shadow.gate.report import ConditionName
from tests.integration.cli.within import within
from tests.integration.gate.standing import epoch, ready
from tests.integration.judge.world import CATALOGUE, World


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    file = tmp_path / "catalogue.yaml"
    file.write_text(CATALOGUE)
    return file


def shadow(catalogue: Path, url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "-c", str(catalogue), "--database-url", url])


async def standing(world: World) -> None:
    await ready(world)


async def few(world: World) -> None:
    await epoch(world, matches=3)
    await world.rows("DELETE FROM tallies RETURNING task")


def test_an_open_gate_exits_0_and_a_closed_one_1(catalogue: Path, database_url: str) -> None:
    within(database_url, standing)
    done = shadow(catalogue, database_url, "gate", "order-sync")
    assert done.exit_code == 0, done.output
    assert "order-sync: open" in done.output
    assert all(name.value in done.output for name in ConditionName)
    done = shadow(catalogue, database_url, "gate", "digest")
    assert done.exit_code == 1
    assert "digest: closed: never, until somebody sees to" in done.output


def test_a_group_is_open_when_all_are(catalogue: Path, database_url: str) -> None:
    within(database_url, standing)
    assert shadow(catalogue, database_url, "gate", "--category", "orders").exit_code == 0
    done = shadow(catalogue, database_url, "gate", "--all")
    assert done.exit_code == 1
    assert "migration: closed: 1 of 2 gates are open" in done.output


def test_json_is_what_the_api_gives(catalogue: Path, database_url: str) -> None:
    within(database_url, standing)
    told = orjson.loads(shadow(catalogue, database_url, "gate", "order-sync", "--json").stdout)
    assert (told["task"], told["open"], len(told["conditions"])) == ("order-sync", True, len(ConditionName))
    told = orjson.loads(shadow(catalogue, database_url, "gate", "--all", "--json").stdout)
    assert (told["group"], told["open_tasks"], told["tasks"]) == ("migration", 1, 2)


def test_junit_has_a_suite_a_task_and_a_case_a_condition(catalogue: Path, database_url: str, tmp_path: Path) -> None:
    within(database_url, standing)
    file = tmp_path / "gate.xml"
    assert shadow(catalogue, database_url, "gate", "--all", "--junit", str(file)).exit_code == 1
    suites = ElementTree.parse(file).getroot()
    assert [suite.get("name") for suite in suites] == ["shadow.gate.order-sync", "shadow.gate.digest"]
    assert [case.get("name") for case in suites[0]] == [name.value for name in ConditionName]
    assert suites[0].get("failures") == "0"
    failed = {case.get("name"): case.find("failure") for case in suites[1] if case.find("failure") is not None}
    assert "not contained: nothing is on record" in str(failed["containment"].get("message"))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gate", "nobody"], "there is no task 'nobody'"),
        (["gate", "--category", "none"], "no task in"),
        (["gate"], "name one of TASK, --category and --all"),
        (["gate", "digest", "--all"], "name one of TASK, --category and --all"),
        (["gate", "digest", "--junit", "/nowhere/gate.xml"], "can't be written"),
        (["sign-off", "nobody", "-r", "x"], "there is no task 'nobody'"),
    ],
)
def test_what_cannot_be_told_exits_2(catalogue: Path, database_url: str, arguments: list[str], says: str) -> None:
    done = shadow(catalogue, database_url, *arguments)
    assert done.exit_code == 2
    assert says in " ".join(done.output.split())


def test_an_unreachable_database_exits_2(catalogue: Path) -> None:
    done = shadow(catalogue, "postgresql://nobody@127.0.0.1:9/none", "gate", "digest")
    assert done.exit_code == 2
    assert "the database failed" in done.output


def test_an_unreachable_api_exits_2(catalogue: Path) -> None:
    done = CliRunner().invoke(app, ["gate", "digest", "--url", "http://127.0.0.1:9", "--token", "shadow_x"])
    assert done.exit_code == 2
    assert "can't be reached" in done.output


def test_a_bad_catalogue_exits_2(tmp_path: Path, database_url: str) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text("version: 1\nnothing: else\n")
    assert shadow(file, database_url, "gate", "digest").exit_code == 2


def test_two_people_sign_off(catalogue: Path, database_url: str) -> None:
    within(database_url, few)
    done = shadow(catalogue, database_url, "sign-off", "order-sync", "-r", "looked at it", "--actor", "ann")
    assert done.exit_code == 0, done.output
    assert "ann did, and one other must" in done.output
    done = shadow(catalogue, database_url, "sign-off", "order-sync", "-r", "once more", "--actor", "token:Ann")
    assert done.exit_code == 1
    assert "must be somebody else" in done.output
    done = shadow(catalogue, database_url, "sign-off", "order-sync", "-r", "so did I", "--actor", "bob")
    assert "ann and bob signed off" in done.output
    identifier = done.output.split(":")[0]
    assert shadow(catalogue, database_url, "sign-off", "order-sync", "--revoke", identifier).exit_code == 0
    assert shadow(catalogue, database_url, "sign-off", "order-sync", "--revoke", identifier).exit_code == 1
