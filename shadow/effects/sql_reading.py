"""One SELECT in an application's database, whatever its dialect: read-only, limited in time and rows."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from shadow.catalogue.outside import DatabaseSide
from shadow.effects.rows import exact

POOL = 2
"""Connections to one database, and threads that use them."""
_SLACK_SECONDS = 2.0
"""How much longer than its timeout a read may take where the database itself does not end it."""
_STEPS = 10_000
"""Of SQLite's machine, between two looks at the clock."""


class CannotRead(Exception):
    """A read failed; the message says why, and nothing of what was read."""


class SqlReader:
    """Reads one side's database. Connects when it is first asked."""

    def __init__(self, name: str, settings: DatabaseSide) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(POOL, thread_name_prefix=f"shadow-{name}")
        self._engine: Engine | None = None

    async def read(
        self, statement: str, parameters: Mapping[str, Any], *, rows: int, within: timedelta
    ) -> list[dict[str, Any]]:
        """The rows as JSON values.

        Raises:
            CannotRead: the database is away or refused, it took too long, or there were more rows.
        """
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(self._threads, self._read, statement, dict(parameters), rows, within)
        try:
            async with asyncio.timeout(within.total_seconds() + _SLACK_SECONDS):
                return await reading
        except TimeoutError:
            raise CannotRead(f"it took longer than {within.total_seconds():g}s") from None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._engine is not None:
            self._engine.dispose()

    def _read(self, statement: str, parameters: dict[str, Any], rows: int, within: timedelta) -> list[dict[str, Any]]:
        try:
            if self._engine is None:
                self._engine = read_only_engine(self._settings.dsn.get_secret_value())
            with self._engine.connect() as connection:
                _limit(connection, within, self._settings.namespace)
                found = connection.execute(text(statement), parameters)
                columns = list(found.keys())
                read = found.fetchmany(rows + 1)
                connection.rollback()
        except DBAPIError as error:
            raise CannotRead(_named(error.orig)) from None
        except ImportError as error:
            raise CannotRead(f"the database's driver is missing: {error.name}") from None
        except (SQLAlchemyError, ValueError) as error:
            raise CannotRead(type(error).__name__) from None
        if len(read) > rows:
            raise CannotRead(f"it found more than {rows} rows")
        return [dict(zip(columns, (_json(value) for value in row), strict=True)) for row in read]


def read_only_engine(dsn: str) -> Engine:
    """An engine whose sessions can't write, as far as the dialect lets a session say so.

    Args:
        dsn: SQLAlchemy's URL, or libpq's.
    """
    for prefix in ("postgresql://", "postgres://"):
        if dsn.startswith(prefix):
            dsn = "postgresql+psycopg://" + dsn.removeprefix(prefix)
    engine = create_engine(dsn, pool_size=POOL, max_overflow=0, pool_timeout=5, pool_pre_ping=True)
    statements = {
        "postgresql": ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET TIME ZONE 'UTC'"),
        "mysql": ("SET SESSION TRANSACTION READ ONLY",),
        "mariadb": ("SET SESSION TRANSACTION READ ONLY",),
        "sqlite": ("PRAGMA query_only = ON",),
    }.get(engine.dialect.name, ())

    @event.listens_for(engine, "connect")
    def _contain(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()
        connection.commit()

    return engine


def _limit(connection: Connection, within: timedelta, namespace: str | None) -> None:
    milliseconds = max(int(within.total_seconds() * 1000), 1)
    match connection.dialect.name:
        case "postgresql":
            connection.execute(text(f"SET LOCAL statement_timeout = {milliseconds}"))
            if namespace is not None:
                quoted = connection.dialect.identifier_preparer.quote_identifier(namespace)
                connection.execute(text(f"SET LOCAL search_path TO {quoted}"))
        case "mysql":
            connection.execute(text(f"SET SESSION max_execution_time = {milliseconds}"))
        case "mariadb":
            connection.execute(text(f"SET SESSION max_statement_time = {milliseconds / 1000}"))
        case "sqlite":
            until = time.monotonic() + within.total_seconds()
            raw: Any = connection.connection.driver_connection
            raw.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
        case _:
            return


def _json(value: Any) -> Any:
    """As row changes say it too: exact numbers and moments as text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value - value == 0 else str(value)
        case Decimal():
            return exact(value)
        case UUID():
            return str(value)
        case datetime() | date() | time_of_day():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(bytes(value)).decode()
        case Mapping():
            return {str(key): _json(item) for key, item in value.items()}
        case Sequence() | set() | frozenset():
            return [_json(item) for item in value]
        case _:
            return str(value)


def _named(error: BaseException | None) -> str:
    """A driver's error by its class and code alone: its message may quote values."""
    code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
    if code is None and error is not None and error.args and isinstance(error.args[0], int):
        code = error.args[0]  # MySQL's
    return type(error).__name__ if code is None else f"{type(error).__name__} ({code})"
