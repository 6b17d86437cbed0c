"""How long a statement is waited for where somebody waits for it: a database that hangs shall not hang its users."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import structlog

log = structlog.get_logger(__name__)


@asynccontextmanager
async def patience(connection: psycopg.AsyncConnection[Any], seconds: float | None) -> AsyncIterator[None]:
    """Hang up when what is done with the connection takes longer: it then raises psycopg.OperationalError. None: never.

    Cancelling would wait for the server to confirm it. Whether the server did what it was asked for is not known.
    """
    if seconds is None:
        yield
        return
    timer = asyncio.get_running_loop().call_later(seconds, _hang_up, connection)
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(connection: psycopg.AsyncConnection[Any]) -> None:
    log.warning("store.hung_up")
    if connection.closed:
        return
    with socket.socket(fileno=os.dup(connection.pgconn.socket)) as line:
        line.shutdown(socket.SHUT_RDWR)
