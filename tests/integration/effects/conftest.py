"""A world whose effects are seen, and a judge of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from shadow.judge.loop import JudgeLoop
from shadow.store import embedded
from shadow.store.database import Database
from tests.integration.effects.world import SeenWorld


@pytest.fixture
def world(database: Database) -> SeenWorld:
    return SeenWorld(database)


@pytest.fixture
def judge(world: SeenWorld) -> JudgeLoop:
    return JudgeLoop(world.database, world.catalogue)


@pytest.fixture(scope="session")
def logical_url() -> Iterator[str]:
    """A server whose log can be decoded; it goes with its data."""
    folder = Path(tempfile.mkdtemp(prefix="shadow-rows-"))
    url, server = embedded.start(folder, ephemeral=True)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET wal_level = logical")
    server.postgres.stop()
    server.postgres.start()
    yield server.postgres.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def shops(logical_url: str) -> Iterator[dict[str, str]]:
    """Both sides' databases of one application, on one server."""
    names = ("legacy", "candidate")
    with psycopg.connect(logical_url, autocommit=True) as connection:
        for name in names:
            connection.execute(f"CREATE DATABASE {name}")
    urls = {name: logical_url.replace("/postgres?", f"/{name}?") for name in names}
    for url in urls.values():
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE orders (id bigint PRIMARY KEY, status text)")
    yield urls
    with psycopg.connect(logical_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL"
        )
        connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
