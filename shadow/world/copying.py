"""Copying the rows that a run without authority needs, from the authoritative database to its own.

They are to be as the twin found them. Shadow comes after the twin, so it can only see whether they still are: a row
that changed since the event is a stale world, and the pair no evidence. What the task itself writes has always changed
by then, so it must not be declared; what it reads, and others write, is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection, sql
from psycopg_pool import AsyncConnectionPool

from shadow.catalogue import Document, ResolvedCatalogue, ResolvedTask
from shadow.catalogue.expressions import MappingFailed
from shadow.catalogue.model import Side
from shadow.catalogue.outside import DatabaseSide
from shadow.catalogue.resolved import ResolvedWorldRow
from shadow.model.world import COPIED, NOT_COPIED, STALE

log = structlog.get_logger(__name__)

LARGEST = 8 * 1024 * 1024
"""Bytes of one task's rows: a world that needs more of them is cloned, not copied for every event."""
TIMEOUT_SECONDS = 15.0
"""Of all that is copied for one run."""
_CONNECTIONS = 4
_WAIT_SECONDS = 5.0
_LONGEST_REASON = 300

_SETTINGS = "SET TIME ZONE 'UTC'; SET statement_timeout = '10s'; SET lock_timeout = '5s'"
_COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod), attnotnull AND NOT atthasdef AND attidentity = '',
       coalesce(attnum = ANY(indkey), false)
FROM pg_attribute LEFT JOIN pg_index ON indrelid = attrelid AND indisprimary
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
_LOCK = "SELECT pg_advisory_xact_lock(%s)"

_Connection = AsyncConnection[Any]


class CannotCopy(Exception):
    """The rows cannot be copied, now or later: the catalogue or the databases have to be mended."""


class _Stale(Exception):
    """A row changed after the event."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """Of a table on one side; those that it computes itself are left out."""

    types: Mapping[str, str]
    """By name."""
    needed: frozenset[str]
    """That neither take null nor have a default."""
    primary: tuple[str, ...]
    """Of the primary key."""


_Rows = list[tuple[str | None, ...]]
"""Each value as PostgreSQL writes it, which is exact for every type; sorted, so that equal rows are equal lists."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Some rows, with the values of one event."""

    row: ResolvedWorldRow
    values: Mapping[str, str]
    """Column to its value, as text: PostgreSQL reads it as the column's type."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows as they were read."""

    wanted: _Wanted
    columns: _Columns
    content: _Rows

    @property
    def table(self) -> str:
        return self.wanted.row.table

    @property
    def identities(self) -> list[str]:
        """The primary key of each, as client packages write it: the columns in the table's order, joined by colons."""
        places = [place for place, column in enumerate(self.columns.types) if column in self.columns.primary]
        return [":".join(row[place] or "" for place in places) for row in self.content]

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "values": dict(self.wanted.values),
            "types": dict(self.columns.types),
            "needed": sorted(self.columns.needed),
            "primary": list(self.columns.primary),
            "rows": self.content,
        }


