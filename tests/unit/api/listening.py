"""Listeners over real sockets, whose applications say what they were sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import orjson
import uvicorn
from starlette.types import Receive, Scope, Send

from api.connection import Connection
from api.front.exchange import Disconnected, read_body, respond
from shadow.service import Listener, server_settings

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n"


class Serving:
    """A listener whose application answers with the size of what it was sent."""

    def __init__(self) -> None:
        self.port = 0
        self.server: uvicorn.Server
        self.served: list[str] = []
        self.left = 0
        self.refuses_early = False
        self.headers: list[bytes] = []
        """Names of the headers that the first request had at its end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.served.append(scope["path"])
        if self.refuses_early:
            await respond(send, 401, b"")
            return
        try:
            body = await read_body(scope, receive, 10_000_000)
        except Disconnected:
            self.left += 1
            return
        self.headers = self.headers or [name for name, _value in scope["headers"]]
        await respond(send, 200, orjson.dumps(len(body)))

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def answer(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """What is answered to these bytes, sent one after the other, until the connection is closed."""
        async with self.connected() as (reader, writer):
            answered = asyncio.create_task(all_of(reader))
            with suppress(ConnectionError):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(pause)
            return await answered


async def all_of(reader: asyncio.StreamReader) -> bytes:
    received = b""
    with suppress(ConnectionError):
        while chunk := await asyncio.wait_for(reader.read(65536), 30):
            received += chunk
    return received


@asynccontextmanager
async def served(made: Serving) -> AsyncIterator[Serving]:
    server = made.server = uvicorn.Server(
        uvicorn.Config(made, **(server_settings(Listener("127.0.0.1", 0)) | {"loop": "none"}))
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    made.port = server.servers[0].sockets[0].getsockname()[1]
    yield made
    server.should_exit = True
    await task


class Directly(Serving):
    """A listener whose application is offered requests that came whole, and answers with what each one holds when it
    is let."""

    def __init__(self) -> None:
        super().__init__()
        self.takes = True
        self.waits = False
        self.replies: list[Callable[[], None]] = []
        self.header = b""

    def direct(self, scope: Scope, body: bytes, reply: Callable[..., None]) -> bool:
        if not self.takes:
            return False

        def answer() -> None:
            reply(202, b"directly " + body, ((b"x-path", self.header or scope["path"].encode()),))

        if self.waits:
            self.replies.append(answer)
        else:
            answer()
        return True

    async def asked(self) -> None:
        """Return when a request waits for its answer."""
        while not self.replies:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)


def kept(serving: Serving) -> Connection:
    (found,) = serving.server.server_state.connections
    assert isinstance(found, Connection)
    return found


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def problem(answer: bytes) -> dict[str, object]:
    said: dict[str, object] = orjson.loads(answer.split(b"\r\n\r\n")[1])
    return said


def post(body: bytes, *headers: bytes) -> bytes:
    more = b"".join(header + b"\r\n" for header in headers)
    return b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n%s\r\n%s" % (len(body), more, body)
