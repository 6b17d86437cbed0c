"""Which source a key belongs to."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Generic, TypeVar

import jwt
import orjson
from jwt.utils import base64url_decode, base64url_encode
from pydantic import SecretStr

Holder = TypeVar("Holder")


class KeyRing(Generic[Holder]):
    """Finds the holder of a key. Looked up by digest, so that timing tells nothing of a key that is held."""

    def __init__(self, holders: Iterable[tuple[Holder, Iterable[SecretStr]]]) -> None:
        self._holders: dict[bytes, Holder] = {}
        self._keys: list[tuple[str, Holder]] = []
        for holder, keys in holders:
            for key in keys:
                self._holders[sha256(key.get_secret_value().encode(errors="replace")).digest()] = holder
                self._keys.append((key.get_secret_value(), holder))

    def holder(self, key: str) -> Holder | None:
        """Who holds `key`; None when nobody does."""
        return self._holders.get(sha256(key.encode(errors="replace")).digest())

    def signer(self, token: str) -> Holder | None:
        """Whose key signed a JSON Web Token (HS256) that has not expired; None when nobody's did.

        The audience is the platform's business, which checks the token again.
        """
        message, _, signature = token.rpartition(".")
        try:
            given = base64url_decode(signature)
            jwt.decode(token, algorithms=["HS256"], options={"verify_signature": False, "verify_exp": True})
            if jwt.get_unverified_header(token).get("alg") != "HS256":
                return None
        except (jwt.InvalidTokenError, ValueError):
            return None
        # Not PyJWT's own check: it warns of every key of the platform's length, which nobody here can change.
        for key, holder in self._keys:
            if hmac.compare_digest(given, hmac.digest(key.encode(), message.encode(), "sha256")):
                return holder
        return None


def signed(claims: Mapping[str, Any], key: str) -> str:
    """A JSON Web Token (HS256) of those claims. PyJWT refuses keys of the platform's length, as its own check does."""
    parts = [base64url_encode(orjson.dumps(part)) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    message = b".".join(parts)
    signature = base64url_encode(hmac.digest(key.encode(), message, "sha256"))
    return b".".join((message, signature)).decode()


def scopes_of(token: str) -> frozenset[str]:
    """The scopes that a JSON Web Token claims, whose signature has been checked before."""
    claims = jwt.decode(token, options={"verify_signature": False})
    scopes = claims.get("scopes")
    return frozenset(scope for scope in scopes if isinstance(scope, str)) if isinstance(scopes, list) else frozenset()
