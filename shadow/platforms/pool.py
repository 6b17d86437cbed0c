"""Open connections by origin: made when needed, kept for a little while, never handed out when known to be over."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httpx

from shadow.platforms.connection import Connection

_STAYS = 4.0
"""Seconds that an idle connection is kept. Many servers close theirs after five: one that is about to be closed
must not be written to, as nobody could say whether what was written has been read."""
_LONGEST_STAY = 60.0
_MARGIN = 1.0
_MOST_IDLE = 200
_STAGGER = 0.25
"""Seconds before the next address of a host is tried beside the one before (RFC 8305)."""


class Origin(NamedTuple):
    """Where a request goes."""

    host: str
    port: int
    tls: str | None
    """The name that the certificate has to be of; None: no TLS."""


Tls = Mapping[tuple[str, int], ssl.SSLContext]


@functools.cache
def default_tls() -> ssl.SSLContext:
    """Verifies against the usual authorities, whatever the environment says. Made once: it takes a while."""
    return http_only(httpx.create_ssl_context(trust_env=False))


def http_only(context: ssl.SSLContext) -> ssl.SSLContext:
    """The context, asking for HTTP/1.1."""
    context.set_alpn_protocols(["http/1.1"])
    return context


class Pool:
    """The connections of one client. There is no limit to them: who uses it bounds what is in flight."""

    def __init__(self, tls: ssl.SSLContext | None = None, tls_of: Tls | None = None) -> None:
        self._tls = tls
        self._tls_of = dict(tls_of or {})
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)
        self._busy: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> int:
        """Connections in use."""
        return len(self._busy)

    def idle(self, origin: Origin) -> Connection | None:
        """An open connection to the origin that has nothing to do, the one last used first."""
        kept = self._idle.get(origin)
        if not kept:
            return None
        now = asyncio.get_running_loop().time()
        while kept:
            connection = kept.pop()
            if now - connection.idle_since < _stays(connection) and connection.fresh():
                self._busy.add(connection)
                return connection
            connection.abort()
        return None

    async def connect(self, origin: Origin, within: float | None) -> Connection:
        """A new connection.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout: there is none.
        """
        try:
            async with asyncio.timeout(within):
                connection = await self._connect(origin)
        except TimeoutError:
            raise httpx.ConnectTimeout(f"{origin.host} does not answer") from None
        except (OSError, ssl.SSLError) as error:
            raise httpx.ConnectError(str(error) or type(error).__name__) from None
        self._busy.add(connection)
        return connection

    def release(self, origin: Origin, connection: Connection) -> None:
        """An exchange is over, well or not; the connection is kept if it may carry another."""
        self._busy.discard(connection)
        kept = self._idle[origin]
        if not connection.reusable() or len(kept) >= _MOST_IDLE:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        kept.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(_STAYS, self._swept)

    def close(self) -> None:
        """Close all, those in use too."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for kept in self._idle.values():
            for connection in kept:
                connection.abort()
        self._idle.clear()
        for connection in self._busy:
            connection.abort()
        self._busy.clear()

    def _swept(self) -> None:
        self._sweep = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for origin, kept in list(self._idle.items()):
            stay = [one for one in kept if not one.closed and now - one.idle_since < _stays(one)]
            for connection in set(kept).difference(stay):
                connection.abort()
            if stay:
                kept[:] = stay
            else:
                del self._idle[origin]
        if self._idle:
            self._sweep = loop.call_later(_STAYS, self._swept)

    async def _connect(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {}
        if origin.tls is not None:
            context = self._tls_of.get((origin.tls, origin.port)) or self._tls or default_tls()
            options = {"ssl": context, "server_hostname": origin.tls}
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        if len(found) == 1:
            host = str(found[0][4][0])
            _made, connection = await loop.create_connection(Connection, host, origin.port, **options)
            return connection
        sock = await _first_of(_interleaved(found))
        try:
            _made, connection = await loop.create_connection(Connection, sock=sock, **options)
        except BaseException:
            sock.close()
            raise
        return connection


def _stays(connection: Connection) -> float:
    told = connection.stays
    return _STAYS if not told else min(told, _LONGEST_STAY) - _MARGIN


Found = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


def _interleaved(found: Sequence[Found]) -> list[Found]:
    """The addresses with the families taking turns, the first found first."""
    first = [one for one in found if one[0] == found[0][0]]
    other = [one for one in found if one[0] != found[0][0]]
    turns: list[Found] = []
    for position in range(max(len(first), len(other))):
        turns += first[position : position + 1] + other[position : position + 1]
    return turns


async def _first_of(addresses: Sequence[Found]) -> socket.socket:
    """A socket connected to the first address that answers; the next is tried when one has not for a moment.

    Raises:
        OSError: none does.
    """
    attempts: set[asyncio.Task[socket.socket]] = set()
    left = list(addresses)
    last: BaseException = OSError("the host has no address")
    won: asyncio.Task[socket.socket] | None = None
    try:
        while won is None and (left or attempts):
            if left:
                attempts.add(asyncio.create_task(_connected(left.pop(0))))
            done, attempts = await asyncio.wait(
                attempts, timeout=_STAGGER if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                error = attempt.exception()
                if error is not None:
                    last = error
                elif won is None:
                    won = attempt
                else:
                    attempt.result().close()
    finally:
        for attempt in attempts:
            attempt.cancel()
        for lost in await asyncio.gather(*attempts, return_exceptions=True):
            if isinstance(lost, socket.socket):
                lost.close()
    if won is None:
        raise last
    return won.result()


async def _connected(address: Found) -> socket.socket:
    family, kind, protocol, _name, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, where)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock
