"""Who is asking: secret keys and public access tokens (reference 1.1).

A public token is an HS256 JWT signed with the environment's root key.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.warnings import InsecureKeyLengthWarning

from sandbox.trigger_dev.environments import Environment, Environments
from sandbox.trigger_dev.errors import ApiError
from sandbox.trigger_dev.traps import Traps

ISSUER = "https://id.trigger.dev"
AUDIENCE = "https://api.trigger.dev"


@dataclass(frozen=True)
class Caller:
    """An authenticated request: its environment, and its scopes when it holds a public token (None:
    everything).
    """

    environment: Environment
    scopes: tuple[str, ...] | None = None

    def require(self, *accepted: str) -> None:
        """Raise a 403 unless the caller may do one of `accepted` (`read:runs:run_1`; a scope without id
        covers all).

        `write:tasks` also opens trigger and batchTrigger, and `admin` opens everything.
        """
        if self.scopes is None or "admin" in self.scopes:
            return
        for wanted in accepted:
            action, _, rest = wanted.partition(":")
            kind, _, _ = rest.partition(":")
            covering = {wanted, f"{action}:{kind}"}
            if action in ("trigger", "batchTrigger"):
                covering |= {f"write:{rest}", f"write:{kind}"}
            if covering & set(self.scopes):
                return
        raise ApiError(403, "Unauthorized", code="unauthorized", param="access_token", type="authorization")


def public_token(environment: Environment, claims: dict[str, Any], life_seconds: int = 3_600) -> str:
    """Sign a public access token. The claims usually are sub, pub and scopes."""
    issued = int(time.time())
    standing = {"iss": ISSUER, "aud": AUDIENCE, "iat": issued, "exp": issued + life_seconds}
    with _platform_keys():
        return jwt.encode({**claims, **standing}, environment.root_key, algorithm="HS256")


@contextmanager
def _platform_keys() -> Iterator[None]:
    """Root keys are 31 characters long, one less than the JWT library likes; the platform signs with them
    anyway.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)
        yield


def authenticate(
    header: str | None, environments: Environments, traps: Traps, wording: str = "Invalid API key"
) -> Caller:
    """Find the caller of an `Authorization` header.

    Raises ApiError 401; `wording` is the text for a bad key, which older routes phrase differently.
    """
    scheme, _, token = (header or "").partition(" ")
    token = token.strip()
    environment = environments.by_key(token)
    if scheme == "Bearer" and environment is not None and token not in traps.expired_keys:
        return Caller(environment)
    if scheme == "Bearer" and token.count(".") == 2:
        return _public_caller(token, environments)
    raise ApiError(401, wording)


def _public_caller(token: str, environments: Environments) -> Caller:
    try:
        subject = jwt.decode(token, options={"verify_signature": False}).get("sub")
        environment = environments.by_id(str(subject))
        if environment is None:
            raise jwt.InvalidTokenError("unknown environment")
        with _platform_keys():
            claims = jwt.decode(token, environment.root_key, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
    except jwt.InvalidTokenError:
        raise ApiError(401, "Public Access Token is invalid") from None
    return Caller(environment, tuple(claims.get("scopes") or ()))
