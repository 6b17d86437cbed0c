"""httpx transports that reroute calls to targets through the gateway and deny all other hosts."""

from __future__ import annotations

from typing import Any

import httpx

from shadow.capture.errors import HostDenied
from shadow.capture.guard import Guard
from shadow.capture.routes import Routes, Way, waits
from shadow.capture.run import current_run

_OF_THE_TRANSPORT = ("verify", "cert", "trust_env", "http1", "http2", "limits", "proxy")
"""Options of a client that httpx gives to the transport it makes, and only to that."""


class CapturedTransport(httpx.BaseTransport):
    """Wraps another transport."""

    def __init__(self, inner: httpx.BaseTransport, routes: Routes, guard: Guard) -> None:
        self._inner = inner
        self._routes = routes
        self._guard = guard

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        way, sent, host = _rerouted(self._routes, request)
        if way is Way.OTHER and self._guard.meet(host):
            self._guard.tell()
            raise HostDenied(host)
        if way is Way.OTHER:
            self._guard.tell()
        response = self._inner.handle_request(sent)
        error = _wait(way, request, response)
        if error is not None:
            response.close()
            raise error
        return response

    def close(self) -> None:
        self._inner.close()


class AsyncCapturedTransport(httpx.AsyncBaseTransport):
    """Wraps another transport."""

    def __init__(self, inner: httpx.AsyncBaseTransport, routes: Routes, guard: Guard) -> None:
        self._inner = inner
        self._routes = routes
        self._guard = guard

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        way, sent, host = _rerouted(self._routes, request)
        if way is Way.OTHER and self._guard.meet(host):
            await self._guard.tell_async()
            raise HostDenied(host)
        if way is Way.OTHER:
            await self._guard.tell_async()
        response = await self._inner.handle_async_request(sent)
        error = _wait(way, request, response)
        if error is not None:
            await response.aclose()
            raise error
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def client(routes: Routes, guard: Guard, options: dict[str, Any]) -> httpx.Client:
    """A client with these options whose calls are captured."""
    own = {name: options.pop(name) for name in _OF_THE_TRANSPORT if name in options}
    inner = options.pop("transport", None) or httpx.HTTPTransport(**own)
    mounts = {
        pattern: None if mounted is None else CapturedTransport(mounted, routes, guard)
        for pattern, mounted in (options.pop("mounts", None) or {}).items()
    }
    return httpx.Client(transport=CapturedTransport(inner, routes, guard), mounts=mounts, **options)


def async_client(routes: Routes, guard: Guard, options: dict[str, Any]) -> httpx.AsyncClient:
    """A client with these options whose calls are captured."""
    own = {name: options.pop(name) for name in _OF_THE_TRANSPORT if name in options}
    inner = options.pop("transport", None) or httpx.AsyncHTTPTransport(**own)
    mounts = {
        pattern: None if mounted is None else AsyncCapturedTransport(mounted, routes, guard)
        for pattern, mounted in (options.pop("mounts", None) or {}).items()
    }
    return httpx.AsyncClient(transport=AsyncCapturedTransport(inner, routes, guard), mounts=mounts, **options)


def _rerouted(routes: Routes, request: httpx.Request) -> tuple[Way, httpx.Request, str]:
    url = request.url
    route = routes.route(url.scheme, url.host, url.port, url.raw_path.decode("ascii"))
    if route.way not in (Way.GATEWAY, Way.FRONT):
        return route.way, request, route.host
    headers = request.headers.copy()
    headers.update(routes.headers(route.way, current_run()))
    goes_to = url if route.url is None else httpx.URL(route.url)
    headers["host"] = goes_to.netloc.decode("ascii")
    extensions = {name: value for name, value in request.extensions.items() if name != "sni_hostname"}
    sent = httpx.Request(request.method, goes_to, headers=headers, stream=request.stream, extensions=extensions)
    return route.way, sent, route.host


def _wait(way: Way, request: httpx.Request, response: httpx.Response) -> Exception | None:
    """The error by which the run's platform tries again, when the gateway asks for that."""
    run = current_run()
    if way is not Way.GATEWAY or run is None:
        return None
    after = waits(response.status_code, response.headers)
    if after is None:
        return None
    return run.retry(f"{request.method} {request.url.host} has no answer of the twin yet", after)
