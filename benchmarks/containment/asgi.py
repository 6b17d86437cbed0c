"""A worker's HTTP client that speaks ASGI to the front application, and may walk away in the middle."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp

Leave = Literal["stays", "in_body", "after_body"]
LONGEST_SECONDS = 30.0
"""No call may hang longer; the gateway's own limits are far below."""


@dataclass(frozen=True, slots=True)
class Got:
    """What the worker saw."""

    status: int | None
    """None when it left, or the application failed, before there was an answer."""
    gateway: str | None
    """`x-shadow-gateway`: whose answer it is; None for a target's."""
    complete: bool
    hung: bool = False


async def request(
    app: ASGIApp,
    method: str,
    raw_path: bytes,
    query: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    body: Sequence[bytes] | None,
    leave: Leave = "stays",
    patience: float = 0.02,
) -> Got:
    """Make one request.

    Args:
        body: its pieces; None for a request that announces none.
        patience: how long a worker that leaves after its body stays.
    """
    gone = asyncio.Event()
    pieces = list(body or [])
    given = 0

    async def receive() -> dict[str, Any]:
        nonlocal given
        if gone.is_set():
            return {"type": "http.disconnect"}
        if given < max(len(pieces), 1):
            piece = pieces[given] if given < len(pieces) else b""
            given += 1
            if leave == "in_body" and given > 1:
                gone.set()
                return {"type": "http.disconnect"}
            await asyncio.sleep(0)
            return {"type": "http.request", "body": piece, "more_body": given < len(pieces) or leave == "in_body"}
        await gone.wait()
        return {"type": "http.disconnect"}

    status: int | None = None
    gateway: str | None = None
    complete = False

    async def send(message: Any) -> None:
        nonlocal status, gateway, complete
        if gone.is_set():
            raise OSError("the worker is gone")
        if message["type"] == "http.response.start":
            status = message["status"]
            named = {name.lower(): value for name, value in message["headers"]}
            gateway = named[b"x-shadow-gateway"].decode() if b"x-shadow-gateway" in named else None
        elif not message.get("more_body", False):
            complete = True

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote_to_bytes(raw_path).decode("latin-1"),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": list(headers),
        "server": ("127.0.0.1", 8484),
        "client": ("127.0.0.1", 1),
    }
    serving = asyncio.create_task(_served(app, scope, receive, send))
    if leave == "after_body":
        await asyncio.sleep(patience)
        gone.set()
    hung = not await _ended(serving)
    gone.set()
    return Got(status, gateway, complete, hung)


async def _ended(serving: asyncio.Task[None]) -> bool:
    done, _ = await asyncio.wait({serving}, timeout=LONGEST_SECONDS)
    if not done:
        serving.cancel()
        await asyncio.wait({serving}, timeout=3)
    return bool(done)


async def _served(app: ASGIApp, scope: dict[str, Any], receive: Any, send: Any) -> None:
    # As a server would: the connection breaks, and that is what the worker sees.
    with contextlib.suppress(Exception):
        await app(scope, receive, send)
