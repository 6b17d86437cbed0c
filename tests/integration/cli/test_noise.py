"""`shadow noise`, against a database: looking, deciding, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shadow.cli import app
from shadow.judge.loop import JudgeLoop
from tests.integration.cli.within import within
from tests.integration.judge.world import CATALOGUE, World

TASK = "order-sync"


@pytest.fixture
def shadow(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The command over pairs in which a measure drifts a little; returns what it says."""

    async def record(world: World) -> None:
        for number in range(12):
            told = await world.event(data={"order": number})
            await told.both({"score": 1000 + number * 37 % 50}, candidate={"score": 1000.5 + number * 23 % 50})
        await JudgeLoop(world.database, world.catalogue).once(datetime.now(UTC) + timedelta(minutes=1))

    within(database_url, record)
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(CATALOGUE)
    monkeypatch.setenv("SHADOW_DATABASE_URL", database_url)
    monkeypatch.setenv("SHADOW_CATALOGUE", str(catalogue))

    def run(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["noise", *arguments])
        assert done.exit_code == code, done.output
        return done.output

    return run


def test_it_is_looked_accepted_and_taken_back(shadow: Callable[..., str]) -> None:
    (found,) = json.loads(shadow("look", TASK, "--json").strip().splitlines()[-1])["items"]
    assert (found["state"], found["settings"]["type"]) == ("open", "number")
    said = shadow("look", TASK)
    assert "12 of 12 pairs, 12 to match" in said
    assert "number (relative" in said
    assert "accepted" in shadow("accept", found["id"], "-r", "measured", "--until", "90d", "--actor", "ann")
    assert "accepted by ann until" in shadow("list")
    assert "accepted already" in shadow("accept", found["id"], "-r", "measured", "--until", "90d", code=2)
    assert "rejected" in shadow("reject", found["id"], "-r", "it matters")
    assert "rejected by" in shadow("list", "--task", TASK)


def test_of_a_task_without_differences_it_says_so(shadow: Callable[..., str]) -> None:
    assert "nothing differs" in shadow("look", "digest")
    assert "no pair of digest was judged" in shadow("measure", "digest", "-r", "none", code=2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("look", "none"), "no task 'none'"),
        (("reject", "01997fc5-c0d0-7a20-9b3c-4d5e6f708192", "-r", "r"), "there is no proposal"),
        (("measure", "none", "-r", "r"), "no task 'none'"),
        (("measure", TASK), "--reason"),
    ],
)
def test_what_cannot_be_done_says_why(shadow: Callable[..., str], arguments: tuple[str, ...], says: str) -> None:
    assert says in shadow(*arguments, code=2)


def test_legacy_is_not_run_again_where_nobody_would_contain_it(shadow: Callable[..., str]) -> None:
    said = shadow("measure", TASK, "-r", "pretended targets", "--no-wait", "--events", "2")
    assert "0 events run again by legacy" in said
    assert said.count("nothing of legacy's run was seen at the gateway") == 2
