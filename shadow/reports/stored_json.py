"""Stored bodies as JSON values, for showing."""

from __future__ import annotations

from pydantic import JsonValue

from shadow.model.json_text import parse
from shadow.store import codec


def shown(stored: bytes | memoryview | None) -> JsonValue:
    """A stored body as a JSON value; text that is no JSON as a string; None when there is none,
    or none that is shown: an original."""
    if stored is None or codec.is_sealed(stored):
        return None
    content = codec.decode(stored)
    try:
        return parse(content)
    except ValueError:
        return content.decode(errors="replace")
