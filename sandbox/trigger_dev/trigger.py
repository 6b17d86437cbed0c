"""`POST /api/v1/tasks/{id}/trigger` (reference 1)."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from sandbox.trigger_dev.environments import Environment
from sandbox.trigger_dev.errors import EXPOSED, ApiError, reply
from sandbox.trigger_dev.options import LONGEST_KEY, read_trigger
from sandbox.trigger_dev.platform import Platform, check_length, json_body
from sandbox.trigger_dev.tokens import public_token
from sandbox.trigger_dev.validation import Check


def check_headers(request: Request) -> None:
    """Refuse an idempotency key that is too long. Raises ApiError 400."""
    if len(request.headers.get("idempotency-key", "")) > LONGEST_KEY:
        message = f"idempotency-key must be {LONGEST_KEY} characters or less"
        details = [{"code": "too_big", "path": ["idempotency-key"], "message": message}]
        raise ApiError(400, "Headers Error", details=details)


def token_headers(environment: Environment, claims: dict[str, Any], scopes: list[str]) -> dict[str, str]:
    """The token a producer may hand to a browser. SDKs use it, or sign their own from the claims."""
    return {
        **EXPOSED,
        "x-trigger-jwt": public_token(environment, {"sub": environment.id, "pub": True, "scopes": scopes}),
        "x-trigger-jwt-claims": orjson.dumps(claims).decode(),
    }


async def trigger(platform: Platform, request: Request) -> Response:
    """Make a run, or answer with the one its idempotency key stands for."""
    caller = platform.caller(request)
    task = request.path_params["task"]
    check_length(request)
    check_headers(request)
    check = Check()
    body = read_trigger(check, await json_body(request))
    if (complaint := check.text()) is not None or body is None:
        raise ApiError(400, complaint or "Validation error")
    caller.require(f"trigger:tasks:{task}")
    run, cached = platform.triggering.trigger(caller.environment, task, body.with_headers(request.headers))
    scopes = [f"read:runs:{run.id}", f"write:inputStreams:{run.id}"]
    claims = {"sub": caller.environment.id, "pub": True, "scopes": scopes}
    return reply({"id": run.id, "isCached": cached}, headers=token_headers(caller.environment, claims, scopes))


ROUTES = (("POST", "/api/v1/tasks/{task:path}/trigger", trigger),)
