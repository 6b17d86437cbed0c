"""Stand-ins for both platforms that answer at once and run nothing, or that never answer: what a door is measured by.

`POST /api/v1/tasks/{id}/trigger` as Trigger.dev, `POST /e/{key}` as Inngest; each answer has ids of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from shadow.service import Listener, server_settings

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class StandIn:
    """An ASGI app."""

    def __init__(self, *, hangs: bool) -> None:
        """
        Args:
            hangs: whether it takes requests and answers none.
        """
        self._hangs = hangs
        self._numbers = itertools.count(1)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        if self._hangs and scope["method"] == "POST":
            await asyncio.Event().wait()
        path, number = scope["path"], next(self._numbers)
        if path.startswith("/api/") and path.endswith("/trigger"):
            await _answer(send, 200, b'{"id":"run_standin%016d","isCached":false}' % number)
        elif path.startswith("/e/"):
            await _answer(send, 200, b'{"ids":[],"status":200}')
        else:
            await _answer(send, 404, b'{"error":"nothing runs here"}')


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--hangs", action="store_true")
    options = parser.parse_args()
    uvicorn.run(StandIn(hangs=options.hangs), **server_settings(Listener("127.0.0.1", options.port)))
