"""What carries HTTP for the client: httpx's interface above, our own connections below.

`httpx` keeps its API but not its pool: of what could stand below it this one is the fastest (`make bench
NAME=transport`) and the only one that passes the whole contract of `tests/integration/platforms/test_client.py`.
"""

from __future__ import annotations

import functools
import re
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import httpx

from shadow.platforms.connection import Connection
from shadow.platforms.pool import Origin, Pool, Tls

RawHeaders = Sequence[tuple[bytes, bytes]]

_HEAD = re.compile(
    rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/1\.1\r\n(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\r\n\0]*\r\n)*\r\n"
)
"""What may be written: nothing that a caller gives can end a line, and so begin another request."""
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests announce a length even of nothing."""
_PORTS = {"http": 80, "https": 443}


@functools.lru_cache(maxsize=2048)
def address(url: str) -> tuple[Origin, bytes, bytes]:
    """Of an address: where to connect, the Host header, the target.

    Raises:
        httpx.UnsupportedProtocol: it is none of HTTP.
    """
    parsed = httpx.URL(url)
    return origin(parsed), parsed.netloc, parsed.raw_path


def origin(url: httpx.URL, tls_name: str | None = None) -> Origin:
    """Where a request to that address goes.

    Raises:
        httpx.UnsupportedProtocol: it is none of HTTP.
    """
    if url.scheme not in _PORTS or not url.host:
        raise httpx.UnsupportedProtocol(f"not an address of HTTP: {url.scheme}:")
    host = url.raw_host.decode("ascii")
    tls = (tls_name or host) if url.scheme == "https" else None
    return Origin(host, url.port or _PORTS[url.scheme], tls)


class Exchange:
    """A request that has been sent, and the answer as it comes. Who has it closes it."""

    def __init__(self, pool: Pool, where: Origin, connection: Connection) -> None:
        self._pool = pool
        self._where = where
        self._connection: Connection | None = connection
        self.status = connection.status
        self.reason = connection.reason
        self.headers = connection.headers
        """In their order, repeated ones included, in the peer's case."""

    async def pieces(self, within: float | None) -> AsyncIterator[bytes]:
        """The body as it comes.

        Args:
            within: seconds for which nothing may come.

        Raises:
            httpx.TransportError: it breaks off.
        """
        while self._connection is not None:
            piece = await self._connection.piece(within)
            if not piece:
                return
            yield piece

    def close(self) -> None:
        """What has not been read is not read any more; a connection that is in the middle of it is closed."""
        if self._connection is not None:
            self._pool.release(self._where, self._connection)
            self._connection = None


class Wire(httpx.AsyncBaseTransport):
    """The transport.

    Args:
        tls: how upstreams are verified and what is shown to them; None: the usual authorities.
        tls_of: the same for a host and port that has its own.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, tls_of: Tls | None = None) -> None:
        self.pool = Pool(tls, tls_of)

    async def whole(
        self, method: str, where: Origin, target: bytes, headers: RawHeaders, content: bytes, *, most: int
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Send a request and wait for all of its answer; the shortest way. No time limit: the caller sets one.

        Args:
            headers: all of them but Content-Length.

        Raises:
            httpx.TransportError: no answer, or it breaks off.
            connection.Overlong: its body is longer than `most`.
        """
        length = b"content-length: %d\r\n" % len(content) if content or method in WITH_BODY else b""
        head = _head(method, target, headers, length)
        connection = self.pool.idle(where) or await self.pool.connect(where, None)
        try:
            connection.begin(method, head, content, most=most)
            body = await connection.whole()
            return connection.status, connection.headers, body
        finally:
            self.pool.release(where, connection)

    async def open(
        self,
        method: str,
        where: Origin,
        target: bytes,
        headers: RawHeaders,
        content: bytes | AsyncIterable[bytes],
        *,
        timeouts: Mapping[str, float | None],
    ) -> Exchange:
        """Send a request, its body as it comes, and wait for the answer's head.

        Args:
            headers: all of them; a body has either a length or is told to come in chunks.
            timeouts: of `connect`, `write` and `read`, in seconds.

        Raises:
            httpx.TransportError: no answer.
        """
        announced, length = _announced(headers)
        if isinstance(content, bytes):
            if len(content) != (length or 0) or (announced and length is None):
                raise httpx.LocalProtocolError("the body has not the length that is announced")
        elif not announced:
            raise httpx.LocalProtocolError("a body that comes in pieces is not announced")
        head = _head(method, target, headers, b"")
        connection = self.pool.idle(where) or await self.pool.connect(where, timeouts.get("connect"))
        try:
            if isinstance(content, bytes):
                connection.begin(method, head, content, most=None)
                await connection.drain(timeouts.get("write"))
            else:
                connection.begin(method, head, b"", most=None)
                await connection.upload(content, length, timeouts.get("write"))
            await connection.head(timeouts.get("read"))
        except BaseException:
            connection.abort()
            self.pool.release(where, connection)
            raise
        return Exchange(self.pool, where, connection)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        extensions = request.extensions
        where = origin(request.url, extensions.get("sni_hostname"))
        target = extensions.get("target", request.url.raw_path)
        timeouts = extensions.get("timeout", {})
        stream = request.stream
        content: bytes | AsyncIterable[bytes]
        if isinstance(stream, httpx.ByteStream):
            content = b"".join([piece async for piece in stream])
        else:
            assert isinstance(stream, httpx.AsyncByteStream)
            content = stream
        exchange = await self.open(request.method, where, target, request.headers.raw, content, timeouts=timeouts)
        return httpx.Response(
            exchange.status,
            headers=exchange.headers,
            stream=_Body(exchange, timeouts.get("read")),
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": exchange.reason},
        )

    async def aclose(self) -> None:
        self.pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.pool.close()


class _Body(httpx.AsyncByteStream):
    def __init__(self, exchange: Exchange, within: float | None) -> None:
        self._exchange = exchange
        self._within = within

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._exchange.pieces(self._within)

    async def aclose(self) -> None:
        self._exchange.close()


def _head(method: str, target: bytes, headers: RawHeaders, more: bytes) -> bytes:
    lines = [b"%b: %b\r\n" % header for header in headers]
    head = b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method.encode("ascii", "replace"), target, b"".join(lines), more)
    if head.count(b"\n") != len(headers) + (3 if more else 2) or _HEAD.fullmatch(head) is None:
        raise httpx.LocalProtocolError("Illegal method, target, header name or header value")
    return head


def _announced(headers: RawHeaders) -> tuple[bool, int | None]:
    """Whether a request announces a body, and of which length; None: it comes in chunks.

    Raises:
        httpx.LocalProtocolError: it announces two, or one that is no length.
    """
    length: int | None = None
    announced = 0
    for name, value in headers:
        if len(name) == 14 and name.lower() == b"content-length":
            announced += 1
            if not value.isdigit():
                raise httpx.LocalProtocolError("Content-Length is no number")
            length = int(value)
        elif len(name) == 17 and name.lower() == b"transfer-encoding":
            announced += 1
            if value.lower() != b"chunked":
                raise httpx.LocalProtocolError("no Transfer-Encoding but chunked")
    if announced > 1:
        raise httpx.LocalProtocolError("a body's length is announced more than once")
    return announced > 0, length
