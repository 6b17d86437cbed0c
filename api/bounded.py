"""What a framework serves gets bodies of bounded size and depth: it would read them whole, however large they are."""

from __future__ import annotations

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.front.exchange import AS_IT_IS, ENCODED, BodyTooLarge, Disconnected, is_encoded, problem, read_body
from api.front.streaming import announces_body
from comparators.nesting import TooDeep, read

_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
"""Of these a body is never read."""


class Bounded:
    """An ASGI application whose requests have bodies of at most so many bytes, read before it is called.

    A body in another encoding than its own is refused too: nothing here unpacks one, and what is read as if it were
    plain would only be called invalid.

    Args:
        most: bytes.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        if is_encoded(scope):
            await problem(send, 415, ENCODED, AS_IT_IS)
            return
        if not announces_body(scope):
            await self._app(scope, receive, send)
            return
        try:
            body = await read_body(scope, receive, self._most)
        except BodyTooLarge:
            await problem(send, 413, f"the body may have {self._most} bytes")
            return
        except Disconnected:
            return
        if is_too_deep(body):
            await problem(send, 400, "the body is nested too deeply")
            return
        await self._app(scope, _Replayed(body, receive), send)


class _Replayed:
    """A body that was read, once more; then whatever the server says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._message: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._receive = receive

    async def __call__(self) -> Message:
        if self._message is None:
            return await self._receive()
        message, self._message = self._message, None
        return message


def is_too_deep(body: bytes) -> bool:
    """Whether a body is JSON that is nested too deeply to be read; whatever else is wrong with it is for others."""
    try:
        read(body)
    except TooDeep:
        return True
    except orjson.JSONDecodeError as error:
        return "depth" in error.msg or "Recursion" in error.msg
    return False
