"""`shadow report` and `shadow token`, on the database itself and over the control API."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import orjson
import pytest
import structlog
import typer
import uvicorn
from typer.testing import CliRunner

from api.control import ControlServices, control_app
from shadow.cli import explain, report, token
from shadow.judge.loop import JudgeLoop
from shadow.store.database import Database
from tests.integration.judge.world import CATALOGUE, World, catalogue

app = typer.Typer()
app.command("report")(report.report)
app.command("explain")(explain.explain)
app.add_typer(token.app, name="token")


class Command:
    """The command with the options that lead it to the test's database."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.catalogue = folder / "catalogue.yaml"
        self.catalogue.write_text(CATALOGUE)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        answer = CliRunner().invoke(app, [*arguments])
        assert answer.exit_code == code, answer.output
        return answer.output

    def report(self, *arguments: str, code: int = 0) -> str:
        return self("report", *arguments, "--catalogue", str(self.catalogue), "--database-url", self.url, code=code)

    def explain(self, *arguments: str, code: int = 0) -> str:
        return self("explain", *arguments, "--catalogue", str(self.catalogue), "--database-url", self.url, code=code)

    def token(self, verb: str, *arguments: str, code: int = 0) -> str:
        return self("token", verb, *arguments, "--database-url", self.url, code=code)


@pytest.fixture
def command(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    monkeypatch.setenv("COLUMNS", "160")
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield Command(database_url, tmp_path)
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def within(url: str, work: Callable[[World], Awaitable[None]]) -> None:
    """Do something in that database. The commands run loops of their own, so tests of them can't."""

    async def run() -> None:
        database = Database(url)
        try:
            await work(World(database))
        finally:
            await database.close()

    asyncio.run(run())


@pytest.fixture
def judged(database_url: str) -> None:
    """A match and a mismatch of order-sync."""

    async def judge(world: World) -> None:
        for candidate in ("new", "old"):
            await (await world.event()).both({"state": "new"}, candidate={"state": candidate})
        await JudgeLoop(world.database, world.catalogue).once(datetime.now(UTC) + timedelta(minutes=1))

    within(database_url, judge)


@pytest.fixture
def served(database_url: str) -> Iterator[str]:
    """The URL of a control port over that database."""
    database = Database(database_url)
    server = uvicorn.Server(
        uvicorn.Config(control_app(ControlServices(database, catalogue())), port=0, lifespan="off", log_config=None)
    )

    async def serve() -> None:
        try:
            await server.serve()
        finally:
            await database.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize(
    ("format", "says"),
    [
        ("table", ["order-sync", "50.00 %", "major"]),
        ("md", ["# order-sync", "| mismatch | 1 |", "| parity | 50.00 % |"]),
        ("junit", ['<testsuite name="shadow.order-sync"', 'failures="2"', "1 pairs differ"]),
    ],
)
def test_a_report_comes_in_every_format(command: Command, judged: None, format: str, says: list[str]) -> None:
    text = command.report("order-sync", "--format", format)
    for said in says:
        assert said in text


def test_json_has_the_counts_and_the_worst_differences(command: Command, judged: None) -> None:
    found = orjson.loads(command.report("order-sync", "--format", "json"))
    assert found["parity"]["counts"]["parity"] == 0.5
    assert [signature["pairs"] for signature in found["signatures"]] == [1]
    assert orjson.loads(command.report("order-sync", "--format", "json", "--worst", "0"))["signatures"] == []


def test_a_report_may_be_of_days_and_a_tenant(command: Command, judged: None) -> None:
    early = orjson.loads(command.report("order-sync", "-f", "json", "--until", "2020-01-01"))
    assert early["parity"]["counts"]["parity"] is None
    other = orjson.loads(command.report("order-sync", "-f", "json", "--tenant", "zeta"))
    assert other["parity"]["counts"]["pairs"] == 0


def test_a_pair_is_explained_from_the_database_and_over_the_api(command: Command, judged: None, served: str) -> None:
    secret = command.token("create", "ci", "--scope", "read").strip()
    listed = httpx.get(
        f"{served}/v1/pairs", params={"verdict": "mismatch"}, headers={"Authorization": f"Bearer {secret}"}
    )
    (pair,) = (item["id"] for item in listed.json()["items"])
    text = command.explain(pair)
    for said in ("of order-sync: mismatch", 'candidate returned state = "old"', '-   "state": "new"', "classified:"):
        assert said in text
    assert command.explain(pair, "--url", served, "--token", secret) == text
    explained = orjson.loads(command.explain(pair, "--format", "json"))
    assert explained["explanation"]["as_stored"] is True
    assert "there is no pair" in command.explain("0190d5f2-7c1a-7d3e-9b5f-1a2b3c4d5e6f", code=2)


def test_the_api_gives_the_same_report_as_the_database(command: Command, judged: None, served: str) -> None:
    secret = command.token("create", "ci", "--scope", "read").strip()
    over = command("report", "order-sync", "-f", "json", "--url", served, "--token", secret)
    assert orjson.loads(over) == orjson.loads(command.report("order-sync", "-f", "json"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nope"], "there is no task 'nope'"),
        (["order-sync", "--since", "2026-05-02", "--until", "2026-05-01"], "lies before"),
    ],
)
def test_a_report_that_cannot_be_made_says_why(command: Command, arguments: list[str], says: str) -> None:
    assert says in command.report(*arguments, code=2)


def test_an_api_that_refuses_or_is_away_is_named(command: Command, served: str) -> None:
    assert "--token" in command("report", "order-sync", "--url", served, code=2)
    refused = command("report", "order-sync", "--url", served, "--token", "shadow_x", code=2)
    assert "401" in refused
    assert "unknown, expired or revoked" in refused
    away = command("report", "order-sync", "--url", "http://127.0.0.1:9", "--token", "shadow_x", code=2)
    assert "can't be reached" in away


def test_a_tokens_life(command: Command) -> None:
    secret = command.token("create", "ci", "--scope", "read", "--scope", "operate", "--expires", "90d").strip()
    assert secret.startswith("shadow_")
    listed = command.token("list")
    assert "operate, read" in listed
    assert "valid until" in listed
    assert secret not in listed
    assert "revoked ci" in command.token("revoke", "ci")
    assert "revoked" in command.token("list")
    assert "no token 'ci'" in command.token("revoke", "ci", code=1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ci"], "--scope"),  # a scope is not optional
        (["ci", "--scope", "write"], "write"),
        (["ci", "--scope", "read", "--expires", "soon"], "90d"),
        (["ci", "--scope", "read", "--expires", "0s"], "past"),
        ([" ", "--scope", "read"], "name"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(command: Command, arguments: list[str], says: str) -> None:
    assert says in command.token("create", *arguments, code=2)
