"""One connection to a listener: how large what comes before a body may be, how long a request may take to arrive, and
requests that need no task.

uvicorn's httptools protocol has no such limits: a client could send headers without end, or a byte of them a minute on
thousands of connections. A request that comes in one piece pays for them with a few comparisons; how long the others
take is seen by looking at all connections of a listener every two seconds, so that no request reads a clock.

An application may have a method `direct(scope, body, reply) -> bool`. It is offered each POST that came in one piece;
if it returns False, having done nothing, the request goes the way of every other. Else it calls `reply(status, body,
headers)` once, whenever it likes, from the event loop. What that saves (a task, its wake-ups, an event, a second write)
is a good part of what a small request costs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import orjson
import structlog
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from api.turn import Turn

log = structlog.get_logger(__name__)

MOST_HEAD = 64 * 1024
"""Bytes of a request before its body, and of what follows it."""
MOST_TARGET = 16 * 1024
"""Bytes of path and query."""
MOST_HEADERS = 200
HEAD_SECONDS = 20.0
"""How long a request's head may take. A connection on which nothing has begun is as idle as one between requests."""
BODY_SECONDS = 20.0
"""How long a body may take, and a second more for each `BODY_RATE` bytes of it that have come."""
BODY_RATE = 1024
LOOK_SECONDS = 2.0
LINGER_SECONDS = 1.0
"""How long a client that was refused may go on sending before it is cut off."""

