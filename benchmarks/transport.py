"""What a request costs, by what carries it: requests a second with 50 in flight, CPU of a request, and how long one
takes with nothing else under way.

A server of raw sockets in a process of its own answers each POST of 1 kB at once; rounds are interleaved, because
machines are shared and noisy, and figures are medians over them. The candidates are httpx's client over each
transport, called as the service calls it (`carry`); beside them, what lies below two of them without httpx.
Required: `wire`, which the service uses, costs the least CPU of all that stand below httpx.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import aiohttp
import uvloop
from pyreqwest.client import ClientBuilder

from benchmarks.report import finish
from benchmarks.transports import CANDIDATES, OURS, WITHIN
from shadow.platforms.client import carry

HEADERS = [
    ("authorization", "Bearer tr_dev_bench"),
    ("content-type", "application/json"),
    ("idempotency-key", "0198f0a4-5f0e-7cc3-98c4-dc0c0c07398f"),
]
BODY = b'{"payload":"' + b"x" * 1000 + b'"}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-ratelimit-limit: 1500\r\nx-ratelimit-remaining: 1499\r\n"
    b'Content-Length: 58\r\n\r\n{"id":"run_cm5vqn1sp0000jx08y2xl4q3e","isCached":false}   '
)
Call = Callable[[str], Awaitable[None]]


class _Answering(asyncio.Protocol):
    """Answers whatever announces its length."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        mark = head.find(b"content-length:")
        length = int(head[mark + 15 :].split(b"\r\n", 1)[0]) if mark >= 0 else 0
        if len(self._buffer) >= end + 4 + length:
            self._buffer = self._buffer[end + 4 + length :]
            self._transport.write(ANSWER)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.asynccontextmanager
async def _calls(stack: contextlib.AsyncExitStack) -> Any:
    """Every candidate's way to make the call, by name."""
    calls: dict[str, Call] = {}

    def carried(http: Any) -> Call:
        async def call(url: str) -> None:
            answer = await carry(http, "POST", url, HEADERS, BODY, within=WITHIN)
            assert answer.status == 200

        return call

    def sent(http: Any) -> Call:
        async def call(url: str) -> None:
            answer = await http.post(url, headers=HEADERS, content=BODY)
            assert answer.status_code == 200

        return call

    for name, made in CANDIDATES.items():
        http = await stack.enter_async_context(made())
        calls[name] = carried(http)
        if name == OURS:
            calls[f"{name} through httpx"] = sent(http)
    session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    reqwest = await stack.enter_async_context(ClientBuilder().build())

    async def by_aiohttp(url: str) -> None:
        async with session.post(url, data=BODY, headers=HEADERS, allow_redirects=False) as answer:
            await answer.read()

    async def by_pyreqwest(url: str) -> None:
        answer = await reqwest.post(url).headers(HEADERS).body_bytes(BODY).build().send()
        await answer.bytes()

    calls["aiohttp without httpx"] = by_aiohttp
    calls["pyreqwest without httpx"] = by_pyreqwest
    yield calls


async def _at_once(call: Call, url: str, requests: int, in_flight: int) -> tuple[float, float]:
    """Requests a second, and CPU microseconds of one."""
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            await call(url)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return requests / (time.perf_counter() - wall), (time.process_time() - cpu) / requests * 1e6


async def _alone(call: Call, url: str, requests: int) -> float:
    """Microseconds of one request with no other under way, the median."""
    taken = []
    for _ in range(requests):
        began = time.perf_counter()
        await call(url)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


async def measure(rounds: int, requests: int, in_flight: int) -> dict[str, dict[str, float]]:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.transport", "--serve", stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(await server.stdout.readline())}/api/v1/tasks/process-payout/trigger"
    seen: dict[str, dict[str, list[float]]] = {}
    try:
        async with contextlib.AsyncExitStack() as stack, _calls(stack) as calls:
            for round_ in range(rounds + 1):
                for name, call in calls.items():
                    rate, cpu = await _at_once(call, url, requests if round_ else in_flight * 2, in_flight)
                    alone = await _alone(call, url, requests // 5)
                    if round_:  # the first only opens connections
                        figures = seen.setdefault(name, {"rate": [], "cpu_us": [], "alone_us": []})
                        for figure, value in zip(figures, (rate, cpu, alone), strict=True):
                            figures[figure].append(value)
    finally:
        server.terminate()
        await server.wait()
    return {
        name: {figure: round(statistics.median(values), 1) for figure, values in figures.items()}
        for name, figures in seen.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--in-flight", type=int, default=50)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(_serve())
        return
    figures = uvloop.run(measure(options.rounds, options.requests, options.in_flight))
    for name, one in figures.items():
        print(
            f"{name:<24} {one['rate']:>7.0f} requests/s  {one['cpu_us']:>6.0f} us CPU  {one['alone_us']:>6.0f} us alone"
        )
    ok = min(CANDIDATES, key=lambda name: figures[name]["cpu_us"]) == OURS
    finish("transport", ok=ok, figures=dict(figures))


if __name__ == "__main__":
    main()
