"""Both sides' databases on one server: each has a role of its own, which cannot even connect to the other's."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from sandbox.commerce.database import Row, stored

_SCHEMA = Path(__file__).with_name("schema.sql")


@dataclass(frozen=True)
class DatabaseUrls:
    """Where each side's workers find theirs."""

    legacy: str
    candidate: str


def prepare(
    server_url: str,
    legacy: Mapping[str, Iterable[Row]],
    candidate: Mapping[str, Iterable[Row]],
    *,
    prefix: str = "commerce",
) -> DatabaseUrls:
    """Make both databases anew, with these rows.

    Args:
        server_url: of a role that may make databases and roles.
        prefix: of the databases' and roles' names.
    """
    with psycopg.connect(server_url, autocommit=True) as server:
        return DatabaseUrls(
            legacy=_made(server, server_url, f"{prefix}_legacy", legacy),
            candidate=_made(server, server_url, f"{prefix}_candidate", candidate),
        )


def drop(server_url: str, *, prefix: str = "commerce") -> None:
    """Remove what `prepare` made."""
    with psycopg.connect(server_url, autocommit=True) as server:
        for name in (f"{prefix}_legacy", f"{prefix}_candidate"):
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            server.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def _made(
    server: psycopg.Connection[tuple[object, ...]], server_url: str, name: str, rows: Mapping[str, Iterable[Row]]
) -> str:
    """A database and the role that owns it, of the same name; its URL for that role."""
    identifier, password = sql.Identifier(name), secrets.token_urlsafe(16)
    server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
    server.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(identifier))
    server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(identifier, sql.Literal(password)))
    # The order of text is that of the programs that sort it too.
    made = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 LOCALE 'C' ENCODING 'UTF8'")
    server.execute(made.format(identifier, identifier))
    server.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(identifier))
    server.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(identifier))
    url = _url(server_url, name, password)
    with psycopg.connect(url) as connection:
        connection.execute(_SCHEMA.read_bytes())
        for table, its in rows.items():
            _fill(connection, table, its)
    return url


def _fill(connection: psycopg.Connection[tuple[object, ...]], table: str, rows: Iterable[Row]) -> None:
    by_columns: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        by_columns.setdefault(tuple(row), []).append(row)
    for columns, alike in by_columns.items():
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in alike:
                copy.write_row([stored(value) for value in row.values()])


def _url(server_url: str, role: str, password: str) -> str:
    """The server's URL, but for that role and the database of its name."""
    parts = urlsplit(server_url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password, safe='')}@{host}", path=f"/{role}"))
