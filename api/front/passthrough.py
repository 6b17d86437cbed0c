"""The reverse proxy: what a platform serves and Shadow has no part in goes through byte for byte.

Nothing is followed, decompressed, remembered or renamed: headers keep their order, repetitions and case, an encoded
slash stays encoded, a body's announced length stays announced, and both bodies are streamed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import structlog
from starlette.types import Receive, Scope, Send

from api.front.addressed import named
from api.front.exchange import problem
from api.front.streaming import Upload, announces_body, while_connected
from shadow.platforms.client import HOP_BY_HOP, end_to_end

log = structlog.get_logger(__name__)

Unreachable = Callable[[Send, str], Awaitable[None]]
"""Answers in the door's shape that the platform cannot be reached; gets the kind of error."""

_TIMEOUTS = httpx.Timeout(connect=10.0, read=120.0, write=60.0, pool=10.0)
"""Long polls hold for some 20 seconds, a realtime one may for 60."""
_NO_BODY = frozenset({204, 304})
"""Answers whose Content-Length, if any, speaks of a body that is not there."""


async def pass_through(
    http: httpx.AsyncClient,
    base: str,
    scope: Scope,
    receive: Receive,
    send: Send,
    unreachable: Unreachable,
) -> None:
    """Send the request on to the same path below `base`, and the answer back.

    A path that climbs is refused: what it names would be decided behind us.

    A client that goes away takes its upstream request with it. An answer that breaks off upstream breaks off
    here too.
    """
    if named(scope.get("raw_path") or scope["path"].encode()) is None:
        await problem(send, 400, "the path holds dot segments or backslashes")
        return
    upload = Upload.of(scope, receive)
    await while_connected(upload, _exchange(http, _request(base, scope, upload), send, unreachable))


def _request(base: str, scope: Scope, upload: Upload) -> httpx.Request:
    url = httpx.URL(base)
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    target = url.raw_path.rstrip(b"/") + raw_path + (b"?" + query if query else b"")
    headers = end_to_end([(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]])
    named = dict(scope["headers"])
    content = upload.chunks() if announces_body(scope) else None
    if b"content-length" in named:
        headers.append(("content-length", named[b"content-length"].decode("latin-1")))
    return httpx.Request(
        scope["method"],
        url,
        headers=headers,
        content=content,
        extensions={"target": target, "timeout": _TIMEOUTS.as_dict()},
    )


async def _exchange(http: httpx.AsyncClient, request: httpx.Request, send: Send, unreachable: Unreachable) -> None:
    try:
        response = await http.send(request, stream=True, follow_redirects=False)
    except httpx.TransportError as error:
        log.warning("front.passthrough_failed", host=request.url.host, error=type(error).__name__)
        await unreachable(send, type(error).__name__)
        return
    try:
        await send(
            {
                "type": "http.response.start",
                "status": response.status_code,
                "headers": answer_headers(response),
            }
        )
        async for chunk in response.aiter_raw():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except httpx.TransportError as error:
        # The answer has begun: leaving it unfinished is how the client learns that it broke off.
        log.warning("front.passthrough_broke_off", host=request.url.host, error=type(error).__name__)
    finally:
        await response.aclose()


def answer_headers(response: httpx.Response) -> list[tuple[bytes, bytes]]:
    """An answer's headers as they came, without those of one hop."""
    named = {token.strip().lower().encode() for token in response.headers.get("connection", "").split(",")}
    dropped = {name.encode() for name in HOP_BY_HOP} | named
    if response.status_code in _NO_BODY:
        dropped.add(b"content-length")
    return [(name, value) for name, value in response.headers.raw if name.lower() not in dropped]
