"""`shadow token`, against a database: how one key follows another without a gap."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from typer.testing import CliRunner, Result

from shadow.access import tokens
from shadow.access.tokens import Scope
from shadow.cli import app
from shadow.store.database import Database


def token(database_url: str, *arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["token", *arguments, "--database-url", database_url])


def valid(database_url: str, secret: str) -> bool:
    async def find() -> bool:
        database = Database(database_url)
        try:
            return await tokens.find(database.engine, secret) is not None
        finally:
            await database.close()

    return asyncio.run(find())


def pass_time(database_url: str, interval: str) -> None:
    """As if it were so much later."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE tokens SET created_at = created_at - %(by)s::interval, expires_at = expires_at - %(by)s::interval",
            {"by": interval},
        )


def test_both_are_valid_during_the_overlap_and_the_old_one_is_not_after_it(database_url: str) -> None:
    old = token(database_url, "create", "ci", "-s", "read", "--tenant", "acme").stdout.strip()
    rotated = token(database_url, "rotate", "ci", "--overlap", "2h")
    new = rotated.stdout.strip().splitlines()[-1]
    assert re.fullmatch(r"shadow_[\w-]{43}", new)
    assert "is valid until" in rotated.output
    assert valid(database_url, old)
    assert valid(database_url, new)
    pass_time(database_url, "2 hours")
    assert not valid(database_url, old)
    assert valid(database_url, new)


def test_the_new_one_may_what_the_old_one_may_and_as_long(database_url: str) -> None:
    token(database_url, "create", "ci", "-s", "read", "-s", "raw", "--tenant", "acme", "--expires", "90d")
    pass_time(database_url, "80 days")
    token(database_url, "rotate", "ci", "--overlap", "1h")
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT name, scopes, tenants, expires_at FROM tokens ORDER BY id DESC").fetchall()
    (new, old) = rows
    assert new[:3] == old[:3] == ("ci", ["raw", "read"], ["acme"])
    now = datetime.now(UTC)
    assert timedelta(days=89) < new[3] - now < timedelta(days=91)
    assert old[3] - now <= timedelta(hours=1)


def test_a_token_that_ends_sooner_by_itself_still_does(database_url: str) -> None:
    token(database_url, "create", "ci", "-s", "read", "--expires", "1h")
    token(database_url, "rotate", "ci", "--overlap", "90d")
    with psycopg.connect(database_url) as connection:
        ((old,),) = connection.execute("SELECT min(expires_at) FROM tokens").fetchall()
    assert old - datetime.now(UTC) <= timedelta(hours=1)


def test_what_is_not_there_or_ambiguous_is_not_rotated(database_url: str) -> None:
    assert "no valid token 'ci'" in token(database_url, "rotate", "ci").output
    token(database_url, "create", "ci", "-s", "read")
    token(database_url, "create", "ci", "-s", "read", "--tenant", "acme")
    refused = token(database_url, "rotate", "ci")
    assert refused.exit_code == 1
    assert "name one by its id" in refused.output
    assert token(database_url, "list").output.count("valid") == 2


@pytest.mark.parametrize("overlap", ["-1h", "soon"])
def test_an_overlap_that_makes_no_sense_is_refused(database_url: str, overlap: str) -> None:
    token(database_url, "create", "ci", "-s", "read")
    assert token(database_url, "rotate", "ci", f"--overlap={overlap}").exit_code == 2


def test_tenants_are_listed(database_url: str) -> None:
    token(database_url, "create", "shop", "-s", Scope.READ, "--tenant", "acme", "--tenant", "zed")
    token(database_url, "create", "ci", "-s", Scope.READ)
    listed = token(database_url, "list").output
    assert "acme, zed" in listed
    assert "all" in listed
