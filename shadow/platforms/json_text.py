"""JSON as anybody may send it: also what orjson refuses, such as lone surrogates."""

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
