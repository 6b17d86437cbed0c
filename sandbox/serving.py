"""Serving: an ASGI application on a loopback port, in the event loop that is already running."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp


class _EmbeddedServer(uvicorn.Server):
    """A server that leaves the signals to the process it lives in."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Served:
    """`async with Served(app) as served:` serves until the block ends; `served.url` tells where."""

    def __init__(self, app: ASGIApp, *, port: int = 0) -> None:
        """`port` 0 takes a free one."""
        self._app = app
        self._port = port
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Base address. Raises RuntimeError while it does not serve."""
        if self._socket is None:
            raise RuntimeError("not serving; use it as an async context manager")
        host, port = self._socket.getsockname()[:2]
        return f"http://{host}:{port}"

    async def __aenter__(self) -> Self:
        """Begin to serve. Raises OSError when the port is taken."""
        self._socket = socket.create_server(("127.0.0.1", self._port), backlog=2048)
        config = uvicorn.Config(
            self._app, log_config=None, access_log=False, timeout_keep_alive=65, timeout_graceful_shutdown=1
        )
        self._server = _EmbeddedServer(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                await self._task
                raise RuntimeError("the server stopped before it served")
            await asyncio.sleep(0.005)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, dropping the connections that are still open."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
        if self._socket is not None:
            self._socket.close()
        self._socket = self._server = self._task = None
