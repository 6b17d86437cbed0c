"""The tenants' database of one world: SQLite in memory, since what matters is which rows the tasks leave behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import orjson

Row: TypeAlias = dict[str, Any]
"""Column to value."""

_SCHEMA = Path(__file__).with_name("schema.sql")
_JSON = "_json"


class TenantDatabase:
    """Rows by table. Calls take microseconds, so they block the event loop instead of leaving it."""

    def __init__(self, seed_rows: Mapping[str, Iterable[Row]]) -> None:
        """Make the schema and put the seed's rows into it."""
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript(_SCHEMA.read_text())
        self._connection.execute("BEGIN")
        for table, rows in seed_rows.items():
            for row in rows:
                self.upsert(table, row)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()

    def upsert(self, table: str, row: Mapping[str, Any]) -> None:
        """Insert a row, or set the given columns of the row with that id."""
        values = {name: _stored(value) for name, value in row.items()}
        changes = ", ".join(f"{name} = excluded.{name}" for name in values if name != "id") or "id = id"
        self._connection.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))}) "
            f"ON CONFLICT (id) DO UPDATE SET {changes}",
            tuple(values.values()),
        )

    def get(self, table: str, row_id: str) -> Row:
        """The row with that id. Raises LookupError when there is none."""
        found = self.find(table, id=row_id)
        if not found:
            raise LookupError(f"no row {row_id!r} in {table}")
        return found[0]

    def find(self, table: str, **equals: Any) -> list[Row]:
        """The rows whose columns have these values, in the order of their ids."""
        condition = " AND ".join(f"{name} = ?" for name in equals) or "TRUE"
        return self.query(f"SELECT * FROM {table} WHERE {condition} ORDER BY id", *equals.values())

    def query(self, sql: str, *parameters: Any) -> list[Row]:
        """The rows of any query."""
        return [_read(row) for row in self._connection.execute(sql, parameters)]

    def tables(self) -> dict[str, list[Row]]:
        """Every row of every table."""
        names = self.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return {row["name"]: self.find(row["name"]) for row in names}


def _stored(value: Any) -> Any:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() if isinstance(value, dict | list) else value


def _read(row: sqlite3.Row) -> Row:
    return {
        name: orjson.loads(row[name]) if name.endswith(_JSON) and row[name] is not None else row[name]
        for name in row.keys()  # noqa: SIM118  # iterating a sqlite3.Row gives its values
    }
