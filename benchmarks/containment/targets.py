"""The pretend targets: a process of its own that logs every request as it arrives, and behaves as the request asks.

It knows nothing of Shadow. Its log is what the benchmark believes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from starlette.types import Receive, Scope, Send

CALL = b"x-bench-call"
DO = b"x-bench-do"
"""slow, reset, redirect, error or chunked: how the target answers."""
SLOW_SECONDS = 1.2


class Targets:
    """All targets, told apart by the first segment of the path."""

    def __init__(self, log: Path) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        path: bytes = scope["raw_path"]
        if path.startswith(b"/platform/"):
            await _answer(send, 404, b'{"error":"Run not found"}')
            return
        # Written down before the body is read: a write that arrives in part has arrived.
        self._enter(scope, path)
        while (await receive()).get("more_body"):
            pass
        await self._behave(headers.get(DO, b""), scope, send)

    def _enter(self, scope: Scope, path: bytes) -> None:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        line = {
            "call": next((value for name, value in headers if name == CALL.decode()), None),
            "method": scope["method"],
            "path": path.decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "headers": headers,
        }
        os.write(self._log, orjson.dumps(line) + b"\n")

    async def _behave(self, what: bytes, scope: Scope, send: Send) -> None:
        head = scope["method"] == "HEAD"
        body = b'{"id":"made","ok":true}'
        if what == b"slow":
            await asyncio.sleep(SLOW_SECONDS)
        if what == b"reset":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            raise ConnectionResetError("asked for")
        if what == b"redirect":
            # To another write: who follows it makes one that nobody asked for.
            location = (b"location", b"/mail/followed")
            await send({"type": "http.response.start", "status": 307, "headers": [location, (b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        if what == b"chunked":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            for _ in range(3):
                await send({"type": "http.response.body", "body": b"" if head else b"part\n", "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        await _answer(send, 500 if what == b"error" else 201, body, head=head)


async def _answer(send: Send, status: int, body: bytes, *, head: bool = False) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


def read_log(path: Path) -> list[dict[str, Any]]:
    """Every request that arrived, in order."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    options = parser.parse_args()
    uvicorn.run(
        Targets(options.log),
        host="127.0.0.1",
        port=options.port,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_keep_alive=65,
        backlog=2048,
    )


if __name__ == "__main__":
    main()
