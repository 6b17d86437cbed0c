"""Paths into JSON values, in one dialect: RFC 9535 JSONPath."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias, cast

from jsonpath import JSONPath, JSONPathEnvironment
from jsonpath.exceptions import JSONPathError
from jsonpath.selectors import NameSelector

from comparators.canonical import JSON

Parts: TypeAlias = tuple[str | int, ...]
"""A path as its member names and array indexes, from the root."""

_ENVIRONMENT = JSONPathEnvironment(strict=True)
_SEGMENT = re.compile(r"\[(?:(\d+)|'((?:[^'\\]|\\.)*)')\]")
_ESCAPES = {"'": "\\'", "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNESCAPES = {escaped[1]: plain for plain, escaped in _ESCAPES.items()}
_ESCAPED = re.compile(r"\\(?:u([0-9a-f]{4})|(.))")


def normalised(parts: Iterable[str | int]) -> str:
    """The normalised path (RFC 9535 section 2.7) of the given parts."""
    return "$" + "".join(_segment(part) for part in parts)


def parse(path: str) -> Parts:
    """The parts of a normalised path.

    Raises ValueError when the text is not a normalised path.
    """
    parts: list[str | int] = []
    position = 1
    while position < len(path):
        match = _SEGMENT.match(path, position)
        if match is None:
            break
        index, name = match.groups()
        parts.append(int(index) if index is not None else _ESCAPED.sub(_unescape, name))
        position = match.end()
    if not path.startswith("$") or position != len(path):
        raise ValueError(f"expected a normalised JSONPath such as $['a'][0], found {path!r}")
    return tuple(parts)


def compiled(query: str) -> JSONPath:
    """The compiled JSONPath query.

    Raises ValueError, naming the query, when it is not valid RFC 9535 JSONPath.
    """
    try:
        return _compile(query)
    except JSONPathError as error:
        # Not its str(), which quotes the query with a marker and fails on an empty one.
        reason = error.args[0] if error.args else "not valid"
        raise ValueError(f"expected a JSONPath (RFC 9535), found {query!r}: {reason}") from error


def find(query: str, value: JSON) -> list[tuple[Parts, JSON]]:
    """All nodes of `value` that the query selects, each with its path."""
    if value is None or isinstance(value, bool | int | float | str):
        # The library would read a string as a JSON document.
        return [((), value)] if not compiled(query).segments else []
    return [(match.parts, cast(JSON, match.obj)) for match in compiled(query).finditer(value)]


def names(query: str) -> list[list[str | None]]:
    """Per segment of a query the member names it selects; None where it selects by anything else."""
    return [
        [s.name if isinstance(s, NameSelector) else None for s in segment.selectors]
        for segment in compiled(query).segments
    ]


@lru_cache(maxsize=4096)
def _compile(query: str) -> JSONPath:
    path = _ENVIRONMENT.compile(query)
    if not isinstance(path, JSONPath):
        raise ValueError(f"expected one JSONPath (RFC 9535), found the compound {query!r}")
    return path


def _segment(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return "['" + "".join(_escape(character) for character in part) + "']"


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return f"\\u{ord(character):04x}" if ord(character) < 0x20 else character


def _unescape(match: re.Match[str]) -> str:
    code, character = match.groups()
    return chr(int(code, 16)) if code else _UNESCAPES.get(character, character)
