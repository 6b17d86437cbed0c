"""`shadow replay`, against a database: what it starts, says, and exits with."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from shadow.cli import app
from shadow.judge.loop import JudgeLoop
from tests.integration.cli.within import within
from tests.integration.containment.declared import declared
from tests.integration.judge.world import CATALOGUE, World


@pytest.fixture
def signature(database_url: str) -> str:
    """Of two pairs, whose outputs differ."""

    async def judge(world: World) -> None:
        await declared(world.database, world.catalogue)
        for number in range(2):
            await (await world.event(data={"order": number})).both({"count": 1}, candidate={"count": 2})
        await JudgeLoop(world.database, world.catalogue).once(datetime.now(UTC) + timedelta(minutes=1))

    within(database_url, judge)
    with psycopg.connect(database_url) as connection:
        ((found,),) = connection.execute("SELECT id FROM signatures").fetchall()
    return str(found)


@pytest.fixture
def shadow(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The command, led to the test's database; returns what it says."""
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(CATALOGUE)
    monkeypatch.setenv("SHADOW_DATABASE_URL", database_url)
    monkeypatch.setenv("SHADOW_CATALOGUE", str(catalogue))

    def run(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["replay", *arguments])
        assert done.exit_code == code, done.output
        return done.output

    return run


def test_it_starts_and_shows_what_is_on_its_way(shadow: Callable[..., str], signature: str) -> None:
    said = shadow("--signature", signature, "--reason", "fixed", "--no-wait", "--json", "--actor", "ann")
    told = json.loads(said.strip().splitlines()[-1])
    assert (told["pairs"], told["pending"], told["actor"], told["reason"]) == (2, 2, "ann", "fixed")


def test_without_anybody_at_work_the_wait_ends_and_says_so(shadow: Callable[..., str], signature: str) -> None:
    said = shadow("-s", signature, "-r", "fixed", "--limit", "1", "--patience", "1", code=2)
    assert "order-sync, replay" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-s", "s1-none", "-r", "fixed"), "there is no signature 's1-none'"),
        (("-s", "s1-none"), "--reason"),
        (("-s", "s1-none", "-r", "fixed", "--limit", "0"), "--limit"),
    ],
)
def test_what_cannot_be_started_says_why(shadow: Callable[..., str], arguments: tuple[str, ...], says: str) -> None:
    assert says in shadow(*arguments, code=2)


def test_what_is_not_contained_is_not_started(shadow: Callable[..., str], signature: str, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM containments")
    assert "refused: not contained" in shadow("-s", signature, "-r", "fixed", code=2)
