"""Answers of the API: the JSON envelope and the errors that handlers raise (reference 1.6)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

EXPOSED = {"access-control-expose-headers": "x-trigger-jwt,x-trigger-jwt-claims"}
"""Routes made by the platform's route builder carry this header; the older hand-written ones do not."""

RETRY_READ = {"x-should-retry": "true"}
"""A read that found nothing may have hit a lagging replica, so SDKs are told to try again."""


class ApiError(Exception):
    """An error answer: status, JSON body, extra headers."""

    def __init__(self, status: int, error: str, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        """`error` is the body's text; `more` are further members of the body."""
        super().__init__(f"{status}: {error}")
        self.status = status
        self.body = {"error": error, **more}
        self.headers = dict(EXPOSED if headers is None else headers)


def reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer with the content type the service uses."""
    return Response(
        orjson.dumps(body),
        status_code=status,
        headers={
            "content-type": "application/json; charset=utf-8",
            **(EXPOSED if headers is None else headers),
        },
    )


def not_found(headers: Mapping[str, str] | None = None) -> ApiError:
    """What reads answer for something unknown."""
    return ApiError(404, "Not found", {**EXPOSED, **RETRY_READ} if headers is None else headers)


def problem(status: int, title: str, detail: str, **more: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the rate limiter's problem+json (it answers before any route does).

    `more` stands between `detail` and `error`, as in the real body; the entity tag is Express's weak one.
    """
    body = json.dumps(
        {
            "title": title,
            "status": status,
            "type": f"https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/{status}",
            "detail": detail,
            **more,
            "error": detail,
        },
        indent=2,
    ).encode()
    digest = base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()[:27]
    return body, {
        "content-type": "application/problem+json; charset=utf-8",
        "content-length": str(len(body)),
        "etag": f'W/"{len(body):x}-{digest}"',
    }
