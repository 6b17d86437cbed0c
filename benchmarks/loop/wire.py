"""HTTP/1.1 as cheaply as Python can: both ends of keep-alive connections, bodies with Content-Length only."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer."""

    start: bytes
    """The first line."""
    original: bytes
    """All of the head, as it came."""
    head: bytes
    """The same in lower case."""
    body: bytes


class Reader:
    """Takes messages out of a stream of bytes. Pure."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete now."""
        self._buffer += data
        messages = []
        while (end := self._buffer.find(_END)) >= 0:
            head = bytes(self._buffer[:end])
            lower = head.lower()
            mark = lower.find(_LENGTH)
            length = 0
            if mark >= 0:
                stop = lower.find(b"\r\n", mark + 2)
                length = int(lower[mark + len(_LENGTH) : stop if stop >= 0 else None])
            whole = end + len(_END) + length
            if len(self._buffer) < whole:
                break
            body = bytes(self._buffer[end + len(_END) : whole])
            messages.append(Message(head.partition(b"\r\n")[0], head, lower, body))
            del self._buffer[:whole]
        return messages


def answer(status: int, body: bytes) -> bytes:
    """An answer of JSON, as bytes."""
    return b"HTTP/1.1 %d OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        status,
        len(body),
        body,
    )


class Serving(asyncio.Protocol):
    """The server's end of a connection: answers each request at once."""

    def __init__(self, respond: Callable[[Message], bytes]) -> None:
        self._respond = respond
        self._reader = Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has no common base with it

    def data_received(self, data: bytes) -> None:
        for message in self._reader.feed(data):
            self._transport.write(self._respond(message))


class _Line(asyncio.Protocol):
    """The client's end of a connection, with one request under way at most."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._reader = Reader()
        self.answered: Callable[[int, bytes], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, answered: Callable[[int, bytes], None]) -> None:
        self.answered = answered
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        for message in self._reader.feed(data):
            told, self.answered = self.answered, None
            if told is not None:
                told(int(message.start[9:12]), message.body)
            self._lines.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        told, self.answered = self.answered, None
        self._lines.lost()
        if told is not None:
            told(0, b"")

    def close(self) -> None:
        self._transport.close()


class Lines:
    """A number of connections to one server; what finds none free waits for one."""

    def __init__(self, host: str, port: int, most: int) -> None:
        self._host = host
        self._port = port
        self._most = most
        self._open = 0
        self._free: list[_Line] = []
        self._waiting: deque[tuple[bytes, Callable[[int, bytes], None]]] = deque()
        self._dialling: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Requests that found no connection free."""
        return len(self._waiting)

    def send(self, request: bytes, answered: Callable[[int, bytes], None]) -> None:
        """Send it as soon as a connection is free; `answered` gets status and body, of a lost connection 0."""
        if self._free:
            self._free.pop().send(request, answered)
            return
        self._waiting.append((request, answered))
        if self._open < self._most:
            self._dial()

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send it and wait for the answer."""
        future: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self.send(request, lambda status, body: None if future.done() else future.set_result((status, body)))
        return await future

    async def warm(self) -> None:
        """Open all connections."""
        while self._open < self._most:
            self._dial()
        await asyncio.gather(*self._dialling)

    def free(self, line: _Line) -> None:
        if self._waiting:
            line.send(*self._waiting.popleft())
        else:
            self._free.append(line)

    def lost(self) -> None:
        self._open -= 1
        self._free = [line for line in self._free if not line._transport.is_closing()]
        if self._waiting:
            self._dial()

    def close(self) -> None:
        for line in self._free:
            line.close()
        self._free.clear()

    def _dial(self) -> None:
        self._open += 1
        task = asyncio.get_running_loop().create_task(self._connect())
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _connect(self) -> None:
        try:
            _transport, line = await asyncio.get_running_loop().create_connection(
                lambda: _Line(self), self._host, self._port
            )
        except OSError:
            self._open -= 1
            await asyncio.sleep(0.2)
            if self._waiting:
                self._dial()
            return
        self.free(line)
