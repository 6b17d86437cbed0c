"""JSON as anybody may send it: also what orjson refuses, such as lone surrogates and integers it cannot write."""

from __future__ import annotations

import json
from typing import Any

import orjson


def read_json(content: bytes | str) -> Any:
    """The value that `content` says.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        try:
            return json.loads(content)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def write_json(value: Any) -> bytes:
    """JSON that says `value`.

    Raises:
        TypeError: it is no JSON value.
    """
    try:
        # A copy: what orjson returns keeps the whole buffer in which it was written, of 4 KiB for the shortest text.
        return bytes(memoryview(orjson.dumps(value)))
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()
