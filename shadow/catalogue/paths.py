"""JSONPath (RFC 9535) with a fast lane for the paths that name one child after another.

Such paths are nearly all that a catalogue has, and a door walks some of them for every event it takes. A path
is always parsed by python-jsonpath, so both lanes accept the same language.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from jsonpath import JSONPath, JSONPathError
from jsonpath.segments import JSONPathChildSegment
from jsonpath.selectors import IndexSelector, NameSelector

from comparators.query import QueryEnvironment

JSON = Any
"""What a JSON text may hold: dict, list, str, int, float, bool or None."""


class Missing(Enum):
    """The type of `MISSING`: a path that matches nothing, which is not the same as one that finds null."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING

Walk = Callable[[JSON], JSON | Missing]
"""From a document to the first match of a path in it."""

_ENVIRONMENT = QueryEnvironment(strict=True)


def walk(path: str) -> Walk:
    """Compile a path.

    Raises:
        ValueError: it is not a JSONPath as in RFC 9535; the text says why.
    """
    compiled = parsed(path)
    steps = _steps(compiled)
    if steps is None:
        return _by_library(compiled)
    if not steps:
        return _whole
    if len(steps) == 1 and isinstance(steps[0], str):
        return _member(steps[0])
    return _by_steps(steps)


def parsed(path: str) -> JSONPath:
    """A path as python-jsonpath understands it.

    Raises:
        ValueError: as `walk`.
    """
    if not path.startswith("$"):
        raise ValueError("it must begin with $")
    try:
        compiled = _ENVIRONMENT.compile(path)
    except JSONPathError as error:
        raise ValueError(str(error.args[0]) if error.args else type(error).__name__) from None
    if not isinstance(compiled, JSONPath):
        raise ValueError("unions and intersections are not in RFC 9535")
    return compiled


def is_simple(path: str) -> bool:
    """Whether the path takes the fast lane."""
    return _steps(parsed(path)) is not None


def only_member(path: str) -> str | None:
    """The name of the one member of the document that the path selects; None where it is another kind of path."""
    steps = _steps(parsed(path))
    return steps[0] if steps is not None and len(steps) == 1 and isinstance(steps[0], str) else None


def _steps(path: JSONPath) -> tuple[str | int, ...] | None:
    steps: list[str | int] = []
    for segment in path.segments:
        if not isinstance(segment, JSONPathChildSegment) or len(segment.selectors) != 1:
            return None
        selector = segment.selectors[0]
        if type(selector) is NameSelector:
            steps.append(selector.name)
        elif type(selector) is IndexSelector:
            steps.append(selector.index)
        else:
            return None
    return tuple(steps)


def _whole(document: JSON) -> JSON:
    return document


def _member(name: str) -> Walk:
    def find(document: JSON) -> JSON | Missing:
        return document.get(name, MISSING) if isinstance(document, dict) else MISSING

    return find


def _by_steps(steps: tuple[str | int, ...]) -> Walk:
    def find(document: JSON) -> JSON | Missing:
        value = document
        for step in steps:
            if isinstance(value, dict):
                # An index selects nothing from an object, and no key of JSON is an int.
                value = value.get(step, MISSING)
            elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
                value = value[step]
            else:
                return MISSING
        return value

    return find


def _by_library(path: JSONPath) -> Walk:
    def find(document: JSON) -> JSON | Missing:
        # The library takes text for a document to be parsed; a scalar has no children to select.
        if not isinstance(document, dict | list):
            return MISSING
        match = path.match(document)
        return MISSING if match is None else match.obj

    return find
