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
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import orjson
import structlog
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
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
        self._host: bytes | None = None
        """What names a host: that of the request before."""
        self._scope: Any = None
        """What all scopes of this connection begin with."""
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
        self.direct: Callable[..., bool] | None = getattr(config.app, "direct", None)
        self._held: _Whole | None = None
        """A request that may turn out to have come in one piece."""
        self._rests = False
        """Whether nothing came since an answer that was given directly. No timer is set for each of these: the look at
        all connections ends those that rest for too long."""
        self._asked: tuple[bytes, str] | None = None
        """Method and version of a request that asks for another protocol."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        super().on_message_begin()
        self._scope, self.scope = self.scope, None  # type: ignore[assignment]  # as uvicorn begins
        self._turn = Turn.of(self.server_state, self.loop)
        _Watch.of(self.server_state, self.loop).begin()

    def data_received(self, data: bytes) -> None:
        self._chunk = len(data)
        self._quiet += len(data)
        if self._rests:
            self._rests = False
            self._awaited = _NOTHING
        elif self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        self._read(data)
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope or cycle.more_body:
            self._count_more()
        if self._held is not None:
            held, self._held = self._held, None
            if held.more_body:
                held.becomes_usual()
                self._start_asgi_task(held, self.app)
            else:
                self._turn.add(held.begin)

    def _read(self, data: bytes) -> None:
        """Parse, as uvicorn does, except for what asks for another protocol."""
        rest: bytes | memoryview = data
        try:
            while True:
                try:
                    return self.parser.feed_data(rest)
                except HttpParserUpgrade as read:
                    rest = memoryview(rest)[read.args[0] :]
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

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = self._scope.copy()

    def on_headers_complete(self) -> None:
        parser, scope, headers, cycle = self.parser, self.scope, self.headers, self.cycle
        if self._chunk > MOST_TARGET or len(headers) > MOST_HEADERS or self._counted is scope:
            self._check_head()
        host, hosts = b"", 0
        for name, value in headers:
            if name == b"host":
                host = value
                hosts += 1
        if hosts != 1 or host != self._host:
            self._check_host(host, hosts)
        method = parser.get_method()
        if parser.should_upgrade() and method != b"CONNECT":
            self._asked = method, parser.get_http_version()
            return
        self._quiet = 0
        scope["headers"] = headers
        self.headers = []  # what follows a body is no header of the request that is being served
        if (
            method != b"POST"
            or self.direct is None
            or (cycle is not None and not cycle.response_complete)
            or self.limit_concurrency is not None
        ):
            scope["state"] = self.app_state.copy()
            HttpToolsProtocol.on_headers_complete(self)
            return
        # As uvicorn does, but for what is done only if the request turns out to need a task.
        version = parser.get_http_version()
        url = parse_url(self.url)
        raw_path = url.path
        path = raw_path.decode("ascii")
        scope["method"] = "POST"
        scope["http_version"] = version
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        scope["query_string"] = url.query or b""
        self.cycle = self._held = _Whole(self, scope, version != "1.0" and parser.should_keep_alive())

    def on_body(self, body: bytes) -> None:
        self._quiet = 0
        held = self._held
        if held is None or held is not self.cycle:
            HttpToolsProtocol.on_body(self, body)
        else:
            held.pieces.append(body)

    def on_message_complete(self) -> None:
        held = self._held
        if held is not None and held is self.cycle:
            held.more_body = False
        elif self._asked is None:
            HttpToolsProtocol.on_message_complete(self)

    def send_400_response(self, msg: str) -> None:
        if self._refusal is not None:
            self.refuse(self._refusal)
        elif self._may_speak:
            super().send_400_response(msg)
        elif not self._ends_with_answers():
            self.transport.close()

    def refuse(self, status: int) -> None:
        """Answer and close; whatever serves the request learns that its client has left."""
        if self._is_over or self.transport.is_closing():
            return
        log.warning("listener.refused", status=status, client=self.client[0] if self.client else None)
        if self._ends_with_answers():
            return
        self._is_over = True
        cycle = self.cycle
        if self._may_speak:
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
        self.transport.set_protocol(_Leaving(self))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    @property
    def _may_speak(self) -> bool:
        """Whether the client would take a refusal for what it is: not for the answer to an earlier request, nor for a
        part of one that has begun."""
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope:
            return cycle is None or cycle.response_complete
        return cycle.more_body and not (cycle.response_started or self.pipeline)

    def _ends_with_answers(self) -> bool:
        """Whether requests that had come whole wait for their answers. They get them, nothing that comes now is read,
        and that was the connection: who sends a refused request behind one that is stored shall not bring it again."""
        cycle = self.cycle
        if self._is_over or self.transport.is_closing():
            return True
        if cycle is None or cycle.response_complete or (cycle.more_body and not self.pipeline):
            return False
        self._is_over = True
        if cycle.more_body:
            self.pipeline.popleft()  # the refused one, which waited for the others
        else:
            cycle.keep_alive = False
        self.flow.resume_reading()
        self.transport.set_protocol(_Leaving(self))
        return True

    def on_response_complete(self) -> None:
        if self._is_over and not self.pipeline:
            self.transport.close()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # What refers to us, so that no garbage collector is needed.
        self.cycle = None  # type: ignore[assignment]  # as uvicorn begins
        self.pipeline.clear()

    @property
    def _has_begun(self) -> bool:
        """Whether a request has that was not answered directly."""
        return self.scope is not None and not self._rests  # uvicorn's, from the first byte of a request

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
            # It rests, or something came after the answer, which ended uvicorn's own wait, but has begun no request.
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

    def answered(self, held: _Whole, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Answer with one write."""
        transport = self.transport
        if transport.is_closing():
            return
        head = _head(status, tuple(self.server_state.default_headers), tuple(headers), held.keep_alive)
        held.response_started = held.response_complete = True
        transport.write(b"%s%d\r\n\r\n%s" % (head, len(body), body))
        held.pieces.clear()
        # Unless more has come meanwhile, which has its own time.
        if held.keep_alive and held.scope is self.scope and not self.flow.read_paused:
            self.server_state.total_requests += 1
            self._rests = True
            return
        if not held.keep_alive:
            transport.close()
        self.on_response_complete()

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

    def _check_host(self, host: bytes, hosts: int) -> None:
        """Whom a request is for must be beyond doubt (RFC 9112, 3.2): a proxy in front may have read the other `Host`.
        Raises, which the parser takes for a bad request."""
        if (hosts > 1 or not _is_host(host)) or (not hosts and self.parser.get_http_version() != "1.0"):
            raise ValueError(f"{hosts} Host headers, or one that names no host")
        self._host = host

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)


