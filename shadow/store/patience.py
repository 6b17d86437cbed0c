"""How long a statement is waited for where somebody waits for it: a database that hangs shall not hang its users."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import psycopg
import structlog

log = structlog.get_logger(__name__)


class patience:  # noqa: N801 (it is used as a function)
    """Hang up when what is done with the connection takes longer: it then raises psycopg.OperationalError. None: never.

    Cancelling would wait for the server to confirm it. Whether the server did what it was asked for is not known. A
    class, as a generator that is made a context manager costs more than the timer.
    """

    __slots__ = ("_connection", "_seconds", "_timer")

    def __init__(self, connection: psycopg.AsyncConnection[Any], seconds: float | None) -> None:
        self._connection = connection
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        if self._seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, _hang_up, self._connection)

    async def __aexit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _hang_up(connection: psycopg.AsyncConnection[Any]) -> None:
    log.warning("store.hung_up")
    if connection.closed:
        return
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)