class Worlds:
    """The databases of the catalogue, on both sides."""

    def __init__(self, catalogue: ResolvedCatalogue) -> None:
        self._databases = catalogue.databases
        self._pools: dict[tuple[str, Side], AsyncConnectionPool[_Connection]] = {}
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.close()
        self._pools.clear()

    async def copy(self, task: ResolvedTask, data: Any, since: datetime, source: Side, to: Side) -> str:
        """Copy the rows that the task needs for an event.

        Either all are as on the other side afterwards, or nothing was changed. Nothing is ever written to legacy's
        database, which is the real one: whether or not legacy has authority over this event, it has over others.

        Args:
            data: of the event.
            since: the event's start; a row that changed later is not what the twin found.
            source: the side with authority.

        Returns:
            What became of it, for `runs.world`.

        Raises:
            psycopg.OperationalError, TimeoutError: a database cannot be reached or is too busy; to be tried again.
        """

        async def copied() -> None:
            for name, rows in _by_database(task, data):
                found = await self._found(name, rows, since, source)
                await self._replace(name, found, source, to)

        if to is Side.LEGACY and task.world:
            return f"{NOT_COPIED}: legacy's database is nobody's copy"
        if task.cron is not None and task.cron.drains:
            return f"{STALE}: a queue can only be copied as it was at a tick"
        return await self._done(task, copied)

    async def taken(self, task: ResolvedTask, data: Any, side: Side) -> tuple[datetime, list[Rows]]:
        """The rows that the task needs as they are now, and since when, by the database's clock.

        Raises:
            CannotCopy: they cannot be read.
            psycopg.Error, TimeoutError: a database cannot be reached, or refused.
        """
        taken_at: datetime | None = None
        found: list[Rows] = []
        async with asyncio.timeout(TIMEOUT_SECONDS):
            for name, rows in _by_database(task, data):
                if taken_at is None:
                    taken_at = await self._time(name, side)
                found += await self._found(name, rows, None, side)
        if taken_at is None:
            raise CannotCopy("the task has no `world`")
        return taken_at, [rows for row in task.world for rows in found if rows.wanted.row is row]

    async def put(
        self, task: ResolvedTask, data: Any, stored: Sequence[Mapping[str, Any]], source: Side, to: Side
    ) -> str:
        """Have the rows on one side be as they once were on the other; see `copy`.

        Args:
            stored: the rows, in the order of the task's `world`.
        """

        async def put() -> None:
            found = _restored(task, data, stored)
            for name in dict.fromkeys(rows.wanted.row.database for rows in found):
                await self._replace(name, [rows for rows in found if rows.wanted.row.database == name], source, to)

        return await self._done(task, put)

    async def _done(self, task: ResolvedTask, do: Callable[[], Awaitable[None]]) -> str:
        """Do it; what became of it."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await do()
        except _Stale as stale:
            return f"{STALE}: {stale}"
        except CannotCopy as error:
            log.error("world.not_copied", task=task.id, reason=type(error).__name__)  # the run has it in words
            return _shortened(f"{NOT_COPIED}: {error}")
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError):
                raise
            # The class and the constraint or column; never the message, which shows values.
            about = error.diag.constraint_name or error.diag.column_name or error.diag.table_name or ""
            log.error("world.not_copied", task=task.id, reason=type(error).__name__, about=about)
            return _shortened(f"{NOT_COPIED}: {type(error).__name__} {about}".rstrip())
        return COPIED

    async def _time(self, name: str, side: Side) -> datetime:
        async with self._connection(name, side, self._settings(name, side)) as connection:
            row = await (await connection.execute("SELECT clock_timestamp()")).fetchone()
        assert row is not None
        told: datetime = row[0]
        return told

    def _settings(self, name: str, side: Side) -> DatabaseSide:
        pair = self._databases[name]
        return pair.legacy if side is Side.LEGACY else pair.candidate

    async def _found(self, name: str, wanted: Sequence[_Wanted], since: datetime | None, side: Side) -> list[Rows]:
        here = self._settings(name, side)
        async with self._connection(name, side, here) as reading:
            columns = [await _columns(reading, here, one.row) for one in wanted]
            contents: list[_Rows] = []
            # One snapshot of all rows: what belongs together is copied as it was together.
            async with reading.transaction():
                await reading.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                for one, known in zip(wanted, columns, strict=True):
                    if since is not None:
                        await _check_fresh(reading, here, one, since)
                    contents.append(await _read(reading, here, one, known))
        return [Rows(*read) for read in zip(wanted, columns, contents, strict=True)]

    async def _replace(self, name: str, found: Sequence[Rows], source: Side, to: Side) -> None:
        there = self._settings(name, to)
        async with self._connection(name, to, there) as writing:
            theirs = [await _columns(writing, there, rows.wanted.row) for rows in found]
            for rows, known in zip(found, theirs, strict=True):
                _check_columns(rows.table, rows.columns, known, source, to)
            async with writing.transaction():
                written = [
                    (rows.wanted, rows.columns, known, rows.content) for rows, known in zip(found, theirs, strict=True)
                ]
                await _write(writing, there, written)

    @asynccontextmanager
    async def _connection(self, name: str, side: Side, settings: DatabaseSide) -> AsyncIterator[_Connection]:
        async with self._opening:
            pool = self._pools.get((name, side))
            if pool is None:
                pool = AsyncConnectionPool[_Connection](
                    _libpq(settings.dsn.get_secret_value()),
                    min_size=0,
                    max_size=_CONNECTIONS,
                    timeout=_WAIT_SECONDS,
                    max_idle=60.0,
                    open=False,
                    configure=_configure,
                    name=f"world-{name}-{side}",
                    kwargs={"application_name": "shadow-world", "autocommit": True},
                )
                await pool.open()
                self._pools[name, side] = pool
        async with pool.connection() as connection:
            yield connection


async def _configure(connection: _Connection) -> None:
    await connection.execute(_SETTINGS)


def _libpq(dsn: str) -> str:
    """The URL as libpq reads it; its own notation (`host=... dbname=...`) as it is.

    Raises:
        CannotCopy: it is of another database than PostgreSQL.
    """
    scheme, found, rest = dsn.partition("://")
    if not found:
        return dsn
    dialect = scheme.partition("+")[0]
    if dialect not in ("postgresql", "postgres"):
        raise CannotCopy(f"found a database of kind {dialect!r}: rows are copied between PostgreSQL databases only")
    return f"postgresql://{rest}"


def _by_database(task: ResolvedTask, data: Any) -> list[tuple[str, list[_Wanted]]]:
    wanted = [_wanted(row, data) for row in task.world]
    names = dict.fromkeys(one.row.database for one in wanted)
    return [(name, [one for one in wanted if one.row.database == name]) for name in names]


def _restored(task: ResolvedTask, data: Any, stored: Sequence[Mapping[str, Any]]) -> list[Rows]:
    """Rows from what `Rows.stored` gave, in the order in which they are declared by now.

    Raises:
        CannotCopy: they were not taken for this event, or the task's `world` is another by now.
    """
    if len(stored) != len(task.world):
        raise CannotCopy("the task's `world` is not what it was at the tick")
    found = []
    for row, kept in zip(task.world, stored, strict=True):
        wanted = _wanted(row, data)
        if wanted.values != kept["values"]:
            raise CannotCopy(f"the key of {row.table} is not what it was at the tick")
        columns = _Columns(kept["types"], frozenset(kept["needed"]), tuple(kept["primary"]))
        found.append(Rows(wanted, columns, [tuple(values) for values in kept["rows"]]))
    return found


def _wanted(row: ResolvedWorldRow, data: Any) -> _Wanted:
    values = {}
    for column, expression in row.key.items():
        try:
            value = expression.evaluate(Document(data))
        except MappingFailed as error:
            raise CannotCopy(f"the key {column} of {row.table}: {error}") from error
        if isinstance(value, bool):
            value = str(value).lower()
        if not isinstance(value, str | int | float):
            found = "null" if value is None else type(value).__name__
            raise CannotCopy(f"the key {column} of {row.table}: found {found}, expected text or a number")
        values[column] = str(value)
    return _Wanted(row, values)


def _table(side: DatabaseSide, row: ResolvedWorldRow) -> sql.Identifier:
    names = row.table.split(".")
    if side.namespace is not None and len(names) == 1:
        names = [side.namespace, *names]
    return sql.Identifier(*names)


def _condition(wanted: _Wanted) -> sql.Composable:
    """With literals of no type, so that each takes its column's: COPY takes no parameters."""
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(column), sql.Literal(value)) for column, value in wanted.values.items()
    )


