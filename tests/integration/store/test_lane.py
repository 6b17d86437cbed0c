"""A lane executes one statement at little cost, and is as safe as any connection."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
import pytest
import uvloop
from psycopg.errors import InvalidTextRepresentation

from shadow.store.arrays import Texts, binary
from shadow.store.database import Database, Work
from shadow.store.lane import Lane, Lanes, Statement

ECHO = Statement("echo", b"SELECT pg_backend_pid(), %(text)s", {"text": Texts.element_oid})
NUMBERS = Statement("numbers", b"SELECT sum(given::int) FROM unnest(%(given)s) AS given", {"given": Texts.array_oid})
SLEEP = Statement("sleep", b"SELECT pg_sleep(%(seconds)s::float)", {"seconds": Texts.element_oid})


@pytest.fixture
async def lane(database: Database) -> AsyncIterator[Lane]:
    made = Lane(database, Work.BELL, ECHO, within=30)  # whose pool has one connection
    yield made
    await made.close()


async def echoed(lane: Lane, text: bytes = b"") -> tuple[int, bytes]:
    result = await lane.execute((text,))
    pid, said = result.get_value(0, 0), result.get_value(0, 1)
    assert pid is not None
    assert said is not None
    return int.from_bytes(pid, "big"), said


async def ended(database: Database, pid: int) -> None:
    async with database.connection(Work.CONTROL) as connection:
        await connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


async def test_it_stays_on_one_connection_and_prepares_once(lane: Lane, database: Database) -> None:
    (first, said), (second, _) = await echoed(lane, b"hello"), await echoed(lane)
    assert (first, said) == (second, b"hello")
    await lane.close()
    assert (await echoed(lane))[0] == first  # back from the pool, where it is prepared still


async def test_what_does_not_fit_the_sockets_buffer_goes_out_bit_by_bit(lane: Lane) -> None:
    text = b"x" * 8_000_000
    assert (await echoed(lane, text))[1] == text


async def test_a_statement_that_fails_costs_no_connection(database: Database) -> None:
    lane = Lane(database, Work.INTAKE, NUMBERS, within=30)
    with pytest.raises(InvalidTextRepresentation):
        await lane.execute((binary(Texts(["1", "two"])),))
    result = await lane.execute((binary(Texts(["1", "2"])),))
    assert result.get_value(0, 0) == (3).to_bytes(8, "big")
    await lane.close()


async def test_a_connection_that_is_lost_meanwhile_is_replaced(lane: Lane, database: Database) -> None:
    pid, _ = await echoed(lane)
    await ended(database, pid)
    await asyncio.sleep(0.05)
    assert (await echoed(lane))[0] != pid


async def cut_off(database: Database, sleeping: asyncio.Task[Any]) -> None:
    """Have the server end what sleeps."""
    async with database.connection(Work.CONTROL) as connection:
        while not sleeping.done():
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE state = 'active' AND datname = current_database() AND query LIKE 'SELECT pg_sleep%'"
            )
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("within", [30.0, 0.2])
async def test_one_that_is_lost_or_does_not_answer_in_time_says_so(database: Database, within: float) -> None:
    lane = Lane(database, Work.INTAKE, SLEEP, within=within)
    await lane.execute((b"0",))
    begun = time.monotonic()
    sleeping = asyncio.create_task(lane.execute((b"20",)))
    if within > 1:
        await cut_off(database, sleeping)
    with pytest.raises(psycopg.OperationalError):
        await sleeping
    assert time.monotonic() - begun < 15
    await lane.execute((b"0",))
    await lane.close()


async def test_a_statement_that_the_connection_has_forgotten_is_prepared_again(lane: Lane, database: Database) -> None:
    pid, _ = await echoed(lane)
    await lane.close()
    async with database.connection(Work.BELL) as connection:
        assert connection.info.backend_pid == pid
        await connection.execute("DEALLOCATE ALL")
    assert await echoed(lane, b"again") == (pid, b"again")


async def test_behind_a_pooler_that_keeps_no_statements_none_is_prepared(lane: Lane, database: Database) -> None:
    database.prepares = False
    assert (await echoed(lane, b"hello"))[1] == b"hello"
    await lane.close()
    async with database.connection(Work.BELL) as connection:
        assert await (await connection.execute("SELECT name FROM pg_prepared_statements")).fetchall() == []


async def test_lanes_are_for_as_many_as_there_are(database: Database) -> None:
    lanes = Lanes(database, Work.INTAKE, ECHO, number=2, within=30)
    busy = [asyncio.create_task(lanes.execute((b"",))) for _ in range(2)]
    pids = {(await one).get_value(0, 0) for one in busy}
    assert len(pids) == 2
    await lanes.close()


async def test_a_lost_connections_number_is_the_next_ones_that_opens_a_socket(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libpq closes a lost socket at once, and the process may give its number away before the lane is told."""
    lane = Lane(database, Work.INTAKE, SLEEP, within=30)
    await lane.execute((b"0",))
    assert lane._connection is not None
    number, lost, opened = lane._connection.pgconn.socket, lane._lost, list[socket.socket]()

    def lost_and_reused(error: psycopg.Error) -> None:
        lost(error)
        while number not in [one.fileno() for one in opened]:
            opened.extend(socket.socketpair())
        asyncio.get_running_loop().add_reader(number, print)

    monkeypatch.setattr(lane, "_lost", lost_and_reused)
    sleeping = asyncio.create_task(lane.execute((b"20",)))
    await cut_off(database, sleeping)
    with pytest.raises(psycopg.OperationalError):
        await sleeping
    assert asyncio.get_running_loop().remove_reader(number), "somebody else's socket is heard no more"
    for one in opened:
        one.close()
    await lane.close()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_server_that_stops_in_the_middle_of_a_long_statement_is_not_waited_for(
    database_url: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """It reads no more, so that the rest of the statement never goes out."""

    async def statement() -> None:
        database = Database(database_url)
        lane = Lane(database, Work.INTAKE, ECHO, within=0.5)
        pid, _ = await echoed(lane)
        os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(10):
                with pytest.raises(psycopg.OperationalError):
                    await lane.execute((b"x" * 8_000_000,))
        finally:
            os.kill(pid, signal.SIGCONT)
            await lane.close()
            await database.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(statement())


async def test_without_a_number_for_its_socket_it_gives_the_connection_back(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process has as many files open as it may."""

    def none_left(number: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(os, "dup", none_left)
        with pytest.raises(psycopg.OperationalError):
            await echoed(lane)
    assert (await echoed(lane, b"again"))[1] == b"again"
