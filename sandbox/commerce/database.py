"""The tenants' database of one side: in PostgreSQL, as the tasks see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from shadow.capture import Capture

Row: TypeAlias = dict[str, Any]
"""Column to value."""

NAME = "tenant-db"
"""What the catalogue calls the database, whichever side's."""
BUSINESS_KEYS = {"ledger_transactions": ("request_id",)}
"""Table to the columns that say which row it is where ids are generated."""


class TenantDatabase:
    """Rows by table. Calls are short and on one machine, so they block the event loop instead of leaving it."""

    def __init__(self, url: str, capture: Capture) -> None:
        """Connect; what runs write is captured."""
        connection = psycopg.connect(url, autocommit=True)
        self._connection = capture.connection(
            connection, messages=False, report_rows=capture.active, database=NAME, keys=BUSINESS_KEYS
        )

    def close(self) -> None:
        """Close the connection; the rows stay."""
        self._connection.close()

    def upsert(self, table: str, row: Mapping[str, Any]) -> None:
        """Insert a row, or set the given columns of the row with that id."""
        changes = [name for name in row if name != "id"] or ["id"]
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {}").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(sql.Placeholder() for _ in row),
            sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in changes),
        )
        self._connection.execute(statement, [stored(value) for value in row.values()])

    def get(self, table: str, row_id: str) -> Row:
        """The row with that id. Raises LookupError when there is none."""
        found = self.find(table, id=row_id)
        if not found:
            raise LookupError(f"no row {row_id!r} in {table}")
        return found[0]

    def find(self, table: str, **equals: Any) -> list[Row]:
        """The rows whose columns have these values, in the order of their ids."""
        conditions = [sql.SQL("{} = %s").format(sql.Identifier(name)) for name in equals]
        statement = sql.SQL("SELECT * FROM {} WHERE {} ORDER BY id").format(
            sql.Identifier(table), sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("TRUE")
        )
        return self._rows(statement, list(equals.values()))

    def query(self, statement: str, *parameters: Any) -> list[Row]:
        """The rows of any query, with `%s` for each parameter."""
        return self._rows(sql.SQL(statement), list(parameters))

    def _rows(self, statement: sql.SQL | sql.Composed, parameters: list[Any]) -> list[Row]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, parameters).fetchall()


def stored(value: Any) -> Any:
    """A value as the driver takes it."""
    return Jsonb(value) if isinstance(value, dict | list) else value
