"""The reverse proxy against raw sockets: what leaves and what comes back, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from api.front.exchange import respond
from api.front.passthrough import pass_through
from sandbox.serving import Served
from shadow.platforms.client import carrying_client


@dataclass
class RawUpstream:
    """Answers every connection with the same bytes and remembers what it was sent."""

    answer: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    closes: bool = True
    received: bytes = b""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.received = head
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            self.received += await reader.readuntil(b"0\r\n\r\n")
        elif b"content-length: " in lower:
            length = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0])
            self.received += await reader.readexactly(length)
        writer.write(self.answer)
        await writer.drain()
        if not self.closes:
            await reader.read()
            self.gone.set()
        writer.close()


@pytest.fixture
async def upstream() -> AsyncIterator[RawUpstream]:
    raw = RawUpstream()
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    raw.port = server.sockets[0].getsockname()[1]
    yield raw
    server.close()
    await server.wait_closed()


@pytest.fixture
async def front(upstream: RawUpstream) -> AsyncIterator[int]:
    """The port of a listener that passes everything through."""
    async with carrying_client() as http:

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                base = f"http://127.0.0.1:{upstream.port}/base"
                await pass_through(http, base, scope, receive, send, _unreachable)

        async with Served(application) as served:
            yield int(served.url.rpartition(":")[2])


async def _unreachable(send: Send, error: str) -> None:
    await respond(send, 502, error.encode())


async def talk(port: int, request: bytes) -> bytes:
    """Send bytes, return all that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def head_lines(message: bytes) -> list[bytes]:
    return message.split(b"\r\n\r\n")[0].split(b"\r\n")


async def test_a_request_goes_on_as_it_came(front: int, upstream: RawUpstream) -> None:
    await talk(
        front,
        b"PUT /api/v2/packets/a%2Fb%20c?x=%2F&y HTTP/1.1\r\nHost: front\r\nX-Twice: 1\r\nX-Twice: 2\r\n"
        b"Cookie: a=b\r\nAccept-Encoding: gzip, br\r\nContent-Length: 5\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n"
        b"Expect: 100-continue\r\nTE: trailers\r\n\r\nhello",
    )
    lines = head_lines(upstream.received)
    assert lines[0] == b"PUT /base/api/v2/packets/a%2Fb%20c?x=%2F&y HTTP/1.1"
    names = [line.split(b":")[0].lower() for line in lines[1:]]
    assert names.count(b"x-twice") == 2
    assert names.count(b"content-length") == 1
    assert f"127.0.0.1:{upstream.port}".encode() in upstream.received
    assert b"gzip, br" in upstream.received
    assert b"a=b" in upstream.received
    assert not {b"connection", b"x-hop", b"expect", b"te", b"transfer-encoding", b"user-agent"} & set(names)
    assert upstream.received.endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize("path", ["/v1/../e/key", "/v1/%2e%2e/e/key", "/v1/./runs", "/v1\\..\\e"])
async def test_a_path_that_climbs_goes_nowhere(front: int, upstream: RawUpstream, path: str) -> None:
    answer = await talk(front, f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
    assert b"HTTP/1.1 400" in answer
    assert upstream.received == b""


async def test_a_body_of_unknown_length_stays_chunked(front: int, upstream: RawUpstream) -> None:
    await talk(
        front,
        b"POST /items HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    )
    assert b"transfer-encoding: chunked" in upstream.received.lower()
    assert b"content-length" not in upstream.received.lower()


async def test_a_request_without_a_body_announces_none(front: int, upstream: RawUpstream) -> None:
    await talk(front, b"GET /x HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n")
    assert b"content-length" not in upstream.received.lower()
    assert b"transfer-encoding" not in upstream.received.lower()
    await talk(front, b"POST /x HTTP/1.1\r\nHost: f\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    assert b"content-length: 0" in upstream.received.lower()


@pytest.mark.parametrize(
    "answer",
    [
        # a redirect is the client's to follow
        b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n",
        # compressed bytes stay compressed (these are no gzip at all: nobody may look)
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope",
        # repeated headers stay repeated, in their order
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nelectric-handle: h\r\ncontent-length: 0\r\n\r\n",
        # an answer without a body
        b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n",
        # an error is theirs too
        b"HTTP/1.1 413 Payload Too Large\r\nx-should-retry: false\r\ncontent-length: 2\r\n\r\n{}",
    ],
)
async def test_an_answer_comes_back_as_it_was(front: int, upstream: RawUpstream, answer: bytes) -> None:
    upstream.answer = answer
    returned = await talk(front, b"GET /x HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n")
    expected_head, _, expected_body = answer.partition(b"\r\n\r\n")
    head, _, body = returned.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == expected_head.split(b" ")[1]
    assert body == expected_body
    added = (b"date:", b"server:", b"connection:", b"transfer-encoding:")
    theirs = [line for line in head.split(b"\r\n")[1:] if not line.lower().startswith(added)]
    assert theirs == expected_head.split(b"\r\n")[1:]


async def test_no_cookie_is_remembered(front: int, upstream: RawUpstream) -> None:
    upstream.answer = b"HTTP/1.1 200 OK\r\nset-cookie: session=1\r\ncontent-length: 0\r\n\r\n"
    request = b"GET /x HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n"
    await talk(front, request)
    await talk(front, request)
    assert b"cookie" not in upstream.received.lower()


async def test_a_streamed_answer_arrives_as_it_is_made(front: int, upstream: RawUpstream) -> None:
    upstream.answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"
    upstream.closes = False
    reader, writer = await asyncio.open_connection("127.0.0.1", front)
    writer.write(b"GET /realtime/v1/runs/x HTTP/1.1\r\nHost: f\r\n\r\n")
    assert await asyncio.wait_for(reader.readuntil(b"first"), 10)
    writer.close()
    # A client that goes away takes its upstream request with it.
    await asyncio.wait_for(upstream.gone.wait(), 10)


async def test_an_answer_that_breaks_off_breaks_off_here_too(front: int, upstream: RawUpstream) -> None:
    upstream.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this"
    returned = await talk(front, b"GET /x HTTP/1.1\r\nHost: f\r\n\r\n")
    assert returned.endswith(b"only this")


async def test_a_platform_that_nobody_serves_is_a_502(front: int, upstream: RawUpstream) -> None:
    upstream.answer = b""
    returned = await talk(front, b"GET /x HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n")
    assert returned.startswith(b"HTTP/1.1 502")


async def test_a_client_that_leaves_in_the_middle_of_its_upload_ends_it_upstream(
    front: int, upstream: RawUpstream
) -> None:
    seen: list[Any] = []

    async def watching(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read())
        upstream.gone.set()
        writer.close()

    server = await asyncio.start_server(watching, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    _reader, writer = await asyncio.open_connection("127.0.0.1", front)
    writer.write(b"POST /x HTTP/1.1\r\nHost: f\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.transport.abort()
    await asyncio.wait_for(upstream.gone.wait(), 10)
    server.close()
    await server.wait_closed()
