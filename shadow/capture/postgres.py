"""psycopg connections that tell the server whose transaction it is, and Shadow which rows a run wrote."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import tuple_row
from psycopg.sql import Composable

from shadow.capture.row_effects import RowEffects
from shadow.capture.run import Run, current_run
from shadow.capture.statements import Statement, read
from shadow.capture.transactions import Transaction

if TYPE_CHECKING:
    _Cursor = psycopg.Cursor[Any]
    _AsyncCursor = psycopg.AsyncCursor[Any]
else:
    _Cursor = _AsyncCursor = object

PREFIX = "shadow"
"""Of the logical decoding message."""
_MARK = "SELECT pg_catalog.pg_logical_emit_message(true, 'shadow', %s)"
_ASKED = ("insert", "upsert", "update", "delete")

Captured = TypeVar("Captured", "psycopg.Connection[Any]", "psycopg.AsyncConnection[Any]")


@dataclass(frozen=True)
class _Call:
    """A statement of a run that may change something, or ends a transaction."""

    run: Run
    statement: Statement
    text: str
    alone: bool
    """It has to be put into a transaction, so that the mark and what it changes are in the same."""
    asks: bool
    """The server is asked which rows it wrote."""


@dataclass
class Capturing:
    """What a connection is captured with."""

    messages: bool
    rows: RowEffects | None
    transaction: Transaction = field(default_factory=Transaction)

    def call(self, connection: Any, query: Any) -> _Call | None:
        """What a statement is to us; None: nothing, it is only to be executed."""
        run = current_run()
        if run is None:
            return None
        text = _text(connection, query)
        statement = read(text) if text is not None else Statement("statement", writes=True)
        idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
        if idle:
            self.transaction.begin()
        if not statement.writes and statement.ends is None:
            return None
        asks = (
            self.rows is not None
            and text is not None
            and statement.verb in _ASKED
            and statement.table is not None
            and not (statement.known or statement.returning or _pipelining(connection))
        )
        alone = self.messages and idle and connection.autocommit and statement.alone
        return _Call(run, statement, text or "", alone, asks)

    def mark(self, connection: Any, call: _Call) -> str | None:
        """What the server is to be told before the statement; None: it knows, or cannot take it."""
        if not self.messages or not call.statement.writes or not _writable(connection):
            return None
        ended_with_it = connection.autocommit and not call.alone
        if ended_with_it and connection.pgconn.transaction_status == TransactionStatus.IDLE:
            return None  # it would be a transaction of its own, and say nothing of the statement's
        whose = (call.run.run, call.run.attempt)
        if self.transaction.marked_for == whose:
            return None
        self.transaction.marked_for = whose
        return json.dumps(call.run.marks(), separators=(",", ":"))

    def done(self, cursor: Any, call: _Call, parameters: Any) -> None:
        """The statement went through."""
        statement = call.statement
        if statement.ends is not None:
            self._ended(statement, cursor.statusmessage)
            return
        if self.rows is not None and statement.writes_rows:
            self.transaction.note(call.run, self._rows(self.rows, cursor, call, parameters))
        self._settled(cursor.connection, call)

    def done_many(self, cursor: Any, call: _Call, parameters: Iterable[Any]) -> None:
        """The statement went through with each of these."""
        if self.rows is not None and call.statement.writes_rows:
            if call.statement.known:
                for each in parameters:
                    self.transaction.note(call.run, self.rows.written(call.statement, each))
            else:
                self.transaction.note(call.run, self.rows.statement(call.statement, call.text, cursor.rowcount))
        self._settled(cursor.connection, call)

    def entered(self, connection: Any) -> int:
        """A block of a transaction begins; this moment."""
        if connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self.transaction.begin()
        return self.transaction.here()

    def committed(self, aborted: bool) -> None:
        """A commit went through; of a transaction that had failed before, the server makes a rollback."""
        if aborted:
            self.transaction.begin()
        else:
            self.transaction.committed()

    def left(self, connection: Any, moment: int, undone: bool) -> None:
        """A block of a transaction ended."""
        if undone:
            self.transaction.back_to(moment)
        elif connection.pgconn.transaction_status == TransactionStatus.IDLE or _pipelining(connection):
            self.transaction.committed()

    def _rows(self, rows: RowEffects, cursor: Any, call: _Call, parameters: Any) -> list[dict[str, Any]]:
        statement = call.statement
        if statement.known:
            return rows.written(statement, parameters)
        if statement.verb in _ASKED and statement.table is not None and not _pipelining(cursor.connection):
            returned = _returned(cursor)
            if returned is not None:
                return rows.returned(statement, parameters, returned)
        return rows.statement(statement, call.text, cursor.rowcount)

    def _ended(self, statement: Statement, answer: str | None) -> None:
        name = statement.savepoint or ""
        match statement.ends:
            case "commit":
                self.committed(aborted=answer == "ROLLBACK")
            case "rollback":
                self.transaction.begin()
            case "savepoint":
                self.transaction.savepoint(name)
            case _:
                self.transaction.back_to_savepoint(name)

    def _settled(self, connection: Any, call: _Call) -> None:
        """A statement that was a transaction by itself."""
        if not call.alone and connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self.transaction.committed()


class CapturedCursor(_Cursor):
    """In front of a cursor's class."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        capturing = _of(self.connection)
        call = capturing.call(self.connection, query)
        if call is None:
            return super().execute(query, params, **options)
        if not call.alone:
            return self._captured(capturing, call, query, params, options)
        with self.connection.transaction():
            return self._captured(capturing, call, query, params, options)

    def executemany(self, query: Any, params_seq: Iterable[Any], *, returning: bool = False) -> None:
        capturing = _of(self.connection)
        call = capturing.call(self.connection, query)
        if call is None:
            super().executemany(query, params_seq, returning=returning)
            return
        many = list(params_seq)
        with self._within(call):
            self._marked(capturing, call)
            super().executemany(query, many, returning=returning)
            capturing.done_many(self, call, many)

    def stream(self, query: Any, params: Any = None, **options: Any) -> Iterator[Any]:
        capturing = _of(self.connection)
        call = capturing.call(self.connection, query)
        if call is None:
            yield from super().stream(query, params, **options)
            return
        with self._within(call):
            self._marked(capturing, call)
            yield from super().stream(query, params, **options)
            capturing.done_many(self, call, (params,))

    @contextmanager
    def copy(self, statement: Any, params: Any = None, **options: Any) -> Iterator[psycopg.Copy]:
        capturing = _of(self.connection)
        call = capturing.call(self.connection, statement)
        if call is None:
            with super().copy(statement, params, **options) as copy:
                yield copy
            return
        with self._within(call):
            self._marked(capturing, call)
            with super().copy(statement, params, **options) as copy:
                yield copy
            capturing.done_many(self, call, ())

    def _captured(self, capturing: Capturing, call: _Call, query: Any, params: Any, options: Mapping[str, Any]) -> Any:
        self._marked(capturing, call)
        super().execute(_asking(call) if call.asks else query, params, **options)
        capturing.done(self, call, params)
        return self

    @contextmanager
    def _within(self, call: _Call) -> Iterator[None]:
        if call.alone:
            with self.connection.transaction():
                yield
        else:
            yield

    def _marked(self, capturing: Capturing, call: _Call) -> None:
        mark = capturing.mark(self.connection, call)
        if mark is not None:
            psycopg.Cursor(self.connection, row_factory=tuple_row).execute(_MARK, (mark,))


