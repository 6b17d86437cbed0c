"""Reading and writing JSON without losing anything: what is compared must be what was said."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from comparators import JSON
from comparators.nesting import DEEPEST, TooDeep

_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER = b"0" * 19
"""Integers past 64 bits, which orjson silently rounds to floats, once all digits are alike: a pattern takes longer."""


def parse(content: bytes) -> JSON:
    """The JSON value that `content` says.

    Raises:
        TooDeep: it is nested so deeply that nothing reads it.
        ValueError: it says none.
    """
    if not has_long_number(content):
        try:
            value: JSON = orjson.loads(content)
        except orjson.JSONDecodeError:
            pass  # lone surrogates and deep nesting: valid JSON that only the standard library reads
        else:
            return value
    try:
        value = json.loads(content, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise TooDeep(DEEPEST) from None
    return value


def has_long_number(content: bytes) -> bool:
    """Whether there may be an integer in it that orjson would round."""
    return _LONG_NUMBER in content.translate(_DIGITS)


def write_json(value: Any) -> bytes:
    """JSON that says `value`, integers past 64 bits and lone surrogates included.

    Raises:
        TypeError: it is no JSON value.
    """
    try:
        # A copy, for evidence stays in memory: what orjson returns keeps its whole buffer, of 4 KiB at least.
        return bytes(memoryview(orjson.dumps(value)))
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def _finite(text: str) -> JSON:
    """A number past all floats stays the text that it was: infinity would be another one."""
    value = float(text)
    return value if math.isfinite(value) else text


def _refuse(constant: str) -> JSON:
    raise ValueError(f"found {constant}, which JSON has not")
