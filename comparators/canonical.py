"""Canonical form of JSON values: one byte string for all spellings of the same value.

Key order does not matter, and a number is its value (RFC 8785 writes 1 and 1.0 alike, as JavaScript does).
Everything else does: true is not 1, "12" is not 12, null is not an absent member.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import TypeAlias

import orjson

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

_WHOLE_FLOAT = re.compile(rb"(?:^|[:,\[])-?[0-9]+(?:\.0(?![0-9])|(?:\.[0-9]+)?e)")
"""A number written with ".0" or an exponent; that texts look so too costs time, nothing else."""


def canonical(value: JSON) -> bytes:
    """The canonical UTF-8 bytes of a JSON value.

    Raises ValueError for NaN and infinities, TypeError for what JSON cannot say.
    """
    try:
        encoded = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        # orjson writes NaN as null and keeps the ".0" of whole floats: only then the slow walk is needed.
        if b"null" in encoded or _WHOLE_FLOAT.search(encoded):
            return orjson.dumps(plain(value), option=orjson.OPT_SORT_KEYS)
        return encoded
    except TypeError:
        # Integers past 64 bits, lone surrogates, nesting past orjson's limit: valid in JSON all the same.
        return json.dumps(
            plain(value), sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False
        ).encode()


def same(one: JSON, other: JSON) -> bool:
    """Whether two values have the same canonical form, without making it where they are plainly the same.

    Raises what `canonical` raises.
    """
    if one is None and other is None:
        return True
    try:
        encoded = orjson.dumps(one, option=orjson.OPT_SORT_KEYS)
        # A null may stand for NaN.
        if b"null" not in encoded and encoded == orjson.dumps(other, option=orjson.OPT_SORT_KEYS):
            return True
    except TypeError:
        pass  # `canonical` knows whether it is JSON at all
    return canonical(one) == canonical(other)


def fingerprint(value: JSON) -> str:
    """A short hexadecimal digest of the canonical form: equal values, equal fingerprints."""
    return hashlib.blake2b(canonical(value), digest_size=16).hexdigest()


def plain(value: JSON) -> JSON:
    """A copy of a JSON value in which whole floats are integers.

    Raises ValueError for NaN and infinities, TypeError for anything that is not JSON.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"expected a JSON number, found {value}: JSON has no NaN and no infinities")
        return int(value) if value.is_integer() else value
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"expected a string as JSON member name, found {key!r}")
        return {key: plain(member) for key, member in value.items()}
    raise TypeError(f"expected a JSON value, found {type(value).__name__}")
