"""The gateway's edge: `/egress/{target}/{path}` as ASGI, streamed both ways."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from api.front.streaming import Upload, announces_body, while_connected
from shadow.egress.gateway import Gateway
from shadow.egress.incoming import ClientLeft, Incoming
from shadow.egress.replies import BrokeOff, Reply, problem

PREFIX = b"/egress/"
_KEY_MARK = b"~"


class EgressEdge:
    """The gateway as an ASGI application."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        upload = Upload.of(scope, receive, ClientLeft)
        incoming = _incoming(scope, upload)
        if incoming is None:
            await respond_with(send, problem(404, "expected /egress/TARGET/PATH"))
            return
        await while_connected(upload, self._exchange(incoming, send))

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


def _incoming(scope: Scope, upload: Upload) -> Incoming | None:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if not raw.startswith(PREFIX):
        return None
    target, _, rest = raw.removeprefix(PREFIX).partition(b"/")
    key = None
    if rest.startswith(_KEY_MARK):
        key_text, _, rest = rest.partition(b"/")
        key = key_text.removeprefix(_KEY_MARK).decode("latin-1")
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
        announces_body=announces_body(scope),
    )
