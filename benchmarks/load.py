"""A load generator that costs little: prebuilt requests over keep-alive connections, one in flight on each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast


@dataclass
class Measured:
    """What a load met with."""

    seconds: float
    answers: int
    failures: int
    latencies: list[float] = field(repr=False)
    """Seconds, one an answer, unordered."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds below which that share of the answers came."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as an answer is complete, until told to stop."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self._sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has no common base with it
        self._next()

    def _next(self) -> None:
        request = self._load.take()
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        mark = head.find(b"content-length:")
        if mark < 0:
            raise ValueError(f"an answer without Content-Length: {head!r}")
        stop = head.find(b"\r\n", mark)
        length = int(head[mark + 15 : stop if stop >= 0 else None])
        if len(self._buffer) < end + 4 + length:
            return
        self._load.answered(time.perf_counter() - self._sent, self._buffer[9:12])
        self._buffer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


class _Load:
    def __init__(self, prepared: list[bytes], seconds: float) -> None:
        self._prepared = iter(prepared)
        self._until = time.perf_counter() + seconds
        self.answers = 0
        self.failures = 0
        self.latencies: list[float] = []

    def take(self) -> bytes | None:
        if time.perf_counter() >= self._until:
            return None
        return next(self._prepared, None)

    def answered(self, seconds: float, status: bytes) -> None:
        if status in (b"200", b"202"):
            self.answers += 1
            self.latencies.append(seconds)
        else:
            self.failures += 1


async def load(
    host: str,
    port: int,
    request: Callable[[int], bytes],
    *,
    seconds: float,
    in_flight: int,
    limit: int,
) -> Measured:
    """Send requests for a while.

    Args:
        request: the whole HTTP request number N (from 1), as bytes.
        seconds: how long to send.
        in_flight: connections, each with one request under way.
        limit: requests at most. All are made before the clock starts: making them costs more than sending them.
    """
    prepared = [request(number) for number in range(1, limit + 1)]
    run = _Load(prepared, seconds)
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    connections = [(await loop.create_connection(lambda: _Connection(run), host, port))[1] for _ in range(in_flight)]
    await asyncio.gather(*(connection.done for connection in connections))
    return Measured(time.perf_counter() - begun, run.answers, run.failures, run.latencies)
