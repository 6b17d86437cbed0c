"""Who asks: bearer tokens and their scopes (RFC 6750 for the challenges)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.control.parameters import known_parameters
from api.control.problems import Refusal
from api.control.services import services_of
from shadow.access import tokens
from shadow.access.tokens import Scope, Token

_REALM = 'Bearer realm="shadow"'

bearer = HTTPBearer(
    scheme_name="token",
    description="A token of `shadow token create NAME --scope read --scope operate`.",
    auto_error=False,
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]


async def _token(request: Request, secret: str | None, scope: Scope) -> Token:
    if secret is None:
        raise Refusal(
            401,
            "expected the header `Authorization: Bearer TOKEN`; `shadow token create` makes one",
            headers={"WWW-Authenticate": _REALM},
        )
    token = await tokens.find(services_of(request).engine, secret)
    if token is None:
        raise Refusal(
            401,
            "this token is unknown, expired or revoked",
            headers={"WWW-Authenticate": f'{_REALM}, error="invalid_token"'},
        )
    if scope not in token.scopes:
        raise Refusal(
            403,
            f"the token {token.name!r} has the scope {', '.join(sorted(token.scopes))}; this needs the scope {scope}",
            headers={"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{scope}"'},
        )
    return token


def _given(credentials: HTTPAuthorizationCredentials | None) -> str | None:
    return None if credentials is None else credentials.credentials


def _needs(scope: Scope) -> Callable[[Request, Credentials], Awaitable[Token]]:
    async def caller(request: Request, credentials: Credentials) -> Token:
        token = await _token(request, _given(credentials), scope)
        await known_parameters(request)
        return token

    return caller


reader = _needs(Scope.READ)
"""Dependency: the token of a caller who may read."""
operator = _needs(Scope.OPERATE)
"""Dependency: the token of a caller who may operate."""


async def scraper(request: Request, credentials: Credentials) -> None:
    """Dependency: anybody where metrics are open, else who may read."""
    if not services_of(request).metrics_open:
        await _token(request, _given(credentials), Scope.READ)
    await known_parameters(request)


async def told_by(request: Request, credentials: HTTPAuthorizationCredentials | None, other: str | None) -> Token:
    """The token of a caller who may read: of the header, or else the one that came otherwise."""
    return await _token(request, _given(credentials) or other, Scope.READ)
