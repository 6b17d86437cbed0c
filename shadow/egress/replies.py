"""What a worker gets: a target's answer, or one of the gateway's own that says so."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import orjson

GATEWAY = b"x-shadow-gateway"
"""On answers of the gateway's own: refused, stub, replay, wait or unreachable. Never on a target's."""
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    413: "Content Too Large",
    425: "Too Early",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
_DROPPED_FROM_REPLAY = frozenset({b"content-length", b"date", b"age", b"set-cookie"})
"""Of a recorded answer: what the server makes anew, and cookies, which are the twin's."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer for the worker."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes | AsyncIterator[bytes]
    """An iterator's last piece comes when all is written down; it raises `BrokeOff` where the target broke off."""


class BrokeOff(Exception):
    """The target's answer broke off in the middle; so must the worker's."""


class Refusal(Exception):
    """A call that is not let through."""

    def __init__(self, status: int, detail: str, *, retry_after: float | None = None, gateway: str = "refused") -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after
        self.gateway = gateway

    def reply(self) -> Reply:
        return problem(self.status, self.detail, gateway=self.gateway, retry_after=self.retry_after)


def problem(status: int, detail: str, *, gateway: str = "refused", retry_after: float | None = None) -> Reply:
    """Problem details (RFC 9457)."""
    body = orjson.dumps({"type": "about:blank", "title": _TITLES[status], "status": status, "detail": detail})
    headers = [
        (b"content-type", b"application/problem+json"),
        (GATEWAY, gateway.encode()),
        (b"content-length", b"%d" % len(body)),
    ]
    if retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(retry_after))))
    return Reply(status, headers, body)


def own(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, *, gateway: str, head: bool) -> Reply:
    """A replayed answer or a stub.

    Args:
        head: whether the request was a HEAD, whose answer has no body though it may announce one.
    """
    if head:
        return Reply(status, [*headers, (GATEWAY, gateway.encode())], b"")
    kept = [(name, value) for name, value in headers if name.lower() not in _DROPPED_FROM_REPLAY]
    kept.append((GATEWAY, gateway.encode()))
    if status not in (204, 304):
        kept.append((b"content-length", b"%d" % len(body)))
        return Reply(status, kept, body)
    return Reply(status, kept, b"")
