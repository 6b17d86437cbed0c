"""`shadow egress-key`, against a database."""

from __future__ import annotations

import asyncio
import re

import psycopg
from typer.testing import CliRunner, Result

from shadow.catalogue.model import Side
from shadow.cli import app
from shadow.egress.keys import EgressKeys
from shadow.store.database import Database


def egress_key(database_url: str, *arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["egress-key", *arguments, "--database-url", database_url])


def test_a_key_is_shown_once_and_kept_as_a_hash(database_url: str) -> None:
    made = egress_key(database_url, "create", "candidate", "inngest workers", "--expires", "90d")
    assert made.exit_code == 0, made.output
    assert re.fullmatch(r"shk_[\w-]{43}\n", made.stdout)
    with psycopg.connect(database_url) as connection:
        ((side, name, row),) = connection.execute("SELECT side, name, egress_keys::text FROM egress_keys").fetchall()
    assert (side, name) == ("candidate", "inngest workers")
    assert made.stdout.strip() not in row
    listed = egress_key(database_url, "list")
    assert "inngest workers" in listed.output
    assert "valid until" in listed.output
    assert "shk_" not in listed.output


def test_keys_of_a_name_are_revoked_together_and_stay_listed(database_url: str) -> None:
    for _ in range(2):
        egress_key(database_url, "create", "legacy", "workers")
    ended = egress_key(database_url, "revoke", "workers")
    assert ended.output.count("revoked workers of legacy") == 2
    assert egress_key(database_url, "list").output.count("revoked ") == 2
    again = egress_key(database_url, "revoke", "workers")
    assert again.exit_code == 1
    assert "no key 'workers' to revoke" in again.output


def test_a_side_a_name_and_a_sensible_expiry_are_needed(database_url: str) -> None:
    assert egress_key(database_url, "create", "both", "workers").exit_code == 2
    assert "needs a name" in egress_key(database_url, "create", "legacy", " ").output
    assert egress_key(database_url, "create", "legacy", "workers", "--expires", "soon").exit_code == 2


def test_a_key_is_rotated_with_an_overlap(database_url: str) -> None:
    first = egress_key(database_url, "create", "candidate", "workers").stdout.strip()
    rotated = egress_key(database_url, "rotate", "workers", "--overlap", "2h")
    second = rotated.stdout.strip().splitlines()[-1]
    assert re.fullmatch(r"shk_[\w-]{43}", second)
    assert valid_sides(database_url, first, second) == [Side.CANDIDATE, Side.CANDIDATE]
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE egress_keys SET expires_at = expires_at - interval '2 hours'")
    assert valid_sides(database_url, first, second) == [None, Side.CANDIDATE]


def test_a_name_that_both_sides_have_is_not_rotated(database_url: str) -> None:
    assert egress_key(database_url, "rotate", "workers").exit_code == 1
    for side in ("legacy", "candidate"):
        egress_key(database_url, "create", side, "workers")
    refused = egress_key(database_url, "rotate", "workers")
    assert refused.exit_code == 1
    assert "both sides" in refused.output


def valid_sides(database_url: str, *secrets: str) -> list[Side | None]:
    """Whose the gateway takes each for."""

    async def find() -> list[Side | None]:
        database = Database(database_url)
        try:
            keys = EgressKeys(database)
            await keys.refresh()
            holders = [keys.holder(secret) for secret in secrets]
            return [None if holder is None else holder.side for holder in holders]
        finally:
            await database.close()

    return asyncio.run(find())