_STREAMS = "/realtime/"
"""Where a body may take as long as it likes: a run's stream lasts for as long as the run."""
_TITLES = {408: "Request Timeout", 414: "URI Too Long", 431: "Request Header Fields Too Large"}
_DETAILS = {
    408: "the request took too long to arrive",
    414: f"path and query may have {MOST_TARGET} bytes",
    431: f"a request may have {MOST_HEADERS} headers, and {MOST_HEAD} bytes before its body",
}
_NOTHING = object()
_OF_UPGRADES = (b"upgrade", b"http2-settings")
_is_host = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?[ \t]*").fullmatch
"""Of RFC 9110, 7.2: a name or address, and perhaps a port. The parser leaves spaces behind it."""


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, with limits."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._chunk = 0
        """Bytes of the chunk that is being read."""
        self._counted: object = _NOTHING
        """The scope of the request whose bytes are counted, because it did not come in one piece."""
        self._count = 0
        self._quiet = 0
        """Bytes that came since the last of a body: trailers, and extensions of chunks, end somewhere."""
        self._refusal: int | None = None
        self._is_over = False
        self._awaited: object = _NOTHING
        """What the client was last seen to keep us waiting for: a scope for its head, a cycle for its body."""
        self._since = 0.0
        self._direct: Callable[..., bool] | None = getattr(config.app, "direct", None)
        self._reading = False
        """Whether what came is being parsed: what begins otherwise is a request that waited for the one before it."""
        self._held: tuple[RequestResponseCycle, Any] | None = None
        """A request that may turn out to have come in one piece."""
        self._asked: tuple[bytes, str] | None = None
        """Method and version of a request that asks for another protocol."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._turn = Turn.of(self.server_state, self.loop)
        _Watch.of(self.server_state, self.loop).begin()

    def data_received(self, data: bytes) -> None:
        self._chunk = len(data)
        self._quiet += len(data)
        self._reading = True
        self._read(data)
        self._reading = False
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope or cycle.more_body:
            self._count_more()
        if self._held is not None:
            held, self._held = self._held, None
            self._turn.add(partial(self._begin, *held))

    def _read(self, data: bytes) -> None:
        """Parse, as uvicorn does, except for what asks for another protocol."""
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        try:
            while True:
                try:
                    return self.parser.feed_data(rest)
                except HttpParserUpgrade as read:
                    rest = rest[read.args[0] :]
                    if self._asked is None:  # CONNECT, which no application takes
                        self.cycle.keep_alive = False
                        return None
                    self._read_anew(*self._asked)
        except HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _read_anew(self, method: bytes, version: str) -> None:
        """Parse a request's head once more, without what asks for another protocol: HTTP clients of Java ask for
        HTTP/2. The parser ends such a request with its head, and would take its body for another request."""
        lines = [b"%s %s HTTP/%s" % (method, self.url, version.encode())]
        lines += (b"%s: %s" % header for header in self.headers if header[0] not in _OF_UPGRADES)
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self._asked = None
        self.parser.feed_data(b"\r\n".join((*lines, b"", b"")))

    def on_headers_complete(self) -> None:
        if self._chunk > MOST_TARGET or len(self.headers) > MOST_HEADERS or self._counted is self.scope:
            self._check_head()
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) != 1 or not _is_host(hosts[0]):
            self._check_hosts(hosts)
        if self.parser.should_upgrade() and (method := self.parser.get_method()) != b"CONNECT":
            self._asked = method, self.parser.get_http_version()
            return
        HttpToolsProtocol.on_headers_complete(self)
        self._quiet = 0
        self.headers = []  # what follows a body is no header of the request that is being served

    def on_body(self, body: bytes) -> None:
        self._quiet = 0
        HttpToolsProtocol.on_body(self, body)

    def on_message_complete(self) -> None:
        if self._asked is None:
            HttpToolsProtocol.on_message_complete(self)

    def send_400_response(self, msg: str) -> None:
        if self._refusal is None:
            super().send_400_response(msg)
        else:
            self.refuse(self._refusal)

    def refuse(self, status: int) -> None:
        """Answer and close; whatever serves the request learns that its client has left."""
        if self._is_over or self.transport.is_closing():
            return
        self._is_over = True
        cycle = self.cycle
        log.warning("listener.refused", status=status, client=self.client[0] if self.client else None)
        if cycle is None or (cycle.response_complete if cycle.scope is not self.scope else not cycle.response_started):
            # A problem detail, with a member more, which is where the platforms' SDKs look.
            detail = _DETAILS[status]
            told = {"type": "about:blank", "title": _TITLES[status], "status": status, "detail": detail}
            body = orjson.dumps({**told, "error": detail})
            head = b"content-type: application/problem+json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        self.transport.set_protocol(_Leaving(self, self.transport))
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    @property
    def _has_begun(self) -> bool:
        """Whether any request has."""
        return self.scope is not None  # uvicorn's, from the first byte of a request

    def end_if_late(self, now: float) -> None:
        """Be done with a client that has kept us waiting for too long."""
        if not self.is_late(now):
            return
        if self._has_begun:
            self.refuse(408)
        else:
            # Balancers open connections ahead, and would take what we say now for the answer to their next request.
            self.transport.close()

    def is_late(self, now: float) -> bool:
        """Whether it is the client that has kept us waiting for too long."""
        cycle = self.cycle
        awaited: object = _NOTHING
        in_head = (
            cycle is None
            or cycle.scope is not self.scope
            # Something came after the answer, which ended uvicorn's own wait, but it has begun no request.
            or (cycle.response_complete and not cycle.more_body and self.timeout_keep_alive_task is None)
        )
        if in_head:
            if cycle is None or cycle.response_complete:
                awaited = self.scope
        elif cycle.more_body and not self.flow.read_paused and not cycle.waiting_for_100_continue:
            awaited = cycle
        if awaited is not self._awaited or awaited is _NOTHING:
            self._awaited, self._since = awaited, now
            return False
        if in_head:
            return now - self._since > (HEAD_SECONDS if self._has_begun else self.timeout_keep_alive)
        if now - self._since <= BODY_SECONDS + self._count / BODY_RATE:
            return False
        return not self.scope["path"].startswith(_STREAMS)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._direct is not None and self._reading and app is self.app and cycle.scope["method"] == "POST":
            self._held = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def _begin(self, cycle: RequestResponseCycle, app: Any) -> None:
        assert self._direct is not None
        # Whoever does not read its answers is not given more of them: a task waits with that. Whoever left after the
        # request was whole has sent it all the same.
        busy = cycle.more_body or self.flow.write_paused or (self.transport.is_closing() and not cycle.disconnected)
        try:
            if busy or not self._direct(cycle.scope, bytes(cycle.body), partial(self._reply, cycle)):
                super()._start_asgi_task(cycle, app)
        except BaseException:
            self.transport.close()  # nobody else would answer
            raise

    def _reply(
        self, cycle: RequestResponseCycle, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> None:
        """Answer with one write."""
        if cycle.response_complete or cycle.disconnected or self.transport.is_closing():
            return
        head = _head(status, tuple(cycle.default_headers), tuple(headers), cycle.keep_alive)
        cycle.response_started = cycle.response_complete = True
        self.transport.write(b"%s%d\r\n\r\n%s" % (head, len(body), body))
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def _count_more(self) -> None:
        """The chunk did not end the request."""
        cycle, scope = self.cycle, self.scope
        if self._is_over or self.transport.is_closing():
            return
        if self._counted is scope:
            self._count += self._chunk
        else:
            # Another request may have ended with this chunk, which then says nothing of the new one's size.
            self._counted, self._count = scope, self._chunk if cycle is None else 0
        if (self._count if cycle is None or cycle.scope is not scope else self._quiet) > MOST_HEAD:
            self.refuse(431)

    def _check_head(self) -> None:
        """The head may be too large: raises, which the parser takes for a bad request, where it is."""
        if len(self.url) > MOST_TARGET:
            self._refusal = 414
        elif len(self.headers) > MOST_HEADERS or self._head_bytes() > MOST_HEAD:
            self._refusal = 431
        if self._refusal is not None:
            raise ValueError(_DETAILS[self._refusal])

    def _check_hosts(self, hosts: Sequence[bytes]) -> None:
        """Whom a request is for must be beyond doubt (RFC 9112, 3.2): a proxy in front may have read the other `Host`.
        Raises, which the parser takes for a bad request."""
        if hosts or self.parser.get_http_version() != "1.0":
            raise ValueError(f"{len(hosts)} Host headers, or one that names no host")

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)


@lru_cache(maxsize=256)
def _head(
    status: int, default: tuple[tuple[bytes, bytes], ...], headers: tuple[tuple[bytes, bytes], ...], keep_alive: bool
) -> bytes:
    """An answer's head up to the length of its body."""
    lines = [STATUS_LINE[status]]
    for name, value in (*default, *headers):
        if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
            raise RuntimeError("Invalid HTTP header.")
        lines += (name, b": ", value, b"\r\n")
    if not keep_alive:
        lines.append(b"connection: close\r\n")
    return b"".join((*lines, b"content-length: "))


