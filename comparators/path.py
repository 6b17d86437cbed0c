"""Paths into JSON values, in one dialect: RFC 9535 JSONPath."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache
from typing import Final, TypeAlias, cast

from jsonpath import JSONPath
from jsonpath.exceptions import JSONPathError
from jsonpath.segments import JSONPathChildSegment
from jsonpath.selectors import IndexSelector, NameSelector

from comparators.canonical import JSON
from comparators.query import QueryEnvironment

Parts: TypeAlias = tuple[str | int, ...]
"""A path as its member names and array indexes, from the root."""


class Missing(Enum):
    """The type of `MISSING`."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING

_ENVIRONMENT = QueryEnvironment(strict=True)
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
    steps = _steps(query)
    if steps is not None:
        found = value_at(value, steps)
        return [] if found is MISSING else [(steps, found)]
    if not isinstance(value, dict | list):
        # The library would read a string as a JSON document.
        return []
    return [(match.parts, cast(JSON, match.obj)) for match in compiled(query).finditer(value)]


def value_at(value: JSON, parts: Parts) -> JSON | Missing:
    """The value at a path; `MISSING` where there is none, which is not the same as null."""
    for part in parts:
        if isinstance(part, str):
            if not isinstance(value, dict) or part not in value:
                return MISSING
            value = value[part]
        else:
            if not isinstance(value, list) or not 0 <= part < len(value):
                return MISSING
            value = value[part]
    return value


def names(query: str) -> list[list[str | None]]:
    """Per segment of a query the member names it selects; None where it selects by anything else."""
    return [
        [s.name if isinstance(s, NameSelector) else None for s in segment.selectors]
        for segment in compiled(query).segments
    ]


@lru_cache(maxsize=4096)
def _steps(query: str) -> Parts | None:
    """The one path that a query can select, as nearly all queries of rules do; None: it takes the library."""
    steps: list[str | int] = []
    for segment in compiled(query).segments:
        if not isinstance(segment, JSONPathChildSegment) or len(segment.selectors) != 1:
            return None
        selector = segment.selectors[0]
        if type(selector) is NameSelector:
            steps.append(selector.name)
        elif type(selector) is IndexSelector and selector.index >= 0:
            steps.append(selector.index)
        else:
            return None
    return tuple(steps)


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
