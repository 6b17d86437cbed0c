"""Rows: moments in one notation, and JSON that a column keeps as text in one as well."""

from __future__ import annotations

from comparators import nesting
from comparators.canonical import JSON, canonical
from comparators.kinds.instants import instant


def row(value: JSON) -> JSON:
    """The columns of a row in their normal notation. Text stays text: an object in its place is another value."""
    if isinstance(value, str):
        return _document(value) if value[:1] in ("{", "[") else instant(value)
    if isinstance(value, list):
        return [row(item) for item in value]
    if isinstance(value, dict):
        return {name: row(member) for name, member in value.items()}
    return value


def _document(text: str) -> str:
    try:
        return canonical(nesting.read(text, nesting.DEEPEST_EMBEDDED)).decode()
    except ValueError:
        return text  # it merely begins like a document
