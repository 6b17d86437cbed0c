"""`shadow judge`, against a database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import psycopg
import pytest
import typer
from typer.testing import CliRunner

from shadow.cli import app
from shadow.cli.judge import moment
from shadow.judge.loop import JudgeLoop
from shadow.store.database import Database
from tests.integration.judge.world import CATALOGUE, World

NOW = datetime(2026, 5, 8, 12, tzinfo=UTC)


@pytest.fixture
def differing(database_url: str) -> None:
    """Two pairs whose outputs name another host."""

    async def run() -> None:
        database = Database(database_url)
        world = World(database)
        for _ in range(2):
            await (await world.event()).both({"host": "a"}, candidate={"host": "b"})
        await JudgeLoop(database, world.catalogue).once(datetime.now(UTC) + timedelta(minutes=1))
        await database.close()

    asyncio.run(run())


@pytest.fixture
def shadow(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The command, with a catalogue in which the host is ignored; returns what it says on stdout."""
    monkeypatch.setenv("SHADOW_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "160")
    file = tmp_path / "catalogue.yaml"
    file.write_text(CATALOGUE.replace("$.tookMs, reason: how long it took", "$.host, reason: which machine it was"))
    monkeypatch.setenv("SHADOW_CATALOGUE", str(file))

    def run(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["judge", *arguments])
        assert done.exit_code == code, done.output
        return done.stdout if code == 0 else done.output

    return run


def verdicts(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {verdict for (verdict,) in connection.execute("SELECT verdict FROM pairs")}


def test_a_dry_run_shows_and_the_run_does(shadow: Callable[..., str], database_url: str, differing: None) -> None:
    told = shadow("--task", "order-sync", "--since", "7d", "--dry-run")
    assert "2 pairs looked at, 2 judged, 2 would change" in told
    assert "host" in told
    assert verdicts(database_url) == {"mismatch"}
    assert "2 changed" in shadow("--task", "order-sync", "--since", "7d")
    assert verdicts(database_url) == {"match"}
    assert "2 were judged with these rules already" in shadow("--task", "order-sync", "--since", "7d")


def test_json_is_what_the_api_gives(shadow: Callable[..., str], differing: None) -> None:
    said = orjson.loads(shadow("--task", "order-sync", "--since", "2020-01-01", "--dry-run", "--json"))
    assert said["verdicts"] == [{"before": "mismatch", "after": "match", "pairs": 2}]
    assert said["dry_run"] is True


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--task", "none", "--since", "7d"), "there is no task 'none'"),
        (("--since", "7d"), "--task"),
        (("--task", "order-sync"), "--since"),
        (("--task", "order-sync", "--since", "yesterday"), "a duration such as"),
        (("--task", "order-sync", "--since", "1d", "--until", "7d"), "is not after"),
    ],
)
def test_what_makes_no_sense_is_refused(
    shadow: Callable[..., str], database_url: str, arguments: tuple[str, ...], says: str
) -> None:
    assert says in shadow(*arguments, code=2)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-05-01", datetime(2026, 5, 1, tzinfo=UTC)),
        ("2026-05-01T10:30:00+02:00", datetime(2026, 5, 1, 8, 30, tzinfo=UTC)),
        ("7d", NOW - timedelta(days=7)),
    ],
)
def test_a_time_is_a_day_a_moment_or_how_long_ago(text: str, found: datetime) -> None:
    assert moment(text, NOW) == found
    with pytest.raises(typer.BadParameter):
        moment("soon", NOW)