async def _columns(connection: _Connection, side: DatabaseSide, row: ResolvedWorldRow) -> _Columns:
    name = _table(side, row).as_string(connection)
    try:
        rows = await (await connection.execute(_COLUMNS, (name,))).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise CannotCopy(f"there is no table {name}") from error
    return _Columns(
        types={column: kind for column, kind, _needed, _primary in rows},
        needed=frozenset(column for column, _kind, needed, _primary in rows if needed),
        primary=tuple(column for column, _kind, _needed, primary in rows if primary),
    )


def _check_columns(table: str, source: _Columns, to: _Columns, source_side: Side, to_side: Side) -> None:
    """A row must fit as it is: what one side alone has would be lost, or made up."""
    lost = sorted(source.types.keys() - to.types.keys())
    if lost:
        raise CannotCopy(f"columns of {table}: {', '.join(lost)} found on {source_side}, not on {to_side}")
    made_up = sorted(to.needed - source.types.keys())
    if made_up:
        raise CannotCopy(f"columns of {table}: {', '.join(made_up)} needed on {to_side}, not found on {source_side}")


async def _check_fresh(connection: _Connection, side: DatabaseSide, wanted: _Wanted, since: datetime) -> None:
    column = wanted.row.changed_at
    if column is None:
        return
    query = sql.SQL("SELECT max({}::timestamptz) FROM {} WHERE {}").format(
        sql.Identifier(column), _table(side, wanted.row), _condition(wanted)
    )
    row = await (await connection.execute(query)).fetchone()
    changed = row[0] if row else None
    if changed is not None and changed > since:
        raise _Stale(f"{wanted.row.table} changed {(changed - since).total_seconds():.3f} s after the event")


