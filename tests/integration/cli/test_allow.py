"""`shadow allow` and `shadow allowances`, against a database."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from typer.testing import CliRunner

from shadow.cli import app
from shadow.judge.loop import JudgeLoop
from shadow.judge.sweeping import AllowanceLoop
from tests.integration.cli.within import within
from tests.integration.judge.world import World

REASON = "agreed with the shop"


async def sweep(world: World) -> None:
    loop = AllowanceLoop(world.database)
    while (await loop.once()).more:
        pass


@pytest.fixture(params=["count"])
def signature(database_url: str, request: pytest.FixtureRequest) -> str:
    """Of one pair, whose outputs differ in that member."""

    async def judge(world: World) -> None:
        await (await world.event()).both({request.param: 1}, candidate={request.param: 2})
        await JudgeLoop(world.database, world.catalogue).once(datetime.now(UTC) + timedelta(minutes=1))

    within(database_url, judge)
    with psycopg.connect(database_url) as connection:
        ((found,),) = connection.execute("SELECT id FROM signatures").fetchall()
    return str(found)


@pytest.fixture
def shadow(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The command, led to the test's database; returns what it says."""
    monkeypatch.setenv("SHADOW_DATABASE_URL", database_url)

    def run(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, [*arguments])
        assert done.exit_code == code, done.output
        return done.output

    return run


def verdicts(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [verdict for (verdict,) in connection.execute("SELECT verdict FROM pairs")]


def test_a_difference_is_allowed_listed_and_taken_back(
    shadow: Callable[..., str], database_url: str, signature: str
) -> None:
    said = shadow("allow", signature, "--reason", REASON, "--until", "14d", "--actor", "ann")
    assert "1 pair that shows it gets its verdict anew" in said
    within(database_url, sweep)
    assert verdicts(database_url) == ["allowed"]
    listed = shadow("allowances")
    assert signature in listed
    assert "ann" in listed
    assert REASON in listed
    allowance = re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", listed)[0]
    assert "revoked" in shadow("allowances", "revoke", allowance, "--actor", "bob")
    within(database_url, sweep)
    assert verdicts(database_url) == ["mismatch"]
    assert shadow("allowances") == "nothing is allowed\n"
    assert "by bob" in shadow("allowances", "--all")
    assert f"no allowance {allowance} stands" in shadow("allowances", "revoke", allowance, code=1)


def test_it_may_be_for_one_tenant_until_a_day(shadow: Callable[..., str], database_url: str, signature: str) -> None:
    day = (datetime.now(UTC) + timedelta(days=30)).date()
    shadow("allow", signature, "-r", REASON, "--until", f"{day}", "--tenant", "other")
    within(database_url, sweep)
    assert verdicts(database_url) == ["mismatch"]
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT tenant, expires_at::date FROM allowances").fetchall() == [("other", day)]


@pytest.mark.parametrize("signature", ["amount"], indirect=True)
def test_a_critical_one_needs_the_flag_that_says_so(shadow: Callable[..., str], signature: str) -> None:
    wanted = ("allow", signature, "-r", REASON, "--until", "14d")
    assert "--acknowledge-critical" in shadow(*wanted, code=1)
    assert "allowed until" in shadow(*wanted, "--acknowledge-critical")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("s1-none", "-r", REASON, "--until", "14d"), 1, "no signature 's1-none'"),
        (("s1-none", "-r", REASON), 2, "--until"),
        (("s1-none", "--until", "14d"), 2, "--reason"),
        (("s1-none", "-r", REASON, "--until", "soon"), 2, "a duration such as"),
        (("s1-none", "-r", REASON, "--until", "365d"), 1, "within the next 180 days"),
        (("s1-none", "-r", REASON, "--until", "2020-01-01"), 1, "within the next 180 days"),
    ],
)
def test_what_is_no_reviewed_decision_is_refused(
    shadow: Callable[..., str], database_url: str, arguments: tuple[str, ...], code: int, says: str
) -> None:
    assert says in shadow("allow", *arguments, code=code)
