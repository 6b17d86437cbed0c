"""Answers of the door itself in the shapes that Trigger.dev's SDK understands (reference 1.6, transcripts)."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.types import Send

from api.front.exchange import JSON_HEADERS, RawHeaders, Whole, respond, retry_headers
from api.front.keys import signed
from shadow.catalogue.model import TriggerPlatform

_HEADERS: RawHeaders = (
    *JSON_HEADERS,
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"x-trigger-jwt,x-trigger-jwt-claims"),
)
_ISSUER = "https://id.trigger.dev"
_AUDIENCE = "https://api.trigger.dev"
_TOKEN_SECONDS = 3600
_RETRY: RawHeaders = ((b"x-should-retry", b"true"),)
_FINAL: RawHeaders = ((b"x-should-retry", b"false"),)

_UNAUTHORIZED = json.dumps(
    {
        "title": "Unauthorized",
        "status": 401,
        "type": "https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/401",
        "detail": "No authorization header provided",
        "error": "No authorization header provided",
    },
    indent=2,
).encode()


async def no_authorization(send: Send) -> None:
    """The rate limiter's answer, which comes before any other."""
    await respond(send, 401, _UNAUTHORIZED, ((b"content-type", b"application/problem+json; charset=utf-8"),))


async def refuse(send: Send, status: int, error: str) -> None:
    """The call is at fault."""
    await respond(send, status, orjson.dumps({"error": error}), _HEADERS)


async def not_stored(send: Send) -> None:
    """The database is away: the SDK comes again."""
    body = {"error": "The call could not be stored; send it again"}
    await respond(send, 503, orjson.dumps(body), retry_headers((*_HEADERS, *_RETRY)))


async def too_often(send: Send, wait: float) -> None:
    """The key sends more than the catalogue lets it, in the shape of the platform's own limit (reference 1.7): the SDK
    comes again when it says."""
    until = int((time.time() + wait) * 1000)
    body = {
        "title": "Rate Limit Exceeded",
        "status": 429,
        "type": "https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/429",
        "detail": "Shadow lets this key send no more (limits.requests_per_second)",
        "reset": until,
        "secondsUntilReset": math.ceil(wait),
        "error": "Rate limit exceeded",
    }
    told = ((b"x-ratelimit-remaining", b"0"), (b"x-ratelimit-reset", str(until).encode()))
    again = (b"retry-after", str(math.ceil(wait)).encode())
    headers = ((b"content-type", b"application/problem+json; charset=utf-8"), *_HEADERS[1:], *told, again)
    await respond(send, 429, orjson.dumps(body), headers)


async def unreachable(send: Send, error: str, *, again: bool = True) -> None:
    """The platform gave no answer.

    Args:
        again: the SDK may come again; otherwise the workers send the call, and a second one would be a second run.
    """
    body = {"error": f"trigger.dev could not be reached: {error}"}
    if not again:
        body["error"] += "; the call is stored and will be sent, do not send it again"
    await respond(send, 502, orjson.dumps(body), (*_HEADERS, *(_RETRY if again else _FINAL)))


async def unauthorized(send: Send) -> None:
    """The public token has no scope for what it asks (reference 1.6)."""
    body = {"error": "Unauthorized", "code": "unauthorized", "param": "access_token", "type": "authorization"}
    await respond(send, 403, orjson.dumps(body), _HEADERS)


FAILED = Whole(500, b'{"error":"Internal Server Error"}', _HEADERS)
"""What is answered to what nobody foresaw (reference 1.6)."""


async def taken(send: Send, platform: TriggerPlatform, status: int, body: Mapping[str, Any], *scopes: str) -> None:
    """What was asked for has been taken, with a token that has those scopes: as the platform's own answers."""
    claims = {"sub": "shadow", "pub": True, "scopes": list(scopes)}
    now = int(time.time())
    lasting = {**claims, "iss": _ISSUER, "aud": _AUDIENCE, "iat": now, "exp": now + _TOKEN_SECONDS}
    token = signed(lasting, platform.secret_key.get_secret_value())
    headers = ((b"x-trigger-jwt", token.encode()), (b"x-trigger-jwt-claims", orjson.dumps(claims)))
    await respond(send, status, orjson.dumps(body), (*_HEADERS, *headers))


async def found(send: Send, body: Mapping[str, Any]) -> None:
    """What was read."""
    await respond(send, 200, orjson.dumps(body), _HEADERS)


async def not_found(send: Send) -> None:
    """The reader may come again, as after a lagging replica (reference 3.1)."""
    await respond(send, 404, b'{"error":"Not found"}', (*_HEADERS, *_RETRY))


async def not_served(send: Send, reason: str) -> None:
    """Legacy has no authority over the task any more: closed, and asking again does not open it."""
    await respond(send, 503, orjson.dumps({"error": reason}), (*_HEADERS, *_FINAL))