async def _read(connection: _Connection, side: DatabaseSide, wanted: _Wanted, columns: _Columns) -> _Rows:
    query = sql.SQL("COPY (SELECT {} FROM {} WHERE {}) TO STDOUT").format(
        _names(columns.types), _table(side, wanted.row), _condition(wanted)
    )
    rows: list[tuple[str | None, ...]] = []
    size = 0
    async with connection.cursor() as cursor, cursor.copy(query) as copy:
        async for row in copy.rows():
            rows.append(row)
            size += sum(len(value) for value in row if value is not None)
            if size > LARGEST:
                raise CannotCopy(f"the rows of {wanted.row.table} are more than {LARGEST} characters")
    return sorted(rows, key=lambda row: [(value is not None, value) for value in row])


async def _write(
    connection: _Connection, side: DatabaseSide, rows: Sequence[tuple[_Wanted, _Columns, _Columns, _Rows]]
) -> None:
    """Make these rows be as they were read, and no others with their keys. What is so already is left alone.

    Deleted from the last table to the first and inserted from the first to the last: parents are declared first.
    """
    tables = {_table(side, wanted.row).as_string(connection) for wanted, *_ in rows}
    for key in sorted(_lock_key(table) for table in tables):
        await connection.execute(_LOCK, (key,))
    changed = [item for item in rows if await _read(connection, side, item[0], item[1]) != item[3]]
    for wanted, columns, theirs, content in reversed(changed):
        await _delete(connection, side, wanted, columns, theirs, content)
    for wanted, columns, theirs, content in changed:
        await _insert(connection, side, wanted, columns, theirs, content)


async def _delete(
    connection: _Connection, side: DatabaseSide, wanted: _Wanted, columns: _Columns, theirs: _Columns, rows: _Rows
) -> None:
    """Delete what has that key and was not read. What was is changed in place: other rows may refer to it."""
    condition = sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(column)) for column in wanted.values)
    statement = sql.SQL("DELETE FROM {} WHERE {}").format(_table(side, wanted.row), condition)
    parameters: list[object] = list(wanted.values.values())
    if theirs.primary:
        statement += sql.SQL(" AND ({}) NOT IN (SELECT {} FROM {})").format(
            _names(theirs.primary),
            sql.SQL(", ").join(_typed(column, theirs) for column in theirs.primary),
            _unnested(columns),
        )
        parameters += _transposed(columns, rows)
    await connection.execute(statement, parameters)


async def _insert(
    connection: _Connection, side: DatabaseSide, wanted: _Wanted, columns: _Columns, theirs: _Columns, rows: _Rows
) -> None:
    statement = sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}").format(
        _table(side, wanted.row),
        _names(columns.types),
        sql.SQL(", ").join(_typed(column, theirs) for column in columns.types),
        _unnested(columns),
    )
    if theirs.primary:
        others = [column for column in columns.types if column not in theirs.primary]
        changes = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in others)
        action = sql.SQL("UPDATE SET {}").format(changes) if others else sql.SQL("NOTHING")
        statement += sql.SQL(" ON CONFLICT ({}) DO {}").format(_names(theirs.primary), action)
    await connection.execute(statement, _transposed(columns, rows))


def _names(columns: Iterable[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _typed(column: str, columns: _Columns) -> sql.Composable:
    # The type's name is PostgreSQL's own spelling of it.
    return sql.SQL("{}::{}").format(sql.Identifier(column), sql.SQL(columns.types[column]))


def _unnested(columns: _Columns) -> sql.Composable:
    """The rows as a table of text: one parameter a column."""
    parameters = sql.SQL(", ").join(sql.SQL("%s::text[]") for _ in columns.types)
    return sql.SQL("unnest({}) AS copied ({})").format(parameters, _names(columns.types))


def _transposed(columns: _Columns, rows: _Rows) -> list[list[str | None]]:
    return [[row[place] for row in rows] for place in range(len(columns.types))]


def _lock_key(table: str) -> int:
    """Of the advisory lock under which one copy at a time writes that table: two of the same row would collide."""
    digest = hashlib.blake2b(f"shadow-world:{table}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _shortened(reason: str) -> str:
    return reason[:_LONGEST_REASON]
