"""The yardstick: an ASGI app that reads the body and answers, on the service's own uvicorn settings."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from shadow.service import Listener, server_settings

_BODY = b'{"ids":["01M85K61QG0MKR39JNHEFCC9V4"],"status":200}'
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())],
}


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Read everything, answer the same."""
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send(_START)
    await send({"type": "http.response.body", "body": _BODY})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(app, **server_settings(Listener("127.0.0.1", parser.parse_args().port)))
