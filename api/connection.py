"""One connection to a listener: how large what comes before a body may be, and how long a request may take to arrive.

uvicorn's httptools protocol has no such limits: a client could send headers without end, or a byte of them a minute on
thousands of connections. A request that comes in one piece pays for them with a few comparisons; how long the others
take is seen by looking at all connections of a listener every two seconds, so that no request reads a clock.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

log = structlog.get_logger(__name__)

MOST_HEAD = 64 * 1024
"""Bytes of a request before its body, and of what follows it."""
MOST_TARGET = 16 * 1024
"""Bytes of path and query."""
MOST_HEADERS = 200
HEAD_SECONDS = 20.0
"""How long a request's head may take, and a new connection may stay silent."""
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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        _Watch.of(self.server_state, self.loop).begin()

    def data_received(self, data: bytes) -> None:
        self._chunk = len(data)
        self._quiet += len(data)
        HttpToolsProtocol.data_received(self, data)
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope or cycle.more_body:
            self._count_more()

    def on_headers_complete(self) -> None:
        if self._chunk > MOST_TARGET or len(self.headers) > MOST_HEADERS or self._counted is self.scope:
            self._check_head()
        HttpToolsProtocol.on_headers_complete(self)
        self._quiet = 0
        self.headers = []  # what follows a body is no header of the request that is being served

    def on_body(self, body: bytes) -> None:
        self._quiet = 0
        HttpToolsProtocol.on_body(self, body)

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
            return now - self._since > HEAD_SECONDS
        if now - self._since <= BODY_SECONDS + self._count / BODY_RATE:
            return False
        return not self.scope["path"].startswith(_STREAMS)

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

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)


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
            if isinstance(connection, Connection) and connection.is_late(now):
                connection.refuse(408)
        self._is_looking = bool(self._state.connections)
        if self._is_looking:
            self._loop.call_later(LOOK_SECONDS, self._look)
