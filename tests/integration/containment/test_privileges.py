"""What PostgreSQL itself says of a role: every way to write is found, and reading is no write."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

import psycopg
import pytest

from shadow.containment.privileges import NoSuchRole, Privileges, privileges_of
from shadow.store.database import OtherConnection

_NUMBER = itertools.count(1)


@dataclass
class Arranged:
    """A database with legacy's tables in the schema `app`, and a role for the candidate that may do nothing yet."""

    connection: OtherConnection
    url: str
    role: str

    async def do(self, *statements: str) -> None:
        for statement in statements:
            await self.connection.execute(statement.replace("WORKER", self.role).encode())

    async def shown(self) -> Privileges:
        return await privileges_of(self.connection, self.role, "app")


@pytest.fixture
async def arranged(postgres_url: str) -> AsyncIterator[Arranged]:
    name = f"privileges_{next(_NUMBER)}"
    url = postgres_url.replace("/postgres?", f"/{name}?")
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as server:
        await server.execute(f"CREATE DATABASE {name}".encode())
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        made = Arranged(connection, url, f"worker_{name}")
        await made.do(
            "CREATE ROLE WORKER LOGIN",
            "CREATE ROLE WORKER_owner",
            "CREATE SCHEMA app AUTHORIZATION WORKER_owner",
            "CREATE TABLE app.payouts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount bigint, note text)",
            "CREATE TABLE app.orders (id bigint PRIMARY KEY)",
            "ALTER TABLE app.payouts OWNER TO WORKER_owner",
            "ALTER TABLE app.orders OWNER TO WORKER_owner",
            "CREATE SCHEMA own AUTHORIZATION WORKER",
        )
        yield made
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as server:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        rows = await (
            await server.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", (f"%{name}%",))
        ).fetchall()
        for (role,) in rows:
            await server.execute(f"DROP ROLE {role}".encode())


