"""Inngest's signing key, in the form in which it is sent."""

from __future__ import annotations

import hashlib
import re

_PREFIX = re.compile(r"^signkey-\w+-")


def hashed_signing_key(key: str) -> str:
    """The form in which SDKs send it and the run API takes it: prefix and SHA-256 of the key's bytes.

    (reference, inngest_api.md 2.1; SDK_SPEC 4.1.4)

    Raises:
        ValueError: the key is not hexadecimal after its prefix. The platform could not read it either.
    """
    match = _PREFIX.match(key)
    prefix = match.group() if match is not None else ""
    try:
        body = bytes.fromhex(key.removeprefix(prefix))
    except ValueError:
        raise ValueError("signing key: expected hexadecimal digits, after signkey-NAME- if it has that") from None
    return prefix + hashlib.sha256(body).hexdigest()
