"""The gateway's edge: `/egress/{target}/{path}` as ASGI, streamed both ways."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import structlog
from starlette.types import Receive, Scope, Send

from shadow.egress.gateway import Gateway
from shadow.egress.incoming import ClientLeft, Incoming
from shadow.egress.replies import BrokeOff, Reply, problem

log = structlog.get_logger(__name__)

PREFIX = b"/egress/"
_KEY_MARK = b"~"


@dataclass
class _Upload:
    """The request's body on its way up."""

    receive: Receive
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def chunks(self) -> AsyncIterator[bytes]:
        more = not self.done.is_set()
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            more = message.get("more_body", False)
            if not more:
                self.done.set()
            if chunk := message.get("body", b""):
                yield chunk

    async def disconnected(self) -> None:
        """Returns when the worker goes away after its request was read."""
        await self.done.wait()
        while (await self.receive())["type"] != "http.disconnect":
            pass


class EgressEdge:
    """The gateway as an ASGI application."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        upload = _Upload(receive)
        incoming = _incoming(scope, upload)
        if incoming is None:
            reply = problem(404, "expected /egress/TARGET/PATH")
            await respond_with(send, reply)
            return
        exchange = asyncio.create_task(self._exchange(incoming, send))
        watch = asyncio.create_task(upload.disconnected())
        try:
            await asyncio.wait({exchange, watch}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (exchange, watch):
                if not task.done():
                    task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
        with contextlib.suppress(asyncio.CancelledError, ClientLeft):
            await exchange

    async def _exchange(self, incoming: Incoming, send: Send) -> None:
        await respond_with(send, await self._gateway.answer(incoming))


async def respond_with(send: Send, reply: Reply) -> None:
    """Pass an answer on as it comes. One that breaks off is left unfinished, which is how the worker learns of it."""
    start = {"type": "http.response.start", "status": reply.status, "headers": list(reply.headers)}
    if isinstance(reply.body, bytes):
        await send(start)
        await send({"type": "http.response.body", "body": reply.body})
        return
    body = reply.body
    try:
        await send(start)
        async for chunk in body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except BrokeOff:
        return
    finally:
        close = getattr(body, "aclose", None)
        if close is not None:
            await close()


def _incoming(scope: Scope, upload: _Upload) -> Incoming | None:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if not raw.startswith(PREFIX):
        return None
    target, _, rest = raw.removeprefix(PREFIX).partition(b"/")
    key = None
    if rest.startswith(_KEY_MARK):
        key_text, _, rest = rest.partition(b"/")
        key = key_text.removeprefix(_KEY_MARK).decode("latin-1")
    named = {name for name, _value in scope["headers"]}
    announces = b"content-length" in named or b"transfer-encoding" in named
    if not announces:
        upload.done.set()
    if not target:
        return None
    return Incoming(
        target=target.decode("latin-1"),
        method=scope["method"],
        raw_path=b"/" + rest,
        query=scope.get("query_string", b""),
        headers=scope["headers"],
        key_in_path=key,
        body=upload.chunks(),
        announces_body=announces,
    )
