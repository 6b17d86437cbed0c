"""Who asks: bearer tokens, their scopes, tenants and rates (RFC 6750 for the challenges).

An operation tells what it needs by the dependency it has, and there is no other way in. A token that is limited to
tenants is refused by all of them but those whose name says `tenant`: whoever forgets about tenants refuses.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.control.parameters import known_parameters
from api.control.problems import Refusal
from api.control.services import services_of
from shadow.access import tokens
from shadow.access.hosts import is_ours
from shadow.access.tokens import Scope, Token

_REALM = 'Bearer realm="shadow"'

bearer = HTTPBearer(
    scheme_name="token",
    description="A token of `shadow token create NAME --scope read --scope operate`.",
    auto_error=False,
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]


@dataclass(frozen=True, slots=True)
class Need:
    """What a token needs for an operation."""

    scope: Scope
    own_tenants: bool
    """Whether a token of some tenants is told of these alone; else it is refused."""


async def _token(request: Request, secret: str | None, need: Need) -> Token:
    if secret is None:
        raise Refusal(
            401,
            "expected the header `Authorization: Bearer TOKEN`; `shadow token create` makes one",
            headers={"WWW-Authenticate": _REALM},
        )
    services = services_of(request)
    token = await tokens.find(services.engine, secret)
    if token is None:
        raise Refusal(
            401,
            "this token is unknown, expired or revoked",
            headers={"WWW-Authenticate": f'{_REALM}, error="invalid_token"'},
        )
    if services.rates is not None and (wait := services.rates.wait(token.id, time.monotonic())) > 0:
        seconds = math.ceil(wait)
        says = f"the token {token.name!r} asks too often; come back in {seconds} s"
        raise Refusal(429, says, headers={"Retry-After": str(seconds)})
    if need.scope not in token.scopes:
        held = ", ".join(sorted(token.scopes))
        raise Refusal(
            403,
            f"the token {token.name!r} has the scope {held}; this needs the scope {need.scope}",
            headers={"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{need.scope}"'},
        )
    if token.tenants is not None and not need.own_tenants:
        raise not_of_tenants(token)
    return token


def not_of_tenants(token: Token) -> Refusal:
    """The answer when a token of some tenants wants what is of all."""
    return Refusal(
        403,
        f"the token {token.name!r} is limited to tenants, and this is of all tenants together; it needs a token without"
        " that limit",
        kind="limited-to-tenants",
        title="Limited to tenants",
    )


def check_tenant(token: Token, tenant: str | None) -> None:
    """Refuse what a token of some tenants wants of another one."""
    if token.tenants is not None and tenant not in token.tenants:
        raise Refusal(
            403,
            f"the token {token.name!r} is limited to the tenants {', '.join(sorted(token.tenants))}; this is of"
            f" {'another' if tenant else 'all, or of events without a tenant'}",
            kind="limited-to-tenants",
            title="Limited to tenants",
        )


def _given(credentials: HTTPAuthorizationCredentials | None) -> str | None:
    return None if credentials is None else credentials.credentials


Caller = Callable[[Request, Credentials], Awaitable[Token]]
NEEDS: dict[Callable[..., object], Need] = {}
"""What each of the dependencies needs: for the OpenAPI document."""


def _needs(scope: Scope, *, own_tenants: bool = False) -> Caller:
    need = Need(scope, own_tenants)

    async def caller(request: Request, credentials: Credentials) -> Token:
        token = await _token(request, _given(credentials), need)
        await known_parameters(request)
        return token

    NEEDS[caller] = need
    return caller


reader = _needs(Scope.READ)
"""Dependency: the token of a caller who may read, of all tenants."""
operator = _needs(Scope.OPERATE)
"""Dependency: the token of a caller who may operate, for all tenants."""
tenant_reader = _needs(Scope.READ, own_tenants=True)
"""Dependency: the token of a caller who may read, if only of `token.tenants`. What is told must be of these."""
tenant_operator = _needs(Scope.OPERATE, own_tenants=True)
"""Dependency: the token of a caller who may operate, if only for `token.tenants`."""
raw_reader = _needs(Scope.RAW, own_tenants=True)
"""Dependency: the token of a caller who may open originals, if only of `token.tenants`."""

Reader = Annotated[Token, Security(tenant_reader)]
Operator = Annotated[Token, Security(tenant_operator)]
RawReader = Annotated[Token, Security(raw_reader)]
"""What an operation that knows of tenants takes, to pass `token.tenants` on."""


async def scraper(request: Request, credentials: Credentials) -> None:
    """Dependency: anybody where metrics are open and who calls us by a name of ours, else who may read."""
    services = services_of(request)
    host = request.headers.get("host")
    if not services.metrics_open or not is_ours(host, services.names):
        if services.metrics_open and credentials is None:
            raise Refusal(
                421,
                f"without a token metrics are told to whoever calls this port by an address, localhost or a name of"
                f" SHADOW_CONTROL_NAMES; found Host: {host}",
            )
        await _token(request, _given(credentials), NEEDS[scraper])
    await known_parameters(request)


async def told_by(request: Request, credentials: HTTPAuthorizationCredentials | None, other: str | None) -> Token:
    """The token of a caller who may read: of the header, or else the one that came otherwise."""
    return await _token(request, _given(credentials) or other, NEEDS[told_by])


NEEDS[scraper] = NEEDS[told_by] = NEEDS[reader]
