"""What every test may use: a real PostgreSQL and a fresh, migrated database in it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from shadow.store import embedded
from shadow.store.database import Database


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """An embedded server for the whole session; it goes with its data."""
    folder = Path(tempfile.mkdtemp(prefix="shadow-tests-"))
    url, server = embedded.start(folder, ephemeral=True)
    yield url
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> str:
    """A migrated database that others are copied from, which is much faster than migrating each."""

    async def make() -> None:
        database = Database(_named(postgres_url, "template_shadow"))
        await database.prepare()
        await database.close()

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_shadow")
    asyncio.run(make())
    return "template_shadow"


@pytest.fixture
def database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """The URL of a fresh, migrated database."""
    name = f"shadow_{uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY FILE_COPY")
    yield _named(postgres_url, name)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh, migrated database."""
    database = Database(database_url)
    yield database
    await database.close()


def _named(url: str, name: str) -> str:
    return url.replace("/postgres?", f"/{name}?")