READ_ONLY = {
    "nothing at all": [],
    "reading": ["GRANT USAGE ON SCHEMA app TO WORKER", "GRANT SELECT ON ALL TABLES IN SCHEMA app TO WORKER"],
    "reading as everybody": ["GRANT USAGE ON SCHEMA app TO PUBLIC", "GRANT SELECT ON app.payouts TO PUBLIC"],
    "reading by a membership": [
        "CREATE ROLE WORKER_readers",
        "GRANT USAGE ON SCHEMA app TO WORKER_readers",
        "GRANT SELECT ON ALL TABLES IN SCHEMA app TO WORKER_readers",
        "GRANT WORKER_readers TO WORKER",
    ],
    "reading everything": ["GRANT pg_read_all_data TO WORKER"],
    "a schema of its own, beside": [
        "GRANT USAGE ON SCHEMA app TO WORKER",
        "GRANT SELECT ON app.payouts TO WORKER",
        "CREATE TABLE own.payouts (id bigint)",
        "ALTER TABLE own.payouts OWNER TO WORKER",
    ],
    "a view of its own over what it may read": [
        "GRANT USAGE ON SCHEMA app TO WORKER",
        "GRANT SELECT ON app.payouts TO WORKER",
        "CREATE VIEW own.seen AS SELECT * FROM app.payouts",
        "ALTER VIEW own.seen OWNER TO WORKER",
    ],
    "everything on a view that can't be written through": [
        "GRANT USAGE ON SCHEMA app TO WORKER",
        "CREATE VIEW app.sums AS SELECT sum(amount) FROM app.payouts",
        "ALTER VIEW app.sums OWNER TO WORKER_owner",
        "GRANT ALL ON app.sums TO WORKER",
    ],
    "writing in another schema of legacy's": [
        "CREATE SCHEMA other",
        "CREATE TABLE other.log (id bigint)",
        "GRANT USAGE ON SCHEMA other TO WORKER",
        "GRANT ALL ON other.log TO WORKER",
    ],
    "references": ["GRANT USAGE ON SCHEMA app TO WORKER", "GRANT REFERENCES ON app.payouts TO WORKER"],
}
USAGE = "GRANT USAGE ON SCHEMA app TO WORKER"
WRITES = {
    "insert": ([USAGE, "GRANT INSERT ON app.payouts TO WORKER"], "has INSERT on app.payouts"),
    "update": ([USAGE, "GRANT UPDATE ON app.payouts TO WORKER"], "has UPDATE on app.payouts"),
    "delete": ([USAGE, "GRANT DELETE ON app.payouts TO WORKER"], "has DELETE on app.payouts"),
    "truncate": ([USAGE, "GRANT TRUNCATE ON app.orders TO WORKER"], "has TRUNCATE on app.orders"),
    "trigger": ([USAGE, "GRANT TRIGGER ON app.payouts TO WORKER"], "has TRIGGER on app.payouts"),
    "all": ([USAGE, "GRANT ALL ON app.payouts TO WORKER"], "INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER on app.payouts"),
    "one column": ([USAGE, "GRANT UPDATE (note) ON app.payouts TO WORKER"], "has UPDATE on app.payouts"),
    "as everybody": ([USAGE, "GRANT INSERT ON app.payouts TO PUBLIC"], "has INSERT on app.payouts"),
    "schema and table as everybody": (
        ["GRANT USAGE ON SCHEMA app TO PUBLIC", "GRANT DELETE ON app.payouts TO PUBLIC"],
        "has DELETE on app.payouts",
    ),
    "a membership": (
        ["CREATE ROLE WORKER_writers", "GRANT USAGE ON SCHEMA app TO WORKER_writers",
         "GRANT INSERT ON app.payouts TO WORKER_writers", "GRANT WORKER_writers TO WORKER"],
        "_writers it has INSERT on app.payouts",
    ),
    "a membership of a membership that does not inherit": (
        ["CREATE ROLE WORKER_writers", "CREATE ROLE WORKER_between", "GRANT USAGE ON SCHEMA app TO WORKER_writers",
         "GRANT INSERT ON app.payouts TO WORKER_writers",
         "GRANT WORKER_writers TO WORKER_between WITH INHERIT FALSE",
         "GRANT WORKER_between TO WORKER WITH INHERIT FALSE"],
        "_writers it has INSERT on app.payouts",
    ),
    "usage by one membership, the table by another": (
        ["CREATE ROLE WORKER_in", "CREATE ROLE WORKER_on", "GRANT USAGE ON SCHEMA app TO WORKER_in",
         "GRANT INSERT ON app.payouts TO WORKER_on", "GRANT WORKER_in TO WORKER", "GRANT WORKER_on TO WORKER"],
        "_on it has INSERT on app.payouts",
    ),
    "pg_write_all_data": (["GRANT pg_write_all_data TO WORKER"], "has INSERT, UPDATE, DELETE on app.payouts"),
    "the server's programs": (["GRANT pg_execute_server_program TO WORKER"], "pg_execute_server_program"),
    "the server's files": (["GRANT pg_write_server_files TO WORKER"], "pg_write_server_files"),
    "superuser": (["ALTER ROLE WORKER SUPERUSER"], "it is a superuser"),
    "a member of a superuser": (
        ["CREATE ROLE WORKER_root SUPERUSER", "GRANT WORKER_root TO WORKER WITH INHERIT FALSE"],
        "_root, a superuser",
    ),
    "the owner": (["ALTER TABLE app.orders OWNER TO WORKER"], "owns app.orders"),
    "the owner, all revoked from itself": (
        ["ALTER TABLE app.orders OWNER TO WORKER", "REVOKE ALL ON app.orders FROM WORKER"],
        "owns app.orders",
    ),
    "a member of the owner": (["GRANT WORKER_owner TO WORKER"], "_owner it owns app.payouts"),
    "the schema's owner": (["ALTER SCHEMA app OWNER TO WORKER"], "it owns the schema"),
    "create in the schema": (["GRANT CREATE ON SCHEMA app TO WORKER"], "may create objects in the schema"),
    "create in the schema as everybody": (["GRANT CREATE ON SCHEMA app TO PUBLIC"], "may create objects"),
    "a view that writes with its owner's rights": (
        ["CREATE VIEW own.door AS SELECT * FROM app.payouts", "ALTER VIEW own.door OWNER TO WORKER_owner",
         "GRANT INSERT ON own.door TO WORKER"],
        "has INSERT on own.door",
    ),
    "a view on a view": (
        ["CREATE VIEW app.inner_door AS SELECT * FROM app.payouts", "ALTER VIEW app.inner_door OWNER TO WORKER_owner",
         "CREATE VIEW own.door AS SELECT * FROM app.inner_door", "ALTER VIEW own.door OWNER TO WORKER_owner",
         "GRANT DELETE ON own.door TO WORKER"],
        "has DELETE on own.door",
    ),
    "a parent that the table is a partition of": (
        ["CREATE TABLE own.parts (id bigint) PARTITION BY RANGE (id)",
         "CREATE TABLE app.part PARTITION OF own.parts FOR VALUES FROM (0) TO (9)",
         "GRANT INSERT ON own.parts TO WORKER"],
        "has INSERT on own.parts",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", READ_ONLY)
async def test_reading_is_no_write(arranged: Arranged, case: str) -> None:
    await arranged.do(*READ_ONLY[case])
    shown = await arranged.shown()
    assert shown.writes == ()
    assert shown.tables >= 2


@pytest.mark.parametrize("case", WRITES)
async def test_every_way_to_write_is_found(arranged: Arranged, case: str) -> None:
    statements, says = WRITES[case]
    await arranged.do(*statements)
    shown = await arranged.shown()
    assert shown.may_write
    assert any(says in phrase for phrase in shown.writes), shown.writes


async def test_the_owner_of_the_database_may_write(arranged: Arranged) -> None:
    await arranged.do(f"ALTER DATABASE {(await arranged.shown()).database} OWNER TO WORKER")
    assert any("owns the database" in phrase for phrase in (await arranged.shown()).writes)


async def test_a_superuser_is_one_way_not_a_list_of_all_roles(arranged: Arranged) -> None:
    await arranged.do("ALTER ROLE WORKER SUPERUSER")
    assert (await arranged.shown()).writes == ("it is a superuser",)


WARNED = {
    "a sequence": ([USAGE, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA app TO WORKER"], "the sequence app.payouts_id_seq"),
    "passing by row level security": (["ALTER ROLE WORKER BYPASSRLS"], "BYPASSRLS"),
    "a function with its owner's rights": (
        ["CREATE FUNCTION own.pay() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM app.payouts'",
         "ALTER FUNCTION own.pay() OWNER TO WORKER_owner"],
        "may call own.pay()",
    ),
    "tables to come": (
        ["ALTER DEFAULT PRIVILEGES FOR ROLE WORKER_owner IN SCHEMA app GRANT INSERT ON TABLES TO WORKER"],
        "creates later will be writable",
    ),
    "tables to come, for everybody": (
        ["ALTER DEFAULT PRIVILEGES FOR ROLE WORKER_owner GRANT INSERT ON TABLES TO PUBLIC"],
        "writable by everybody",
    ),
    "privileges that only the schema keeps away": (["GRANT INSERT ON app.payouts TO PUBLIC"], "missing USAGE"),
}  # fmt: skip


@pytest.mark.parametrize("case", WARNED)
async def test_what_is_no_privilege_and_may_do_harm_is_a_warning(arranged: Arranged, case: str) -> None:
    statements, says = WARNED[case]
    await arranged.do(*statements)
    shown = await arranged.shown()
    assert not shown.may_write, shown.writes
    assert any(says in phrase for phrase in shown.warnings), shown.warnings


async def test_nothing_is_warned_of_without_cause(arranged: Arranged) -> None:
    await arranged.do(*READ_ONLY["reading"])
    assert (await arranged.shown()).warnings == ()


async def test_what_is_shown_is_what_the_server_does(arranged: Arranged) -> None:
    """The role tries itself: what was called read only is refused, what was called a write is done."""
    await arranged.do(*READ_ONLY["reading"])
    attempt = f"SET ROLE {arranged.role}; INSERT INTO app.payouts (amount) VALUES (1)".encode()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await arranged.connection.execute(attempt)
    await arranged.do("RESET ROLE", *WRITES["insert"][0])
    assert (await arranged.shown()).may_write
    await arranged.connection.execute(attempt)


async def test_a_role_or_a_schema_that_is_not_there_shows_nothing(arranged: Arranged) -> None:
    with pytest.raises(NoSuchRole):
        await privileges_of(arranged.connection, "nobody_of_that_name", "app")
    with pytest.raises(LookupError, match="no schema 'apps'"):
        await privileges_of(arranged.connection, arranged.role, "apps")
    with pytest.raises(LookupError, match="has no tables"):
        await privileges_of(arranged.connection, arranged.role, "own")


async def test_it_can_be_asked_by_a_role_that_may_only_read(arranged: Arranged) -> None:
    await arranged.do(*READ_ONLY["reading"], "CREATE ROLE WORKER_asking LOGIN")
    await arranged.do("SET ROLE WORKER_asking")
    assert not (await arranged.shown()).may_write
    await arranged.do("RESET ROLE")
