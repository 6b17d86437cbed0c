"""The guard of a whole process: whatever Python code calls with, targets are rerouted or denied, as other hosts are.

httpx's own transports reroute, so that clients inside of providers' SDKs do. Everything else is denied where names are
resolved and sockets connect. What does that in C itself is out of reach: drivers of databases, gRPC, uvloop's streams.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from shadow.capture.errors import HostDenied
from shadow.capture.guard import Guard
from shadow.capture.routes import Routes

_REMEMBERED = 10_000
_EVENTS = ("socket.connect", "socket.sendto")


class ProcessGuard:
    """Installed once a process; what it put in place can be taken out again, but for a hook that then does nothing."""

    def __init__(self, routes: Routes, guard: Guard) -> None:
        self._routes = routes
        self._guard = guard
        self._resolved: OrderedDict[str, str] = OrderedDict()
        """Address to the name that it was resolved from last."""
        self._undo: list[Callable[[], None]] = []
        self._hooked = False

    def install(self) -> Callable[[], None]:
        """Put it in place; returns what takes it out."""
        if not self._undo:
            self._reroute_httpx()
            self._watch_names()
            if not self._hooked:
                sys.addaudithook(self._audit)
                self._hooked = True
            self._guard.covers = "process"
        return self.remove

    def remove(self) -> None:
        while self._undo:
            self._undo.pop()()
        self._guard.covers = "clients"

    def _reroute_httpx(self) -> None:
        import httpx

        from shadow.capture.http import AsyncCapturedTransport, CapturedTransport

        routes, guard = self._routes, self._guard
        sync, asynchronous = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request

        class Plain(httpx.BaseTransport):
            """A transport as it was."""

            def __init__(self, inner: httpx.HTTPTransport) -> None:
                self.inner = inner

            def handle_request(self, request: httpx.Request) -> httpx.Response:
                return sync(self.inner, request)

        class AsyncPlain(httpx.AsyncBaseTransport):
            """The same, asynchronous."""

            def __init__(self, inner: httpx.AsyncHTTPTransport) -> None:
                self.inner = inner

            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                return await asynchronous(self.inner, request)

        def handle_request(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            return CapturedTransport(Plain(self), routes, guard).handle_request(request)

        async def handle_async_request(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
            return await AsyncCapturedTransport(AsyncPlain(self), routes, guard).handle_async_request(request)

        self._replace(httpx.HTTPTransport, "handle_request", handle_request)
        self._replace(httpx.AsyncHTTPTransport, "handle_async_request", handle_async_request)

    def _watch_names(self) -> None:
        resolve = socket.getaddrinfo

        def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
            name = host.decode(errors="replace") if isinstance(host, bytes) else host or ""
            if name not in ("", "localhost") and not _is_address(name) and not flags & socket.AI_PASSIVE:
                self._check(name, port if isinstance(port, int) and port else None)
            found = resolve(host, port, family, type, proto, flags)
            if name and not _is_address(name):
                self._remember(name, [str(address[0]) for *_, address in found])
            return found

        self._replace(socket, "getaddrinfo", getaddrinfo)

    def _remember(self, name: str, addresses: list[str]) -> None:
        for address in addresses:
            self._resolved[address] = name
            self._resolved.move_to_end(address)
        while len(self._resolved) > _REMEMBERED:
            self._resolved.popitem(last=False)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS or not self._undo:
            return
        channel, address = arguments
        if channel.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
            return  # a socket of the machine's own leads to no host
        host, port = str(address[0]), int(address[1])
        if self._routes.reachable(host, port):
            return
        name = self._resolved.get(host)
        if name is None or not self._routes.reachable(name, port):
            self._check(name or host, port)

    def _check(self, host: str, port: int | None) -> None:
        if self._routes.reachable(host, port):
            return
        named = host if port is None or port in (80, 443) else f"{host}:{port}"
        denied = self._guard.meet(named)
        # It may be the event loop that asks, which must not wait for a report.
        threading.Thread(target=self._guard.tell, name="shadow-guard", daemon=True).start()
        if denied:
            raise HostDenied(named)

    def _replace(self, holder: Any, name: str, ours: Any) -> None:
        theirs = getattr(holder, name)
        setattr(holder, name, ours)

        def undo() -> None:
            if getattr(holder, name) is ours:
                setattr(holder, name, theirs)

        self._undo.append(undo)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