class _Unheard(asyncio.Event):
    def __init__(self) -> None:
        pass

    def set(self) -> None:
        pass


class _Whole(RequestResponseCycle):
    """A request that may turn out to have come in one piece: what uvicorn serves one with is made when it has not, or
    is not taken directly."""

    disconnected = False
    response_started = False
    response_complete = False
    message_event = _Unheard()
    """Nobody waits for more of it."""

    def __init__(self, connection: Connection, scope: Any, keep_alive: bool) -> None:
        self._connection = connection
        self.scope = scope
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = connection.expect_100_continue
        self.more_body = True
        self.pieces: list[bytes] = []

    def becomes_usual(self) -> None:
        """Be what uvicorn makes of a request, at the same point."""
        connection, body = self._connection, b"".join(self.pieces)
        disconnected, more_body = self.disconnected, self.more_body
        self.scope["state"] = connection.app_state.copy()
        self.pieces.clear()
        super().__init__(
            scope=self.scope,
            transport=connection.transport,
            flow=connection.flow,
            logger=connection.logger,
            access_logger=connection.access_logger,
            access_log=connection.access_log,
            default_headers=connection.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.waiting_for_100_continue,
            keep_alive=self.keep_alive,
            on_response=connection.on_response_complete,
        )
        self.body += body
        self.disconnected, self.more_body = disconnected, more_body
        if len(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        if body or disconnected or not more_body:
            self.message_event.set()

    def begin(self) -> None:
        """Have it answered directly, or start a task. It has come in one piece."""
        connection = self._connection
        direct, transport = connection.direct, connection.transport
        # Whoever does not read its answers is not given more of them: a task waits with that. Whoever left after the
        # request was whole has sent it all the same.
        busy = connection.flow.write_paused
        try:
            if direct is None or busy or not direct(self.scope, b"".join(self.pieces), self.reply):
                self.becomes_usual()
                connection._start_asgi_task(self, connection.app)
        except BaseException:
            transport.close()  # nobody else would answer
            raise

    def reply(self, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Answer it, unless that is done, or nobody is there any more."""
        if not (self.response_complete or self.disconnected):
            self._connection.answered(self, status, body, headers)


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

    def __init__(self, left: Connection) -> None:
        self._left = left

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
