"""Epochs and deploys through the control API and the command."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from shadow.cli import app
from shadow.gate.process import log_e, upper_bound
from shadow.reports import audit
from shadow.store.database import Database
from tests.integration.gate.world import TASK
from tests.integration.gate.world import World as Counting
from tests.integration.judge.world import CATALOGUE


@pytest.fixture
async def counting(database: Database) -> Counting:
    """Four pairs of the task were counted."""
    world = Counting(database)
    await world.pairs("mmxn")
    await world.counted()
    return world


async def test_epochs_show_what_was_counted_and_what_it_comes_to(client: httpx.AsyncClient, counting: Counting) -> None:
    (epoch,) = (await client.get(f"/v1/epochs/{TASK}")).json()["items"]
    assert epoch["live"] == {"match": 2, "allowed": 0, "mismatch": 1, "missing": 0, "not_comparable": 1}
    assert (epoch["number"], epoch["pairs"], epoch["mismatches"]) == (1, 3, 1)
    assert (epoch["budget"], epoch["alpha"]) == (0.01, pytest.approx(0.05))
    assert epoch["upper_bound"] == pytest.approx(upper_bound(3, 1, 0.05))
    assert epoch["e_value"] == pytest.approx(2.718281828 ** log_e(3, 1, 0.01))
    assert (epoch["opened_at"], epoch["ended_at"]) == (None, None)


async def test_a_deploy_is_told_and_begins_epochs(client: httpx.AsyncClient, counting: Counting) -> None:
    body = {"side": "candidate", "version": "v2", "note": "release 7"}
    told = (await client.post("/v1/deployments", json=body)).json()
    assert (told["tasks"], told["begun"], told["actor"]) == (["digest", TASK], [TASK], "token:tests")
    newest, first = (await client.get(f"/v1/epochs/{TASK}")).json()["items"]
    assert (newest["number"], newest["candidate_version"], newest["pairs"]) == (2, "v2", 0)
    assert newest["because"] == "candidate was deployed in version v2, told by token:tests"
    assert first["ended_at"] == newest["started_at"]
    (deployment,) = (await client.get("/v1/deployments")).json()["items"]
    assert deployment == {name: value for name, value in told.items() if name != "begun"}


async def test_an_app_that_nobody_knows_is_refused_by_name(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/deployments", json={"side": "legacy", "version": "1", "app": "shopp"})
    assert answer.status_code == 404
    (error,) = answer.json()["errors"]
    assert (error["field"], error["found"]) == ("body.app", "shopp")


async def test_a_person_begins_an_epoch_with_a_reason(client: httpx.AsyncClient, counting: Counting) -> None:
    epoch = (await client.post(f"/v1/epochs/{TASK}", json={"reason": "another shop"})).json()
    assert (epoch["number"], epoch["because"]) == (2, "token:tests: another shop")
    assert (await client.post(f"/v1/epochs/{TASK}", json={"reason": " "})).status_code == 422
    assert (await client.post("/v1/epochs/digest", json={"reason": "early"})).status_code == 409
    assert (await client.post("/v1/epochs/nosuch", json={"reason": "typo"})).status_code == 404
    assert (await client.get("/v1/epochs/nosuch")).status_code == 404
    (entry,) = (await audit.page(counting.database.engine, kinds=audit.KINDS["epochs"])).items
    assert (entry.actor, entry.tasks, entry.reason) == ("token:tests", [TASK], "another shop")


async def test_the_command_says_which_epochs_begin(counting: Counting, database_url: str, tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(CATALOGUE)
    options = ["--catalogue", str(catalogue), "--database-url", database_url, "--actor", "ann"]

    async def shadow(*arguments: str) -> tuple[int, str]:
        result = await asyncio.to_thread(CliRunner().invoke, app, [*arguments, *options])
        return result.exit_code, result.output

    assert await shadow("deployment", "candidate", "v2") == (
        0,
        f"candidate v2: digest, {TASK}\nepochs begun: {TASK}\n",
    )
    code, said = await shadow("epoch", TASK, "--reason", "another shop")
    assert code == 0
    assert said.startswith(f"{TASK}: epoch 3 from ")
    assert (await shadow("epoch", "digest", "--reason", "early"))[0] == 1
    assert (await shadow("deployment", "legacy", "1", "--app", "shopp"))[0] == 2
