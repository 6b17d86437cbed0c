"""`shadow forget` and `shadow sealing-key`, against a database; and starting with the wrong master key."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from shadow.cli import app
from shadow.cli.sealing_key import NEW_VARIABLE
from shadow.sealing import master, vault
from shadow.sealing.master import FILE_VARIABLE, VARIABLE
from shadow.store.database import Database
from tests.unit.shadow.catalogues import TEXT


def shadow(*arguments: str, answer: str = "", **environment: str) -> Result:
    return CliRunner().invoke(app, [*arguments], input=answer, env=environment)


@pytest.fixture
def tenants(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a database with two tenants; forgetting takes no time."""

    async def make() -> None:
        database = Database(database_url)
        await database.vault.ready(["acme", "shop"])
        await database.close()

    asyncio.run(make())
    defaults = vault.Vault.forget.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "lead", timedelta(milliseconds=10))
    return database_url


def left(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tenant FROM sealing_keys WHERE wrapped IS NOT NULL ORDER BY 1").fetchall()
    return [row[0] for row in rows]


def test_it_asks_first(tenants: str) -> None:
    done = shadow("forget", "--tenant", "acme", "--database-url", tenants, answer="n\n")
    assert done.exit_code == 1
    assert "tenant 'acme'" in done.output
    assert left(tenants) == ["acme", "shop"]


def test_it_destroys_the_key_of_that_tenant_alone(tenants: str) -> None:
    done = shadow("forget", "--tenant", "acme", "--database-url", tenants, answer="y\n")
    assert done.exit_code == 0, done.output
    assert "forgotten: tenant 'acme'" in done.output
    assert left(tenants) == ["shop"]


def test_without_a_key_there_is_nothing_to_forget(tenants: str) -> None:
    done = shadow("forget", "--tenant", "nobody", "--yes", "--database-url", tenants)
    assert done.exit_code == 1
    assert "there is no key of tenant 'nobody'" in done.output


def test_a_new_master_key_is_printed_and_takes_over(tenants: str) -> None:
    fresh = shadow("sealing-key", "new").output.strip()
    assert master.parse(fresh)
    done = shadow("sealing-key", "rotate", "--database-url", tenants, **{NEW_VARIABLE: fresh})
    assert done.exit_code == 0, done.output
    assert "2 keys" in done.output

    async def opens() -> None:
        database = Database(tenants, sealing_key=lambda: master.parse(fresh))
        await database.vault.ready(["acme", "shop"])
        await database.close()

    asyncio.run(opens())
    again = shadow("sealing-key", "rotate", "--database-url", tenants, **{NEW_VARIABLE: fresh})
    assert again.exit_code == 2
    assert "another master key" in again.output


def test_rotating_needs_a_new_key(tenants: str) -> None:
    done = shadow("sealing-key", "rotate", "--database-url", tenants)
    assert done.exit_code == 2
    assert NEW_VARIABLE in done.output


@pytest.mark.parametrize("command", ["up", "serve", "work"])
def test_no_process_starts_on_an_external_database_without_a_master_key(
    command: str, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(TEXT)
    done = shadow(command, "-c", str(catalogue), "--data", str(tmp_path), "--database-url", database_url)
    assert done.exit_code == 2
    assert "set SHADOW_SEALING_KEY" in done.output


def test_nor_with_another_than_the_databases(tmp_path: Path, tenants: str) -> None:
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(TEXT)

    async def make() -> None:
        database = Database(tenants)
        await database.vault.ready([None])
        await database.close()

    asyncio.run(make())
    done = shadow("work", "-c", str(catalogue), "--database-url", tenants, **{VARIABLE: "ab" * 32})
    assert done.exit_code == 2
    assert "wrapped by another master key" in done.output


def test_a_command_that_needs_the_master_key_says_so(tenants: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE)
    done = shadow("forget", "--tenant", "acme", "--yes", "--database-url", tenants)
    assert done.exit_code == 2
    assert "set SHADOW_SEALING_KEY" in done.output
