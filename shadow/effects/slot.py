"""One logical replication slot, read through SQL functions: any connection will do, no replication protocol needed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from shadow.catalogue.outside import RowChanges

_SETTINGS = """
SET TIME ZONE 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'iso_8601'; SET bytea_output = 'hex';
SET statement_timeout = '60s'; SET lock_timeout = '5s'
"""
_STATE = """
SELECT pg_current_wal_flush_lsn()::text, slot.confirmed_flush_lsn::text, slot.wal_status, slot.plugin,
       greatest(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), slot.confirmed_flush_lsn), 0)::bigint, now()
FROM (SELECT 1) AS one LEFT JOIN pg_replication_slots AS slot
  ON slot.slot_name = %s AND slot.database = current_database()
"""
_PEEK = """
SELECT lsn::text, data FROM pg_logical_slot_peek_binary_changes(
    %s, NULL, %s, 'proto_version', '1', 'publication_names', %s, 'messages', 'true')
"""
_PUBLISHED = "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = %s"
_NAMES = re.compile(r"[^a-z0-9_]+")
_LONGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class SlotState:
    """Where a slot stands."""

    exists: bool
    flushed: str
    """The end of the server's log."""
    lag_bytes: int
    lost: bool
    at: datetime
    """By the server's clock."""


def names_of(settings: RowChanges, database: str, side: str) -> tuple[str, str]:
    """(slot, publication): the catalogue's names with database and side, since slots are one server's and a
    publication one database's, where both sides may be."""
    suffix = _NAMES.sub("_", f"_{database}_{side}".lower())
    return (
        settings.slot[: _LONGEST_NAME - len(suffix)] + suffix[-_LONGEST_NAME:],
        settings.publication[: _LONGEST_NAME - len(suffix)] + suffix[-_LONGEST_NAME:],
    )


def libpq_url(dsn: str) -> str:
    """A URL that libpq understands.

    Raises:
        ValueError: it is of another database than PostgreSQL.
    """
    scheme, separator, rest = dsn.partition("://")
    if separator and scheme.split("+")[0] not in ("postgresql", "postgres"):
        raise ValueError(f"row changes can be read from PostgreSQL only, found {scheme}")
    return f"postgresql://{rest}" if separator else dsn


class Slot:
    """A slot and its publication in one application database."""

    def __init__(
        self, connection: psycopg.AsyncConnection[Any], name: str, publication: str, tables: Sequence[tuple[str, str]]
    ) -> None:
        """
        Args:
            connection: in autocommit mode.
            tables: (schema, table), all that count.
        """
        self.name = name
        self._connection = connection
        self._publication = publication
        self._tables = list(tables)

    async def prepare(self) -> None:
        await self._connection.execute(_SETTINGS)

    async def state(self) -> SlotState:
        row = await (await self._connection.execute(_STATE, (self.name,))).fetchone()
        assert row is not None
        flushed, confirmed, status, plugin, lag, at = row
        exists = confirmed is not None or plugin is not None
        return SlotState(exists, flushed, lag if exists and lag is not None else 0, status == "lost", at)

    async def publish(self) -> None:
        """Have the tables published; a publication that has them already, whoever made it, is left alone."""
        rows = await (await self._connection.execute(_PUBLISHED, (self._publication,))).fetchall()
        if set(self._tables) <= {(schema, table) for schema, table in rows}:
            return
        listed = sql.SQL(", ").join(sql.Identifier(*table) for table in self._tables)
        known = await self._connection.execute("SELECT FROM pg_publication WHERE pubname = %s", (self._publication,))
        form = "ALTER PUBLICATION {} SET TABLE {}" if known.rowcount else "CREATE PUBLICATION {} FOR TABLE {}"
        await self._connection.execute(sql.SQL(form).format(sql.Identifier(self._publication), listed))

    async def create(self) -> None:
        await self._connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (self.name,))

    async def peek(self, most: int) -> list[bytes]:
        """The messages of the next transactions, whole ones, until there are `most` changes; they stay in the slot."""
        cursor = await self._connection.execute(_PEEK, (self.name, most, self._publication))
        return [bytes(data) for _lsn, data in await cursor.fetchall()]

    async def advance(self, lsn: str) -> None:
        """Let the server forget what lies before."""
        await self._connection.execute("SELECT pg_replication_slot_advance(%s, %s::pg_lsn)", (self.name, lsn))

    async def drop(self) -> bool:
        """Drop the slot, if there is one."""
        cursor = await self._connection.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE slot_name = %s AND database = current_database()",
            (self.name,),
        )
        return bool(cursor.rowcount)
