"""The migrations give exactly the schema that the code believes in."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import SchemaItem
from structlog.testing import capture_logs

from shadow.store import embedded
from shadow.store.database import Database, Work, alembic_config
from shadow.store.partitions import months
from shadow.store.tables import PARTITIONED, metadata


def _is_ours(item: SchemaItem, name: str | None, kind: str, reflected: bool, other: SchemaItem | None) -> bool:
    """Partitions exist in the database only."""
    return not (kind == "table" and reflected and name not in metadata.tables and name is not None)


def test_migrations_and_tables_agree(database_url: str) -> None:
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": _is_ours, "compare_type": True})
        differences = compare_metadata(context, metadata)
    engine.dispose()
    assert differences == []


async def test_every_big_table_has_partitions_around_now(database: Database) -> None:
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute("SELECT relname FROM pg_class WHERE relkind = 'r'")
        names = {row[0] for row in await cursor.fetchall()}
    for table in PARTITIONED:
        assert f"{table}_default" in names
        for start, _end in months(datetime.now(UTC)):
            assert f"{table}_{start:%Y_%m}" in names


async def test_sealed_content_is_not_compressed_once_more(database: Database) -> None:
    """It would take time and make nothing smaller."""
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(
            "SELECT relname, attstorage::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
            " WHERE relname ~ '^bodies(_|$)' AND attname = 'content' OR relname ~ '^effects(_|$)' AND attname = 'data'"
        )
        storage = dict(await cursor.fetchall())
    assert {"bodies", "bodies_default", "effects", "effects_default"} < storage.keys()
    assert set(storage.values()) == {"e"}


async def test_processes_that_start_at_once_migrate_once(postgres_url: str, database_url: str) -> None:
    databases = [Database(database_url) for _ in range(4)]
    await asyncio.gather(*(database.prepare() for database in databases))
    for database in databases:
        await database.close()


async def test_nobody_waits_behind_a_migration_that_waits_for_a_table(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that reads a table for an hour may hold a migration up, and not the doors."""
    monkeypatch.setattr("shadow.store.database.MIGRATION_LOCK_MS", 100)
    monkeypatch.setattr("shadow.store.database.MIGRATION_PAUSE", 0.2)
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute("CREATE DATABASE migrated_while_read")
    url = urlsplit(postgres_url)._replace(path="/migrated_while_read").geturl()
    await asyncio.to_thread(command.upgrade, alembic_config(url), "0005")
    database = Database(url)
    with psycopg.connect(url) as backup, psycopg.connect(url, autocommit=True) as door:
        backup.execute("LOCK TABLE bodies IN ACCESS SHARE MODE")
        with capture_logs() as logs:
            preparing = asyncio.create_task(database.prepare())
            async with asyncio.timeout(30):
                while [line["event"] for line in logs].count("store.migration_waits") < 2:
                    await asyncio.sleep(0.01)
                    assert not preparing.done()
        door.execute("SET lock_timeout = '20s'")
        door.execute("DELETE FROM bodies")
        # nor behind the steps before it, which took other tables
        door.execute("DELETE FROM signature_tenants")
        assert door.execute("SELECT version_num FROM alembic_version").fetchone() == ("0006",)
        assert not preparing.done()
        backup.rollback()
        await preparing
        row = door.execute("SELECT version_num FROM alembic_version").fetchone()
    await database.close()
    assert row is not None
    assert row[0] > "0006"


@pytest.mark.parametrize("error", [psycopg.errors.LockNotAvailable(), psycopg.errors.DeadlockDetected()])
async def test_a_migration_that_was_in_somebodys_way_begins_anew_and_gives_up_in_the_end(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: psycopg.Error
) -> None:
    tried: list[str] = []

    def migrate(url: str) -> None:
        tried.append(url)
        if len(tried) < 3:
            raise OperationalError("ALTER TABLE", {}, error)

    monkeypatch.setattr("shadow.store.database.migrate", migrate)
    monkeypatch.setattr("shadow.store.database.MIGRATION_PAUSE", 0.0)
    await database.prepare()
    assert len(tried) == 3
    tried.clear()
    monkeypatch.setattr("shadow.store.database.MIGRATION_SECONDS", 0.0)
    with pytest.raises(type(error)):
        await database.prepare()
    assert len(tried) == 1


def test_the_embedded_server_opens_no_folder_to_others(tmp_path: Path) -> None:
    private = tmp_path / "home"
    private.mkdir(mode=0o700)
    data = private / "data"
    _url, server = embedded.start(data, ephemeral=True)
    try:
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    finally:
        server.cleanup()


def test_a_user_that_was_killed_keeps_no_server_alive(tmp_path: Path) -> None:
    """`kill -9` of a process leaves its name on the list of those who use the server."""
    script = (
        "import sys, time; from pathlib import Path; from shadow.store import embedded;"
        "embedded.start(Path(sys.argv[1]), ephemeral=True); print('up', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "up\n"
    _url, server = embedded.start(tmp_path, ephemeral=True)
    other.kill()
    other.wait()
    other.stdout.close()
    server.cleanup()
    assert not server.postgres.pgdata.exists()


@pytest.mark.parametrize(
    ("now", "first", "last"),
    [
        (datetime(2026, 11, 24, tzinfo=UTC), "2026-10", "2027-01"),  # over the turn of the year
        (datetime(2026, 1, 1, tzinfo=UTC), "2025-12", "2026-03"),  # its very first day
    ],
)
def test_months_reach_from_the_last_to_those_ahead(now: datetime, first: str, last: str) -> None:
    spans = months(now)
    assert f"{spans[0][0]:%Y-%m}" == first
    assert f"{spans[-1][0]:%Y-%m}" == last