class _Leaving(asyncio.Protocol):
    """A connection that is over. What its client still sends is read and forgotten: closing with something unread would
    take the answer with it."""

    def __init__(self, left: Connection, transport: asyncio.Transport) -> None:
        self._left = left
        if transport.can_write_eof():
            transport.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self._left.connection_lost(exc)

    def pause_writing(self) -> None:
        self._left.pause_writing()

    def resume_writing(self) -> None:
        self._left.resume_writing()


class _Watch:
    """Looks at the connections of one listener for as long as it has any."""

    def __init__(self, state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self._state = state
        self._loop = loop
        self._is_looking = False

    @classmethod
    def of(cls, state: ServerState, loop: asyncio.AbstractEventLoop) -> _Watch:
        """That listener's."""
        found: _Watch | None = getattr(state, "watch", None)
        if found is None:
            found = cls(state, loop)
            state.watch = found  # type: ignore[attr-defined]  # it lives as long as the server's state does
        return found

    def begin(self) -> None:
        """Look from now on."""
        if not self._is_looking:
            self._is_looking = True
            self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        for connection in list(self._state.connections):
            if isinstance(connection, Connection):
                connection.end_if_late(now)
        self._is_looking = bool(self._state.connections)
        if self._is_looking:
            self._loop.call_later(LOOK_SECONDS, self._look)