class AsyncCapturedCursor(_AsyncCursor):
    """In front of an asynchronous cursor's class."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        capturing = _of(self.connection)
        call = capturing.call(self.connection, query)
        if call is None:
            return await super().execute(query, params, **options)
        if not call.alone:
            return await self._captured(capturing, call, query, params, options)
        async with self.connection.transaction():
            return await self._captured(capturing, call, query, params, options)

    async def executemany(self, query: Any, params_seq: Iterable[Any], *, returning: bool = False) -> None:
        capturing = _of(self.connection)
        call = capturing.call(self.connection, query)
        if call is None:
            await super().executemany(query, params_seq, returning=returning)
            return
        many = list(params_seq)
        async with self._within(call):
            await self._marked(capturing, call)
            await super().executemany(query, many, returning=returning)
            capturing.done_many(self, call, many)

    async def stream(self, query: Any, params: Any = None, **options: Any) -> AsyncIterator[Any]:
        capturing = _of(self.connection)
        call = capturing.call(self.connection, query)
        if call is None:
            async for row in super().stream(query, params, **options):
                yield row
            return
        async with self._within(call):
            await self._marked(capturing, call)
            async for row in super().stream(query, params, **options):
                yield row
            capturing.done_many(self, call, (params,))

    @asynccontextmanager
    async def copy(self, statement: Any, params: Any = None, **options: Any) -> AsyncIterator[psycopg.AsyncCopy]:
        capturing = _of(self.connection)
        call = capturing.call(self.connection, statement)
        if call is None:
            async with super().copy(statement, params, **options) as copy:
                yield copy
            return
        async with self._within(call):
            await self._marked(capturing, call)
            async with super().copy(statement, params, **options) as copy:
                yield copy
            capturing.done_many(self, call, ())

    async def _captured(
        self, capturing: Capturing, call: _Call, query: Any, params: Any, options: Mapping[str, Any]
    ) -> Any:
        await self._marked(capturing, call)
        await super().execute(_asking(call) if call.asks else query, params, **options)
        capturing.done(self, call, params)
        return self

    @asynccontextmanager
    async def _within(self, call: _Call) -> AsyncIterator[None]:
        if call.alone:
            async with self.connection.transaction():
                yield
        else:
            yield

    async def _marked(self, capturing: Capturing, call: _Call) -> None:
        mark = capturing.mark(self.connection, call)
        if mark is not None:
            await psycopg.AsyncCursor(self.connection, row_factory=tuple_row).execute(_MARK, (mark,))


def _connection_class(theirs: Any) -> Any:
    """A connection's class, captured. Of one base, so that a connection of theirs can become one of it."""

    class CapturedConnection(theirs):  # type: ignore[misc]
        @contextmanager
        def transaction(
            self, savepoint_name: str | None = None, force_rollback: bool = False
        ) -> Iterator[psycopg.Transaction]:
            capturing = _of(self)
            moment, undone = capturing.entered(self), True
            try:
                with super().transaction(savepoint_name, force_rollback) as block:
                    yield block
                    undone = block.force_rollback
            except BaseException:
                undone = True
                raise
            finally:
                capturing.left(self, moment, undone)

        def commit(self) -> None:
            aborted = self.pgconn.transaction_status == TransactionStatus.INERROR
            super().commit()
            _of(self).committed(aborted)

        def rollback(self) -> None:
            _of(self).transaction.begin()
            super().rollback()

    return CapturedConnection


