"""What every test may use: a real PostgreSQL and a migrated database in it."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

from shadow.store import embedded
from shadow.store.database import Database
from shadow.store.tables import metadata

# What CI says of a change must depend on the change alone; whoever tests by hand tries new examples every time.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")

# Every database of the tests is sealed by one master key, as every process on one database must be.
os.environ.setdefault("SHADOW_SEALING_KEY", "dGhlIG1hc3RlciBrZXkgb2YgYWxsIHRoZSB0ZXN0cyE=")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped, 0 too: pytest itself is silent about none."""
    skipped = len(terminalreporter.stats.get("skipped", []))
    terminalreporter.write_line(f"skipped tests: {skipped}")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """An embedded server for the whole session; it goes with its data."""
    folder = Path(tempfile.mkdtemp(prefix="shadow-tests-"))
    url, server = embedded.start(folder, ephemeral=True)
    with psycopg.connect(url, autocommit=True) as connection:
        # Each test copies a database; what a power cut would do is tested elsewhere, on a server with fsync.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield url
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_url(postgres_url: str) -> str:
    """The URL of a migrated database, made once: its many partitions take a second to create."""
    url = _named(postgres_url, "shadow_tests")

    async def migrate() -> None:
        database = Database(url)
        await database.prepare()
        await database.close()

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE shadow_tests")
    asyncio.run(migrate())
    return url


@pytest.fixture
def database_url(migrated_url: str) -> Iterator[str]:
    """The URL of a migrated database without rows; whoever is still connected afterwards is thrown out."""
    with emptied(migrated_url):
        yield migrated_url


@contextmanager
def emptied(migrated_url: str) -> Iterator[None]:
    """Whatever is written meanwhile goes at the end, with whoever is still connected."""
    yield
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        for table in metadata.tables:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database without rows."""
    database = Database(database_url)
    yield database
    await database.close()


def _named(url: str, name: str) -> str:
    return url.replace("/postgres?", f"/{name}?")
