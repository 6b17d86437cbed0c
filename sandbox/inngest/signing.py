"""Signing keys: how requests to apps are signed and how callers of the API prove themselves."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

import jcs  # type: ignore[import-untyped]  # ships neither stubs nor py.typed
import orjson

PREFIX = re.compile(r"^signkey-[A-Za-z0-9]+-")
NEEDS_FULL_JCS = re.compile(rb"[:,\[]-?\d+(?:[.eE]|\d{15})|[\xee-\xf4]")


def strip_prefix(signing_key: str) -> str:
    """The key without `signkey-<word>-`."""
    return PREFIX.sub("", signing_key)


def hashed_key(signing_key: str) -> str:
    """Hex SHA-256 of the key's decoded hex body: the form in which SDKs send it as a bearer token.

    Raises ValueError when the body is not hex of even length.
    """
    try:
        return hashlib.sha256(bytes.fromhex(strip_prefix(signing_key))).hexdigest()
    except ValueError as error:
        raise ValueError("a signing key must be hex of even length (a prefix signkey-<word>- is allowed)") from error


def is_authorised(authorization: str | None, signing_key: str) -> bool:
    """Whether a header `Authorization: Bearer ...` carries the key, raw or hashed, with or without prefix."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return False
    given = strip_prefix(token.strip())
    accepted = (strip_prefix(signing_key), hashed_key(signing_key))
    return any(hmac.compare_digest(given.encode(), key.encode()) for key in accepted)


def canonical(body: Any) -> bytes:
    """JSON in the form of RFC 8785 (JCS).

    Sorted orjson output is the same thing as long as no number needs ECMAScript's notation and no key can
    sort differently in UTF-16; only then the slow, exact library is asked.
    """
    fast = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    if NEEDS_FULL_JCS.search(fast) is None:
        return fast
    exact: bytes = jcs.canonicalize(orjson.loads(fast))
    return exact


def signature(body: bytes, signing_key: str, unix_seconds: int) -> str:
    """The value of `x-inngest-signature`: HMAC-SHA256 over body and time with the key's ASCII bytes.

    The real self-hosted server does not strip a key's prefix here although SDKs do; neither does this one,
    so a plain hex key has to be used.
    """
    mac = hmac.new(signing_key.encode(), body + str(unix_seconds).encode(), hashlib.sha256)
    return f"t={unix_seconds}&s={mac.hexdigest()}"
