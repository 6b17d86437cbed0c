"""One HTTP exchange whose bodies are streamed both ways, and which ends when the client goes away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope

from api.front.exchange import Disconnected


@dataclass
class Upload:
    """The request's body on its way up."""

    receive: Receive
    left: type[Exception] = Disconnected
    """What is raised where the client goes away in the middle."""
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, scope: Scope, receive: Receive, left: type[Exception] = Disconnected) -> Upload:
        """A request's body; it is over from the beginning where the request announces none."""
        upload = cls(receive, left)
        if not announces_body(scope):
            upload.done.set()
        return upload

    async def chunks(self) -> AsyncIterator[bytes]:
        more = not self.done.is_set()
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise self.left
            more = message.get("more_body", False)
            if not more:
                self.done.set()
            if chunk := message.get("body", b""):
                yield chunk

    async def disconnected(self) -> None:
        """Returns when the client goes away after its request was read."""
        await self.done.wait()
        while (await self.receive())["type"] != "http.disconnect":
            pass


def announces_body(scope: Scope) -> bool:
    """Whether the request says that it has a body."""
    return any(name in (b"content-length", b"transfer-encoding") for name, _value in scope["headers"])


async def while_connected(upload: Upload, exchange: Coroutine[Any, Any, None]) -> None:
    """Run an exchange to its end, or until its client has gone away, which ends it."""
    running = asyncio.create_task(exchange)
    watch = asyncio.create_task(upload.disconnected())
    try:
        await asyncio.wait({running, watch}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (running, watch):
            if not task.done():
                task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
    with contextlib.suppress(asyncio.CancelledError, upload.left):
        await running
