"""The databases' part: by what PostgreSQL says, by where the candidate works, and closed where nobody can tell."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from shadow.containment.databases import libpq, prove_databases
from shadow.containment.part import Part, PartState
from shadow.store import embedded
from tests.integration.containment.stage import catalogue


@dataclass
class Two:
    """Legacy's database and one for the candidate, on the same server."""

    url: str

    def dsn(self, name: str, user: str | None = None, scheme: str = "postgresql") -> str:
        found = self.url.replace("/postgres?", f"/{name}?").replace("postgresql://", f"{scheme}://")
        return found if user is None else found.replace("postgres:@", f"{user}:@")


@pytest.fixture
def two(postgres_url: str) -> Iterator[Two]:
    with psycopg.connect(postgres_url, autocommit=True) as server:
        for statement in ("CREATE DATABASE books", "CREATE DATABASE rehearsal", "CREATE ROLE worker LOGIN"):
            server.execute(statement.encode())
    with psycopg.connect(postgres_url.replace("/postgres?", "/books?"), autocommit=True) as books:
        books.execute("CREATE SCHEMA app")
        books.execute("CREATE TABLE app.payouts (id bigint)")
    yield Two(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as server:
        for statement in ("DROP DATABASE books (FORCE)", "DROP DATABASE rehearsal (FORCE)", "DROP ROLE worker"):
            server.execute(statement.encode())


@pytest.fixture
def other_server() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="shadow-tests-"))
    url, server = embedded.start(folder, ephemeral=True)
    yield url
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


async def shown(legacy: str, candidate: str, *, role: str | None = "worker", namespace: str | None = "app") -> Part:
    declared = f"""
databases:
  main:
    legacy: {{dsn: "{legacy}"{f", namespace: {namespace}" if namespace else ""}}}
    candidate: {{dsn: "{candidate}"{f", role: {role}" if role else ""}}}
"""
    return await prove_databases(catalogue(databases=declared))


def text(part: Part) -> str:
    return "\n".join([*part.says, *part.todo, *part.warnings])


async def test_without_a_declared_database_there_is_nothing_to_show() -> None:
    part = await prove_databases(catalogue())
    assert part.state is PartState.PASSED
    assert "not declared is not looked at" in text(part)


async def test_a_role_without_write_privileges_passes(two: Two) -> None:
    part = await shown(two.dsn("books"), two.dsn("rehearsal"))
    assert part.state is PartState.PASSED, part
    assert "worker has no write privilege on any of the 1 tables of books.app" in text(part)


async def test_a_role_that_may_write_fails_with_how(two: Two) -> None:
    with psycopg.connect(two.dsn("books"), autocommit=True) as books:
        books.execute("GRANT USAGE ON SCHEMA app TO worker")
        books.execute("GRANT INSERT ON app.payouts TO worker")
        try:
            part = await shown(two.dsn("books"), two.dsn("rehearsal"))
        finally:
            books.execute("REVOKE ALL ON app.payouts FROM worker")
            books.execute("REVOKE ALL ON SCHEMA app FROM worker")
    assert part.state is PartState.FAILED
    assert "as worker it has INSERT on app.payouts" in text(part)
    assert "databases.main.candidate.role" in text(part)


async def test_another_database_of_the_same_server_does_not_help_a_login_that_may_write(two: Two) -> None:
    part = await shown(two.dsn("books"), two.dsn("rehearsal"), role="postgres")
    assert part.state is PartState.FAILED
    assert "it is a superuser" in text(part)


async def test_another_schema_of_the_same_database_passes_if_the_role_can_t_write_legacys(two: Two) -> None:
    assert (await shown(two.dsn("books"), two.dsn("books"))).state is PartState.PASSED


async def test_the_role_is_the_one_of_the_dsn_where_none_is_declared(two: Two) -> None:
    part = await shown(two.dsn("books"), two.dsn("rehearsal", "worker"), role=None)
    assert part.state is PartState.PASSED, part
    part = await shown(two.dsn("books"), two.dsn("rehearsal"), role=None)
    assert "postgres may write" in text(part)


async def test_a_server_of_its_own_passes_where_legacys_knows_no_such_role(two: Two, other_server: str) -> None:
    part = await shown(two.dsn("books"), other_server, role="somebody")
    assert part.state is PartState.PASSED, part
    assert "works on another server" in text(part)


async def test_a_role_of_the_same_name_on_legacys_server_is_warned_of(two: Two, other_server: str) -> None:
    part = await shown(two.dsn("books"), other_server, role="postgres")
    assert part.state is PartState.PASSED
    assert "legacy's server has a role postgres as well, and that one may write" in text(part)


@pytest.mark.parametrize(
    ("role", "namespace", "said"),
    [
        ("nobody_here", "app", "the server has no role nobody_here"),  # misspelt: nothing would be shown
        ("worker", "apps", "no schema 'apps'"),
        ("worker", "public", "has no tables"),
        ("worker", None, "has no tables"),  # the connection's own schema: public
    ],
)
async def test_what_shows_nothing_proves_nothing(two: Two, role: str, namespace: str | None, said: str) -> None:
    part = await shown(two.dsn("books"), two.dsn("rehearsal"), role=role, namespace=namespace)
    assert part.state is PartState.FAILED
    assert said in text(part)


async def test_a_database_that_is_away_or_of_another_kind_proves_nothing(two: Two) -> None:
    away = f"postgresql://worker@/books?host={quote('/nowhere')}"
    part = await shown(away, two.dsn("rehearsal"))
    assert (part.state, "legacy's database can't be asked" in text(part)) == (PartState.FAILED, True)
    part = await shown(two.dsn("books"), away)
    assert (part.state, "the candidate's database can't be asked" in text(part)) == (PartState.FAILED, True)
    part = await shown("mysql+aiomysql://root@127.0.0.1/books", two.dsn("rehearsal"))
    assert (part.state, "a database of kind mysql" in text(part)) == (PartState.FAILED, True)


async def test_sqlalchemys_urls_are_taken(two: Two) -> None:
    driver = "postgresql+psycopg"
    part = await shown(two.dsn("books", scheme=driver), two.dsn("rehearsal", scheme=driver))
    assert part.state is PartState.PASSED, part
    assert libpq("postgresql+asyncpg://a@b/c") == "postgresql://a@b/c"