def _async_connection_class(theirs: Any) -> Any:
    """An asynchronous connection's class, captured."""

    class AsyncCapturedConnection(theirs):  # type: ignore[misc]
        @asynccontextmanager
        async def transaction(
            self, savepoint_name: str | None = None, force_rollback: bool = False
        ) -> AsyncIterator[psycopg.AsyncTransaction]:
            capturing = _of(self)
            moment, undone = capturing.entered(self), True
            try:
                async with super().transaction(savepoint_name, force_rollback) as block:
                    yield block
                    undone = block.force_rollback
            except BaseException:
                undone = True
                raise
            finally:
                capturing.left(self, moment, undone)

        async def commit(self) -> None:
            aborted = self.pgconn.transaction_status == TransactionStatus.INERROR
            await super().commit()
            _of(self).committed(aborted)

        async def rollback(self) -> None:
            _of(self).transaction.begin()
            await super().rollback()

    return AsyncCapturedConnection


def captured(connection: Captured, *, messages: bool, rows: RowEffects | None) -> Captured:
    """The same connection, captured from here on; capturing it again changes with what."""
    again = "shadow_capturing" in vars(connection)
    vars(connection)["shadow_capturing"] = Capturing(messages, rows)
    if not again:
        asynchronous = isinstance(connection, psycopg.AsyncConnection)
        of_connection = _async_connection_class if asynchronous else _connection_class
        connection.__class__ = _made(of_connection, type(connection))
        connection.cursor_factory = _made(
            _async_cursor_class if asynchronous else _cursor_class, connection.cursor_factory
        )
    return connection


_CLASSES: dict[tuple[Any, Any], Any] = {}


def _made(make: Callable[[Any], Any], theirs: Any) -> Any:
    """The captured class of theirs; the same one every time."""
    if (make, theirs) not in _CLASSES:
        _CLASSES[make, theirs] = make(theirs)
    return _CLASSES[make, theirs]


def _cursor_class(theirs: Any) -> Any:
    return type(f"Captured{theirs.__name__}", (CapturedCursor, theirs), {})


def _async_cursor_class(theirs: Any) -> Any:
    return type(f"Captured{theirs.__name__}", (AsyncCapturedCursor, theirs), {})


def _of(connection: Any) -> Capturing:
    return cast(Capturing, vars(connection)["shadow_capturing"])


def _text(connection: Any, query: Any) -> str | None:
    """A statement with its placeholders; None when it has none that could be read."""
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode(errors="replace")
    return query.as_string(connection) if isinstance(query, Composable) else None


def _asking(call: _Call) -> str:
    return f"{call.text.rstrip().rstrip(';')}\nRETURNING *"


def _returned(cursor: Any) -> list[dict[str, Any]] | None:
    """The rows that a statement returned, whatever the cursor makes of them; None when it returned none at all."""
    result = cursor.pgresult
    if result is None or not result.nfields:
        return None
    names = [column.name for column in cursor.description]
    transformer = Transformer(cursor.connection)
    transformer.set_pgresult(result, set_loaders=True)
    return [dict(zip(names, row, strict=True)) for row in transformer.load_rows(0, result.ntuples, tuple)]


def _pipelining(connection: Any) -> bool:
    return bool(connection.pgconn.pipeline_status != PipelineStatus.OFF)


def _writable(connection: Any) -> bool:
    """Whether the server takes marks: not a standby, and not a session that only reads."""
    status = connection.pgconn.parameter_status
    return (
        connection.read_only is not True
        and status(b"in_hot_standby") != b"on"
        and status(b"default_transaction_read_only") != b"on"
    )
