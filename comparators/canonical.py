"""Canonical form of JSON values: one byte string for all spellings of the same value.

Key order does not matter, and a number is its value (RFC 8785 writes 1 and 1.0 alike, as JavaScript does).
Everything else does: true is not 1, "12" is not 12, null is not an absent member.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from operator import is_
from typing import TypeAlias

import orjson

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

_SCALARS = frozenset({str, int, bool, type(None)})
_WHOLE_FLOAT = re.compile(rb"(?:^|[:,\[])-?[0-9]+(?:\.0(?![0-9])|(?:\.[0-9]+)?e)")
"""A number written with ".0" or an exponent; that texts look so too costs time, nothing else."""
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)


def canonical(value: JSON) -> bytes:
    """The canonical UTF-8 bytes of a JSON value.

    Raises ValueError for NaN and infinities, TypeError for what JSON cannot say.
    """
    try:
        encoded = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        # orjson writes NaN as null and keeps the ".0" of whole floats: only then the slow walk is needed.
        if b"null" in encoded or _may_be_whole(encoded):
            return orjson.dumps(plain(value), option=orjson.OPT_SORT_KEYS)
        return encoded
    except TypeError:
        # Integers past 64 bits, lone surrogates, nesting past orjson's limit: valid in JSON all the same.
        return json.dumps(
            plain(value), sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False
        ).encode()


def _may_be_whole(encoded: bytes) -> bool:
    """Whether there may be a whole float in it. The pattern takes longest of all, and is rarely asked."""
    if b".0" not in encoded and b"0e" not in encoded.translate(_DIGITS):
        return False
    return _WHOLE_FLOAT.search(encoded) is not None


def same(one: JSON, other: JSON) -> bool:
    """Whether two values have the same canonical form, without making it where they are plainly the same.

    Raises what `canonical` raises.
    """
    if one is None and other is None:
        return True
    try:
        encoded = orjson.dumps(one, option=orjson.OPT_SORT_KEYS)
        # A null may stand for NaN.
        if b"null" not in encoded and (one is other or encoded == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)):
            return True
    except TypeError:
        pass  # `canonical` knows whether it is JSON at all
    return canonical(one) == canonical(other)


def fingerprint(value: JSON) -> str:
    """A short hexadecimal digest of the canonical form: equal values, equal fingerprints."""
    return hashlib.blake2b(canonical(value), digest_size=16).hexdigest()


def plain(value: JSON) -> JSON:
    """A JSON value in which whole floats are integers: the very same one where nothing in it has to be changed.

    Raises ValueError for NaN and infinities, TypeError for anything that is not JSON.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"expected a JSON number, found {value}: JSON has no NaN and no infinities")
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return _plain_object(value)
    if isinstance(value, list | tuple):
        return _plain_array(value)
    raise TypeError(f"expected a JSON value, found {type(value).__name__}")


def _plain_object(value: dict[str, JSON]) -> dict[str, JSON]:
    changed: dict[str, JSON] = {}
    for name, member in value.items():
        if type(name) is not str:
            _refuse_name(name)
        # Most members are texts and integers, of which nothing is to be asked.
        if type(member) in _SCALARS:
            continue
        if (made := plain(member)) is not member:
            changed[name] = made
    return {**value, **changed} if changed else value


def _refuse_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"expected a string as JSON member name, found {name!r}")


def _plain_array(value: list[JSON]) -> list[JSON]:
    made = [item if type(item) in _SCALARS else plain(item) for item in value]
    return value if type(value) is list and all(map(is_, made, value)) else made
