"""One HTTP/1.1 connection: bytes of a request out, an answer's bytes in, both as they are.

The parsing is llhttp's (through httptools), strict. Nothing here knows of redirects, encodings or cookies, so that
none of them can be acted on. A connection carries one exchange after the other, never two at once, and says itself
whether it may carry another: whatever is odd about an exchange ends its connection.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import AsyncIterable
from typing import cast

import httptools
import httpx

_MOST_QUIET = 128 * 1024
"""Bytes that may come without any of a body among them: heads, trailers and chunk extensions end somewhere."""
_PAUSE_ABOVE = 256 * 1024
"""Bytes of a body that are kept for a slow reader before the peer is made to wait."""
_LAST_CHUNK = b"0\r\n\r\n"


class Overlong(Exception):
    """A body is longer than whoever waits for all of it allows."""


class Connection(asyncio.Protocol):
    """One connection to one origin."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.stays = 0.0
        """Seconds for which the peer said that it keeps the connection open; 0: it said nothing."""
        self.status = 0
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._loop = asyncio.get_running_loop()
        self._poll: select.poll | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused_writing = False
        self._paused_reading = False
        self._busy = False
        self._reusable = False
        self._error: httpx.TransportError | None = None
        self._begin("GET", None)
        self._busy = False

    # What the pool asks.

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def fresh(self) -> bool:
        """Whether nothing came since the last exchange: neither bytes that nobody asked for nor the peer's end.

        The kernel is asked, not only the loop, which may not have got round to it yet: a request must not be
        written to a connection that is known to be over.
        """
        if self.closed or self._transport is None or self._poll is None:
            return False
        return not self._poll.poll(0)

    def reusable(self) -> bool:
        """Whether it may carry another exchange: this one is over, for the peer too."""
        return (
            self._complete
            and self._reusable
            and self._sent_whole
            and self._transport is not None
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()
        )

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._parser = None  # it holds this connection, and would keep it alive
        if self._transport is not None:
            self._transport.abort()

    # One exchange.

    def begin(self, method: str, head: bytes, body: bytes, *, most: int | None) -> None:
        """Send a request; of a streamed one the head.

        Args:
            most: the whole answer is waited for, and its body may have that many bytes; None: it is read as it comes.
        """
        self._begin(method, most)
        assert self._transport is not None
        self._transport.write(head + body if len(body) < 65536 else head)
        if len(body) >= 65536:
            self._transport.write(body)

    async def upload(self, body: AsyncIterable[bytes], length: int | None, within: float | None) -> None:
        """Send a streamed body; less of it if the answer is there before its end.

        Args:
            length: as announced; None: in chunks.

        Raises:
            httpx.LocalProtocolError: it has another length than was announced.
            httpx.WriteTimeout: the peer takes nothing for so long.
        """
        assert self._transport is not None
        sent = 0
        async for piece in body:
            if self._head_read or self._error is not None:
                self._sent_whole = False  # the peer may still wait for the rest
                return
            if not piece:
                continue
            sent += len(piece)
            if length is None:
                self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            elif sent > length:
                raise httpx.LocalProtocolError("Too much data for declared Content-Length")
            else:
                self._transport.write(piece)
            await self.drain(within)
        if length is None:
            self._transport.write(_LAST_CHUNK)
        elif sent < length:
            raise httpx.LocalProtocolError("Too little data for declared Content-Length")

    async def drain(self, within: float | None) -> None:
        """Wait until the peer takes more, or has answered.

        Raises:
            httpx.WriteTimeout: it does neither for so long.
        """
        while self._paused_writing and not self._head_read and self._error is None:
            try:
                await self._wait(within)
            except TimeoutError:
                raise httpx.WriteTimeout("the peer takes no more") from None

    async def head(self, within: float | None) -> None:
        """Wait for the answer's head: `status`, `reason` and `headers` are there then.

        Raises:
            httpx.TransportError: it does not come.
        """
        while not self._head_read:
            if self._error is not None:
                raise self._error
            await self._read(within)

    async def piece(self, within: float | None) -> bytes:
        """The next bytes of the answer's body, b"" at its end.

        Raises:
            httpx.TransportError: it breaks off.
        """
        while not self._pieces:
            if self._complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._read(within)
        return self._taken()

    async def whole(self) -> bytes:
        """The answer's body, once all of it is there; `begin` has been told `most`.

        Raises:
            httpx.TransportError: it does not come, or breaks off.
            Overlong: it is too long.
        """
        while not self._complete:
            if self._overlong:
                raise Overlong
            if self._error is not None:
                raise self._error
            await self._wait(None)
        if self._overlong:
            raise Overlong
        return self._taken()

    def _taken(self) -> bytes:
        pieces = self._pieces
        taken = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._held = 0
        if self._paused_reading and self._transport is not None:
            self._paused_reading = False
            self._transport.resume_reading()
        return taken

    async def _read(self, within: float | None) -> None:
        try:
            await self._wait(within)
        except TimeoutError:
            raise httpx.ReadTimeout("nothing came") from None

    async def _wait(self, within: float | None) -> None:
        waiter = self._waiter = self._loop.create_future()
        try:
            if within is None:
                await waiter
            else:
                async with asyncio.timeout(within):
                    await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _begin(self, method: str, most: int | None) -> None:
        self.status = 0
        self.reason = b""
        self.headers = []
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._quiet = 0
        self._most = most
        self._overlong = False
        self._headless = method == "HEAD"
        self._busy = True
        self._informational = False
        self._head_read = False
        self._complete = False
        self._reusable = False
        self._sent_whole = True
        self._framed = False

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            return
        if not self._busy or self._complete:
            self.abort()  # nobody asked
            return
        self._quiet += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(httpx.RemoteProtocolError("the peer changes the protocol, which nobody asked for"))
        except httptools.HttpParserError as error:
            self._fail(httpx.RemoteProtocolError(f"no HTTP: {error}"))
        else:
            if self._quiet > _MOST_QUIET:
                self._fail(httpx.RemoteProtocolError("head, trailer or chunk extensions without end"))
            elif self._held > _PAUSE_ABOVE and self._most is None and not self._paused_reading and not self.closed:
                assert self._transport is not None
                self._paused_reading = True
                self._transport.pause_reading()

    def eof_received(self) -> None:
        if self._busy and not self._complete:
            self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._busy and not self._complete and self._error is None:
            self._ended(exc)
        self._transport = None
        self._parser = None
        self._poll = None
        self._wake()

    def pause_writing(self) -> None:
        self._paused_writing = True

    def resume_writing(self) -> None:
        self._paused_writing = False
        self._wake()

    def _ended(self, exc: Exception | None) -> None:
        if self._head_read and not self._framed and exc is None:
            self._complete = True  # a body without length ends with its connection
            self._wake()
        elif exc is not None:
            self._fail(httpx.ReadError(str(exc) or type(exc).__name__))
        elif self._head_read:
            self._fail(httpx.RemoteProtocolError("the peer closed the connection before its answer's end"))
        else:
            self._fail(httpx.RemoteProtocolError("the peer closed the connection without an answer"))

    def _fail(self, error: httpx.TransportError) -> None:
        if self._error is None and not self._complete:
            self._error = error
        self._wake()
        self.abort()

    # What the parser tells.

    def on_message_begin(self) -> None:
        if self._complete:
            self._reusable = False  # a second answer to one request
            return
        self.headers = []
        self.reason = b""
        self._framed = False

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_read:
            return  # a trailer
        self.headers.append((name, value))
        if len(name) == 14 or len(name) == 17 or len(name) == 10:
            lower = name.lower()
            if lower == b"content-length" or (
                lower == b"transfer-encoding" and value.lower().rpartition(b",")[2].strip() == b"chunked"
            ):
                self._framed = True
            elif lower == b"keep-alive":
                self.stays = _stays(value)

    def on_headers_complete(self) -> None:
        if self._complete or self._parser is None:
            return
        self.status = self._parser.get_status_code()
        self._informational = self.status < 200
        if self._informational:
            return
        self._quiet = 0
        self._head_read = True
        if self._headless:
            # The parser expects the body that the head speaks of; another one is taken for what comes next.
            self._finish(self._framed and self._parser.should_keep_alive())
            self._parser = httptools.HttpResponseParser(self)
        elif self._most is None:
            self._wake()

    def on_body(self, body: bytes) -> None:
        if self._complete:
            self._reusable = False  # a body where none can be
            return
        self._quiet = 0
        self._held += len(body)
        if self._most is not None and self._held > self._most:
            self._overlong = True
            self._pieces.clear()
            self._wake()
            self.abort()
            return
        self._pieces.append(body)
        if self._most is None:
            self._wake()

    def on_message_complete(self) -> None:
        if self._informational or self._complete or self._parser is None:
            return
        self._finish(self._parser.should_keep_alive())

    def _finish(self, keeps: bool) -> None:
        self._complete = True
        self._quiet = 0
        self._reusable = keeps
        self._wake()


def _stays(value: bytes) -> float:
    """Seconds of `Keep-Alive: timeout=5, max=100`; 0 where it names none."""
    for part in value.split(b","):
        name, _, number = part.strip().partition(b"=")
        if name.lower() == b"timeout" and number.isdigit():
            return float(number[:6])
    return 0.0
