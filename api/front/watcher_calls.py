"""The platform's calls to the watcher, as they come by the hundred: checked, read and answered as the SDK would.

The official SDK serves the watcher: it registers it, and takes whatever is not plain here (a probe, a call whose events
are to be fetched, a body of which another canonical form was signed). For one plain call it needs a millisecond and a
half of processor time, which is more than writing the outcome down.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import Any
from urllib.parse import parse_qsl

import orjson
import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.front.exchange import BodyTooLarge, read_body, respond
from comparators.nesting import read

log = structlog.get_logger(__name__)

FUNCTION = "shadow-watch"
UNKNOWN_SENDER = "it is not known yet who sent the event of this run"
NOT_REGISTERED = (
    "only a call that the platform has signed registers this app, unless `front_url` of the platform in Shadow's"
    " catalogue says where it is reached"
)
_MOST_DIGITS = 12
_AGE_SECONDS = 300
"""Of a signature, by either clock."""
_PREFIX = re.compile(r"^signkey-\w+-")
_SDK = f"inngest-py:v{metadata.version('inngest')}".encode()
_HEADERS: Sequence[tuple[bytes, bytes]] = (
    (b"content-type", b"application/json"),
    (b"x-inngest-sdk", _SDK),
    (b"x-inngest-req-version", b"2"),
    (b"user-agent", _SDK),
    (b"x-inngest-framework", b"fast_api"),
    (b"x-inngest-sdk-handled", b"true"),
)


@dataclass(slots=True)
class Finished:
    """An `inngest/function.finished` event."""

    id: str
    data: Mapping[str, Any]
    ts: int
    """Milliseconds since 1970."""


class Signed:
    """Checks the signatures of the platform's calls, and signs answers."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [_PREFIX.sub("", key).encode() for key in keys]

    @classmethod
    def of(cls, *keys: str | None) -> Signed:
        """With the keys that there are: the present one, and one that is on its way out."""
        return cls([key for key in keys if key])

    def is_fresh(self, signature: str | None, now: float) -> bool:
        """Whether the signature says that it was made lately."""
        moment, _digest = _parts(signature)
        if not (moment.isascii() and moment.isdigit() and len(moment) <= _MOST_DIGITS):
            return False
        return abs(now - int(moment)) <= _AGE_SECONDS

    def key_of(self, signature: str | None, canonical: bytes) -> bytes | None:
        """The key by which that body was signed; None where it is none of ours."""
        moment, digest = _parts(signature)
        for key in self._keys:
            if hmac.compare_digest(_signature(key, canonical, moment), digest.encode()):
                return key
        return None


def _parts(signature: str | None) -> tuple[str, str]:
    """(seconds since 1970, the digest) of `t=...&s=...`; nothing of what says either twice, where the SDK may read the
    other one."""
    told = parse_qsl(signature or "")
    named = dict(told)
    if len(named) < len(told):
        return "", ""
    return named.get("t", ""), named.get("s", "")


def _signature_of(scope: Scope) -> str | None:
    """None also where there are several."""
    told = [value for name, value in scope["headers"] if name == b"x-inngest-signature"]
    return told[0].decode("latin-1") if len(told) == 1 else None


def _signature(key: bytes, body: bytes, moment: str) -> bytes:
    return hmac.digest(key, body + moment.encode(), "sha256").hex().encode()


class WatcherCalls:
    """Takes the calls. What is not plain goes to the SDK as it came.

    Args:
        take: writes down what a call tells; how long the platform is to wait before it tells it again, if it is to.
        signed: None where the platform is a dev server, which signs nothing.
        rest: where the SDK serves the function.
        most: bytes that a call may have.
    """

    def __init__(
        self,
        take: Callable[[Finished, int], Awaitable[timedelta | None]],
        signed: Signed | None,
        rest: ASGIApp,
        most: int,
    ) -> None:
        self._take = take
        self._signed = signed
        self._rest = rest
        self._most = most
        kind = b"dev" if signed is None else b"cloud"
        self._headers = (*_HEADERS, (b"x-inngest-expected-server-kind", kind))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(scope, receive, self._most)
        except BodyTooLarge:
            await respond(send, 413, b'{"message":"Content Too Large"}')
            return
        signature = _signature_of(scope)
        if self._signed is not None and not self._signed.is_fresh(signature, time.time()):
            log.warning("watcher.not_signed")
            await respond(send, 401, b'{"message":"Unauthorized"}')
            return
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        plain = _plain(body) if query.keys() <= {"fnId", "stepId"} and query.get("fnId") == FUNCTION else None
        key = None
        if plain is not None and self._signed is not None:
            key = self._signed.key_of(signature, orjson.dumps(plain[0], option=orjson.OPT_SORT_KEYS))
            if key is None:
                plain = None  # or its canonical form has numbers that are written otherwise here
        if plain is None:
            await self._rest(scope, _again(body, receive), send)
            return
        _call, finished, attempt = plain
        await self._answer(finished, attempt, key, send)

    async def _answer(self, finished: Finished, attempt: int, key: bytes | None, send: Send) -> None:
        status, answer, headers = 200, b"null", list(self._headers)
        try:
            wait = await self._take(finished, attempt)
        except Exception as error:
            log.exception("watcher.failed", error=type(error).__name__)
            status, answer = 500, _failure("the outcome could not be written down", type(error).__name__)
        else:
            if wait is not None:
                status, answer = 500, _failure(UNKNOWN_SENDER, "RetryAfterError")
                at = (datetime.now(UTC) + wait).isoformat(timespec="milliseconds").replace("+00:00", "Z")
                headers.append((b"retry-after", at.encode()))
        if key is not None:
            moment = str(round(time.time()))
            headers.append((b"x-inngest-signature", b"t=%s&s=%s" % (moment.encode(), _signature(key, answer, moment))))
        await respond(send, status, answer, headers)


class Registration:
    """Registering with the platform, which the SDK does. Who may not ask for it is told what would let him.

    Args:
        rest: where the SDK serves the function.
    """

    def __init__(self, rest: ASGIApp) -> None:
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "PUT":
            await self._rest(scope, receive, send)
            return
        refused = False

        async def said(message: Message) -> None:
            nonlocal refused
            refused = refused or message.get("status") == 401
            if not refused:
                await send(message)

        await self._rest(scope, receive, said)
        if refused:
            log.warning("watcher.not_registered", hint=NOT_REGISTERED)
            await respond(send, 401, orjson.dumps({"message": NOT_REGISTERED}))


def _failure(message: str, name: str) -> bytes:
    return orjson.dumps({"message": message, "name": name, "code": "unknown", "stack": None})


def _plain(body: bytes) -> tuple[Any, Finished, int] | None:
    """(the call, the event that it brings, the attempt), where it is plain."""
    try:
        call: Any = read(body)
        ctx, event = call["ctx"], call["event"]
        attempt, name = ctx["attempt"], event["name"]
        identifier, data, ts = event.get("id", ""), event.get("data") or {}, event.get("ts", 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    plain = (
        type(attempt) is int
        and type(ts) is int
        and isinstance(name, str)
        and isinstance(identifier, str)
        and isinstance(data, dict)
        and call.get("use_api") is False
        and call.get("events") is not None
    )
    return (call, Finished(identifier, data, ts), attempt) if plain else None


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read once more."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
