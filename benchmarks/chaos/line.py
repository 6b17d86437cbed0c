"""A line between Shadow and something outside, which can be made to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
from enum import StrEnum
from urllib.parse import SplitResult

from benchmarks.pump import CHUNK, pump


class Manner(StrEnum):
    """How a line treats what comes."""

    PASS = "pass"
    REFUSE = "refuse"
    """Connections are closed at once."""
    HANG = "hang"
    """What comes is taken, and nothing ever answered."""
    RESET = "reset"
    """What comes gets there and is done; instead of the answer the connection ends."""
    ERROR = "error"
    """500, without having asked."""
    BUSY = "busy"
    """429, and to come back in a second."""
    LIE = "lie"
    """200, with an error in the body, without having asked."""
    PAGE = "page"
    """200 with a page for people, as a proxy or a login in between shows it, without having asked."""
    SHAPE = "shape"
    """200 with JSON of another shape, without having asked."""
    SLOW = "slow"
    """What comes gets there, and each answer takes a while longer."""


def _answer(status: str, body: str, *headers: str) -> bytes:
    lines = (
        f"HTTP/1.1 {status}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
        *headers,
    )
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


_CANNED = {
    Manner.ERROR: _answer("500 Internal Server Error", '{"error":"it is broken"}'),
    Manner.BUSY: _answer("429 Too Many Requests", '{"error":"slow down"}', "retry-after: 1"),
    Manner.PAGE: _answer("200 OK", "<!doctype html><title>Sign in</title>").replace(b"application/json", b"text/html"),
    Manner.SHAPE: _answer("200 OK", '[{"id":7},"ids",null,{"runs":{"data":"x"}}]'),
    Manner.LIE: _answer("200 OK", '{"error":"it did not work","status":500}'),
}


_SLOW_SECONDS = 0.8


class Line:
    """A TCP proxy on the loopback interface."""

    def __init__(self, port: int, leads_to: SplitResult) -> None:
        assert leads_to.port is not None
        self._port = port
        self._backend = leads_to.port
        self._path = leads_to.path
        self._manner = Manner.PASS
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{self._path}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self._cut()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def behave(self, manner: Manner) -> None:
        """From now on; connections that exist are cut, as they would pass everything."""
        self._manner = manner
        self._cut()

    def _cut(self) -> None:
        for connection in list(self._connections):
            connection.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self._carry(reader, writer)
        except asyncio.CancelledError:
            pass  # it is cut
        finally:
            self._connections.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        manner = self._manner
        if manner is Manner.REFUSE:
            return
        if manner is Manner.HANG:
            while await reader.read(CHUNK):
                pass
            return
        if manner in _CANNED:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_CANNED[manner])
            await writer.drain()
            return
        upstream, downstream = await asyncio.open_connection("127.0.0.1", self._backend)
        try:
            if manner is Manner.RESET:
                there = asyncio.create_task(pump(reader, downstream))
                await upstream.read(1)  # the answer begins: it is done
                there.cancel()
                await asyncio.gather(there, return_exceptions=True)
                writer.transport.abort()
            elif manner is Manner.SLOW:
                await asyncio.gather(pump(reader, downstream), _late(upstream, writer))
            else:
                await asyncio.gather(pump(reader, downstream), pump(upstream, writer))
        finally:
            downstream.close()


async def _late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, each piece a while after it came."""
    while chunk := await reader.read(CHUNK):
        await asyncio.sleep(_SLOW_SECONDS)
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
