"""Evidence as PostgreSQL can keep it: no NUL, no lone surrogate, not without bound."""

from __future__ import annotations

import json

import orjson

from comparators import JSON

LARGEST = 64 * 1024
"""Bytes of a value kept with a difference. The whole stands in the run's output or the effect's data."""

_SHOWN = 1024
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def storable_text(text: str) -> str:
    """`text` with what a text column refuses replaced by U+FFFD."""
    if "\x00" in text:
        text = text.replace("\x00", _REPLACEMENT)
    if not text.isascii():
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def storable_json(value: JSON) -> str | None:
    """`value` as JSON text for a jsonb column; None (SQL NULL) for None.

    A value larger than `LARGEST` is kept as `{"$bytes": its size, "$begins": its first characters}`.
    """
    if value is None:
        return None
    try:
        text = _dumped(value)
    except (RecursionError, ValueError):
        # Nested past any limit, or no JSON at all: the difference stands, its value can't be shown.
        return orjson.dumps({"$unshown": type(value).__name__}).decode()
    size = len(text.encode())
    if size > LARGEST:
        return orjson.dumps({"$bytes": size, "$begins": text[:_SHOWN]}).decode()
    return text


def _dumped(value: JSON) -> str:
    try:
        encoded = orjson.dumps(value)
        if b"\\u0000" not in encoded:
            return encoded.decode()
    except TypeError:
        pass  # lone surrogates, integers past 64 bits, deep nesting
    return json.dumps(_clean(value), ensure_ascii=False, allow_nan=False)


def _clean(value: JSON) -> JSON:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {storable_text(name): _clean(member) for name, member in value.items()}
    return value
