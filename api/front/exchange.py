"""One HTTP exchange at the level of ASGI messages: the doors' path has no framework on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import orjson
from starlette.types import Receive, Scope, Send

from shadow.platforms.client import end_to_end

RawHeaders = Sequence[tuple[bytes, bytes]]
"""Tuples, where an answer is given at once: what they make of a head is remembered."""

JSON_HEADERS: RawHeaders = ((b"content-type", b"application/json"),)
RETRY_AFTER_SECONDS = 2
"""What a door asks for while it cannot store anything."""


_NAMES = {
    name.encode(): name
    for name in (
        *("accept", "accept-encoding", "authorization", "connection", "content-length", "content-type", "host"),
        *("tracestate", "traceparent", "user-agent", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
        *("x-request-id", "x-shopify-api-version", "x-shopify-event-id", "x-shopify-hmac-sha256"),
        *("x-shopify-shop-domain", "x-shopify-topic", "x-shopify-triggered-at", "x-shopify-webhook-id"),
        *("stripe-signature", "x-github-delivery", "x-github-event", "x-hub-signature-256", "x-slack-signature"),
        *("x-slack-request-timestamp", "webhook-id", "webhook-signature", "webhook-timestamp"),
    )
}
"""Names of headers that most requests have, which need not be made anew for each."""

ENCODED = "send the body without a content encoding: nothing is unpacked here"
AS_IT_IS: RawHeaders = ((b"accept-encoding", b"identity"),)
"""Beside a 415: how a body is taken."""


class BodyTooLarge(Exception):
    """The request's body is longer than the door takes."""


class Disconnected(Exception):
    """The client went away before its request was complete."""


class Whole(NamedTuple):
    """A complete answer."""

    status: int
    body: bytes
    headers: RawHeaders = JSON_HEADERS


class Refused(Exception):
    """What is answered instead of taking a request."""

    def __init__(self, answer: Whole) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Exchange(Protocol):
    """Where the answer to a request goes whose body is at hand: to one of the two, once, now or later."""

    def answer(self, whole: Whole) -> None: ...

    def failed(self, error: Exception) -> None:
        """Something that nobody foresaw."""


class Awaited:
    """An exchange with whoever waits for its answer."""

    def __init__(self) -> None:
        self._future: asyncio.Future[Whole] = asyncio.get_running_loop().create_future()

    def answer(self, whole: Whole) -> None:
        if not self._future.done():  # who waited may have gone
            self._future.set_result(whole)

    def failed(self, error: Exception) -> None:
        if not self._future.done():
            self._future.set_exception(error)

    async def whole(self) -> Whole:
        """The answer, or what failed."""
        return await self._future


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: it announces, or has, more than `most` bytes.
        Disconnected: the client went away.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > most:
            raise BodyTooLarge
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > most:
            raise BodyTooLarge
        return body
    chunks, size = [body], len(body)
    while message.get("more_body", False):
        if size > most:
            raise BodyTooLarge
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
    if size > most:
        raise BodyTooLarge
    return b"".join(chunks)


def fields(scope: Scope) -> dict[str, str]:
    """The request's headers by lower-case name; of a repeated one the last."""
    known = _NAMES.get
    return {known(name) or name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def header(scope: Scope, name: bytes) -> str | None:
    """One header of the request, without reading the others."""
    for given, value in scope["headers"]:
        if given == name:
            text: str = value.decode("latin-1")
            return text
    return None


def is_encoded(scope: Scope) -> bool:
    """Whether the body is packed. Asked only where it could not be read: nobody packs what a door takes."""
    encoding = header(scope, b"content-encoding")
    return encoding is not None and encoding.strip().lower() not in ("", "identity")


def pairs(scope: Scope) -> tuple[tuple[str, str], ...]:
    """The request's headers in their order, repeated ones included."""
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])


def target(scope: Scope, base: str) -> str:
    """The URL of the same path and query below `base`, still encoded as they came."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    return base.rstrip("/") + (path + (b"?" + query if query else b"")).decode("latin-1")


async def respond(
    send: Send, status: int, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = JSON_HEADERS
) -> None:
    """Answer with a complete body."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})


def retry_headers(headers: RawHeaders = JSON_HEADERS) -> RawHeaders:
    """`headers`, and when to come back."""
    return (*headers, (b"retry-after", b"%d" % RETRY_AFTER_SECONDS))


def pass_back(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """A platform's headers for an answer whose body is at hand: repeated ones stay, those of one hop go."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in end_to_end(headers)]


_PROBLEM_HEADERS: RawHeaders = ((b"content-type", b"application/problem+json"),)
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


def problem_of(status: int, detail: str, headers: RawHeaders = ()) -> Whole:
    """Problem details (RFC 9457)."""
    body = {"type": "about:blank", "title": _TITLES[status], "status": status, "detail": detail}
    return Whole(status, orjson.dumps(body), (*_PROBLEM_HEADERS, *headers))


async def problem(send: Send, status: int, detail: str, headers: RawHeaders = ()) -> None:
    """Answer with problem details."""
    await respond(send, *problem_of(status, detail, headers))
