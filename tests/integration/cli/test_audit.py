"""What people do with secrets by command is in the audit: who, when, which; never the secret."""

from __future__ import annotations

import asyncio
import getpass
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from shadow.cli import app
from shadow.cli.sealing_key import NEW_VARIABLE
from shadow.sealing import vault
from shadow.store.database import Database
from tests.unit.shadow.catalogues import TEXT

Row = tuple[str, str, list[str], str]


def shadow(database_url: str, *arguments: str, **environment: str) -> Result:
    done = CliRunner().invoke(app, [*arguments, "--database-url", database_url], env=environment)
    assert done.exit_code == 0, done.output
    return done


def acts(database_url: str) -> list[Row]:
    with psycopg.connect(database_url) as connection:
        return connection.execute("SELECT actor, kind, tasks, says FROM acts ORDER BY at, id").fetchall()


def stored(database_url: str) -> str:
    with psycopg.connect(database_url) as connection:
        return str(connection.execute("SELECT * FROM acts").fetchall())


def test_the_life_of_a_token_is_on_record(database_url: str) -> None:
    made = shadow(
        database_url, "token", "create", "ci", "-s", "raw", "-s", "read", "--tenant", "acme", "--actor", "ann"
    )
    rotated = shadow(database_url, "token", "rotate", "ci", "--overlap", "1h", "--actor", "bob")
    shadow(database_url, "token", "revoke", "ci")
    first, second, *ended = acts(database_url)
    assert first == ("ann", "token", [], "made the token 'ci' (raw, read for acme), valid for ever")
    assert second[:2] == ("bob", "token")
    assert second[3].startswith(
        "rotated the token 'ci' (raw, read for acme), the new one valid for ever, the old until"
    )
    assert [(actor, says) for actor, _, _, says in ended] == [
        (getpass.getuser(), "revoked the token 'ci' (raw, read for acme)")
    ] * 2
    for secret in (made.stdout.strip(), rotated.stdout.split()[-1]):
        assert secret.startswith("shadow_")
        assert secret not in stored(database_url)


def test_the_life_of_an_egress_key_is_on_record(database_url: str) -> None:
    made = shadow(database_url, "egress-key", "create", "legacy", "workers", "--expires", "30d", "--actor", "ann")
    rotated = shadow(database_url, "egress-key", "rotate", "workers", "--actor", "bob")
    shadow(database_url, "egress-key", "revoke", "workers", "--actor", "eve")
    first, second, *ended = acts(database_url)
    assert first[:2] == ("ann", "egress_key")
    assert first[3].startswith("made the egress key 'workers' of legacy, valid until 20")
    assert second[0] == "bob"
    assert second[3].startswith("rotated the egress key 'workers' of legacy, the new one valid until 20")
    assert [(actor, says) for actor, _, _, says in ended] == [("eve", "revoked the egress key 'workers' of legacy")] * 2
    for secret in (made.stdout.strip(), rotated.stdout.split()[-1]):
        assert secret.startswith("shk_")
        assert secret not in stored(database_url)


@pytest.mark.parametrize(
    "arguments",
    [
        ("token", "revoke", "nobody"),
        ("token", "create", " ", "-s", "read"),
        ("egress-key", "rotate", "nobody"),
    ],
)
def test_what_is_refused_leaves_no_row(database_url: str, arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, [*arguments, "--database-url", database_url]).exit_code != 0
    assert acts(database_url) == []


def test_destroying_and_wrapping_the_keys_of_tenants_is_on_record(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def make() -> None:
        database = Database(database_url)
        await database.vault.ready(["acme", "shop"])
        await database.close()

    asyncio.run(make())
    monkeypatch.setitem(vault.Vault.forget.__kwdefaults__ or {}, "lead", timedelta(milliseconds=10))
    shadow(database_url, "forget", "--tenant", "acme", "--yes", "--actor", "ann")
    fresh = CliRunner().invoke(app, ["sealing-key", "new"]).output.strip()
    shadow(database_url, "sealing-key", "rotate", "--actor", "bob", **{NEW_VARIABLE: fresh})
    assert [(actor, kind, says) for actor, kind, _, says in acts(database_url)] == [
        ("ann", "sealing", "destroyed the key of the tenant 'acme'"),
        ("bob", "sealing", "had the master key changed, by which 1 keys of tenants are wrapped"),
    ]
    assert fresh not in stored(database_url)


def test_judging_again_is_on_record_unless_it_only_says_what_would_change(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "catalogue.yaml").write_text(TEXT)
    common = ("judge", "-t", "sync-order", "--since", "2026-09-01", "-c", str(tmp_path / "catalogue.yaml"))
    shadow(database_url, *common, "--dry-run")
    assert acts(database_url) == []
    shadow(database_url, *common, "--actor", "ann")
    assert acts(database_url) == [
        ("ann", "judgement", ["sync-order"], "had pairs of events from 2026-09-01 00:00 UTC judged again")
    ]
