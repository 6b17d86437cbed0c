"""A load balancer on TCP: what stands before several `shadow serve` wherever they may be restarted one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from benchmarks.pump import pump


class Balancer:
    """Passes connections to the backends in rotation, and to the next one where one does not take it."""

    def __init__(self, port: int, backends: Collection[int]) -> None:
        """
        Args:
            port: to listen on, on the loopback interface.
            backends: ports of the same interface.
        """
        self._port = port
        self._rotation = list(backends)
        self._next = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def take_out(self, backend: int) -> None:
        """No new connections go there; those that exist go on."""
        self._rotation.remove(backend)

    def put_in(self, backend: int) -> None:
        self._rotation.append(backend)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._carry(reader, writer)
        except asyncio.CancelledError:
            pass  # it is stopped
        finally:
            self._connections.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(len(self._rotation)):
            backend = self._rotation[self._next % len(self._rotation)]
            self._next += 1
            try:
                upstream, downstream = await asyncio.open_connection("127.0.0.1", backend)
            except OSError:
                continue
            try:
                await asyncio.gather(pump(reader, downstream), pump(upstream, writer))
            finally:
                downstream.close()
            return
