"""Public tokens: what an SDK needs to sign one itself (reference 7)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from sandbox.trigger_dev.errors import reply
from sandbox.trigger_dev.platform import Platform


async def claims(platform: Platform, request: Request) -> Response:
    """The claims of a public token; the SDK adds scopes and signs with its secret key."""
    caller = platform.caller(request, "Invalid or Missing API key")
    return reply({"sub": caller.environment.id, "pub": True}, headers={})


ROUTES = (("POST", "/api/v1/auth/jwt/claims", claims),)
