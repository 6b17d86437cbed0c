"""A lane: one connection that executes one statement, again and again, each time as a transaction of its own.

What psycopg does around a statement (a cursor, adapting each parameter, waiting in a generator, a look into the pool)
takes more of the processor than the rows of a batch. A lane speaks through psycopg's own binding of libpq: the
statement is prepared once, parameters are handed over in PostgreSQL's binary format, and the event loop is told of the
socket once for as long as the connection lasts. Behind a pooler that knows of no prepared statements it is planned each
time.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress

import psycopg
from psycopg import errors
from psycopg.errors import DuplicatePreparedStatement, InvalidSqlStatementName
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from shadow.store.database import Connection, Database, Work
from shadow.store.patience import patience

_PARAMETER = re.compile(rb"%\((\w+)\)s")
_GOOD = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})


class Statement:
    """A statement with named parameters, each of a known type."""

    def __init__(self, name: str, text: bytes, types: Mapping[str, int]) -> None:
        """
        Args:
            name: under which connections keep it, with a digest of the text: pooled by pgbouncer, one may be handed to
                a process of another version.
            text: with `%(name)s` where a parameter stands.
            types: the oid of each parameter, in the order in which `Lane.execute` gets them.
        """
        self.oids = tuple(types.values())
        self.formats = (1,) * len(self.oids)
        numbers = {parameter: number for number, parameter in enumerate(types, start=1)}
        self.text = _PARAMETER.sub(lambda match: b"$%d" % numbers[match[1].decode()], text)
        self.name = f"{name}_{hashlib.blake2b(self.text, digest_size=6).hexdigest()}".encode()


class Lane:
    """Executes its statement for one task at a time."""

    def __init__(self, database: Database, work: Work, statement: Statement, *, within: float | None) -> None:
        """
        Args:
            work: whose pool the connection is of. It has to be one of `AUTOCOMMIT`.
            within: seconds that an execution may take; then the connection is given up. None: any time.
        """
        self._database = database
        self._work = work
        self._statement = statement
        self._within = within
        self._held = AsyncExitStack()
        self._connection: Connection | None = None
        self._socket = -1
        """A second number of the connection's socket. libpq closes its own at once when the connection is lost, and the
        process gives that number to the next socket while the event loop still listens to it in our name."""
        self._prepared = False
        self._waiting: asyncio.Future[list[PGresult]] | None = None
        self._results: list[PGresult] = []
        self._closing: asyncio.Task[None] | None = None

    async def execute(self, parameters: Sequence[bytes | None]) -> PGresult:
        """Execute the statement and return its rows, in binary format. One that fails has changed nothing, unless the
        connection was lost on the way.

        Args:
            parameters: in binary format.

        Raises:
            psycopg.Error: as psycopg says it.
        """
        try:
            results = await self._sent(parameters)
        except BaseException:
            await self.close()
            raise
        try:
            return _good(results)
        except InvalidSqlStatementName:
            # Whoever pools connections between us and the server has given this one to others.
            self._prepared = False
            return _good(await self._sent(parameters))

    async def close(self) -> None:
        """Give the connection back; what is under way on it is lost, and the connection with it."""
        connection, self._connection = self._connection, None
        is_idle = self._waiting is None
        self._waiting, self._results = None, []
        if connection is not None:
            loop, number, self._socket = asyncio.get_running_loop(), self._socket, -1
            loop.remove_reader(number)
            loop.remove_writer(number)
            os.close(number)
            if not is_idle:
                await connection.close()  # the pool makes another in its place
        await self._held.aclose()

    async def _sent(self, parameters: Sequence[bytes | None]) -> list[PGresult]:
        connection = self._connection or await self._connect()
        pgconn, statement = connection.pgconn, self._statement
        async with patience(connection, self._within):
            if not self._database.prepares:  # what one server knows, the next one does not
                pgconn.send_query_params(statement.text, parameters, statement.oids, statement.formats, result_format=1)
                return await self._answer(pgconn)
            if not self._prepared:
                pgconn.send_prepare(statement.name, statement.text, statement.oids)
                prepared = await self._answer(pgconn)
                with suppress(DuplicatePreparedStatement):
                    _good(prepared)
                self._prepared = True
                connection.lanes.add(statement.name)
            pgconn.send_query_prepared(statement.name, parameters, statement.formats, result_format=1)
            return await self._answer(pgconn)

    async def _connect(self) -> Connection:
        if self._closing is not None:
            await self._closing
            self._closing = None
        connection = await self._held.enter_async_context(self._database.connection(self._work))
        try:
            self._socket = os.dup(connection.pgconn.socket)
        except OSError as error:  # as many are open as may be
            raise psycopg.OperationalError(f"no number for the connection's socket: {error.strerror}") from error
        self._connection = connection
        self._prepared = self._statement.name in connection.lanes
        asyncio.get_running_loop().add_reader(self._socket, self._readable, connection)
        return connection

    async def _answer(self, pgconn: PGconn) -> list[PGresult]:
        """The server's results of what was sent last."""
        future: asyncio.Future[list[PGresult]] = asyncio.get_running_loop().create_future()
        self._waiting = future
        if pgconn.flush():
            await self._flushed(pgconn, future)
        return await future

    async def _flushed(self, pgconn: PGconn, answer: asyncio.Future[list[PGresult]]) -> None:
        """What did not fit the socket's buffer goes out as it empties, unless there is an answer before."""
        loop, number, writable = asyncio.get_running_loop(), self._socket, asyncio.Event()
        loop.add_writer(number, writable.set)
        answer.add_done_callback(lambda _: writable.set())
        try:
            while not answer.done() and pgconn.flush():
                writable.clear()
                await writable.wait()
        finally:
            if self._socket == number:  # else it has been closed meanwhile
                loop.remove_writer(number)

    def _readable(self, connection: Connection) -> None:
        """The server has sent something, or hung up."""
        pgconn = connection.pgconn
        try:
            pgconn.consume_input()
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    break
                self._results.append(result)
            else:
                return
        except psycopg.Error as error:
            self._lost(error)
            return
        if self._results:
            future, self._waiting = self._waiting, None
            results, self._results = self._results, []
            if future is not None and not future.done():
                future.set_result(results)

    def _lost(self, error: psycopg.Error) -> None:
        loop, future = asyncio.get_running_loop(), self._waiting
        loop.remove_reader(self._socket)
        if future is None:
            self._closing = loop.create_task(self.close())  # nobody uses it now: the pool may have another
        elif not future.done():
            future.set_exception(error)


class Lanes:
    """Several lanes of one kind, for as many tasks at once."""

    def __init__(
        self, database: Database, work: Work, statement: Statement, *, number: int, within: float | None
    ) -> None:
        self._all = [Lane(database, work, statement, within=within) for _ in range(number)]
        self._free = list(self._all)
        self._room = asyncio.Semaphore(number)

    async def execute(self, parameters: Sequence[bytes | None]) -> PGresult:
        """`Lane.execute`, on the lane that was used last of those that are free."""
        async with self._room:
            lane = self._free.pop()
            try:
                return await lane.execute(parameters)
            finally:
                self._free.append(lane)

    async def close(self) -> None:
        """Give the connections back. What is under way on them is lost."""
        for lane in self._all:
            await lane.close()


def _good(results: Sequence[PGresult]) -> PGresult:
    for result in results:
        if result.status not in _GOOD:
            raise errors.error_from_result(result)
    return results[0]
