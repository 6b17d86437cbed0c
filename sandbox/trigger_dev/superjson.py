"""Decode superjson, the encoding in which the JavaScript SDK sends payloads (reference 1.4).

A document is `{"json": plain, "meta": {"values": tree}}`. The tree says at which path which JavaScript type
was lost: a leaf is `[type]`, an inner node `[type, {path: tree}]`, and a value that kept its own type has no
entry. Paths are dotted; a dot inside a key is written `\\.`.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

import orjson

_ESCAPED = re.compile(r"\\([\\.])")
_STEP = re.compile(r"(?:[^\\.]|\\[\\.]|\\)*")
"""One step of a path: whatever is no dot, with escaped dots and backslashes in it."""
_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf, "-0": -0.0}


class _Undefined:
    """Stands for JavaScript's undefined until its holder is known: dropped from objects, None in arrays."""


_UNDEFINED = _Undefined()


def decode(text: str) -> Any:
    """The value a task would see: datetimes for Date, int for bigint, dict for Map, list for Set, floats for
    NaN.

    Raises ValueError when the text is no superjson document.
    """
    document = orjson.loads(text)
    if not isinstance(document, dict) or "json" not in document:
        raise ValueError("a superjson document is an object with the member 'json'")
    values = (document.get("meta") or {}).get("values")
    root = [document["json"]]
    if values is not None:
        _restore(root, 0, values)
    return _without_undefined(root[0])


def plain(text: str) -> Any:
    """The value as the REST API shows it: the document's `json` member (dates as text, Map as pairs).

    Raises ValueError when the text is no superjson document.
    """
    document = orjson.loads(text)
    if not isinstance(document, dict) or "json" not in document:
        raise ValueError("a superjson document is an object with the member 'json'")
    return document["json"]


def _restore(holder: Any, key: Any, tree: Any) -> None:
    if isinstance(tree, dict):
        _restore_children(holder[key], tree)
        return
    if len(tree) > 1:
        _restore_children(holder[key], tree[1])
    holder[key] = _typed(holder[key], tree[0])


def _restore_children(parent: Any, trees: dict[str, Any]) -> None:
    for path, tree in trees.items():
        holder: Any = [parent]
        key: Any = 0
        for step in _steps(path):
            holder = holder[key]
            key = int(step) if isinstance(holder, list) else step
        _restore(holder, key, tree)


def _steps(path: str) -> list[str]:
    """The keys of a dotted path. The empty path is one empty key."""
    steps, position = [], 0
    while True:
        match = _STEP.match(path, position)
        assert match is not None, "the pattern matches nothing too"
        steps.append(_ESCAPED.sub(r"\1", match[0]))
        if match.end() == len(path):
            return steps
        position = match.end() + 1


def _typed(value: Any, kind: Any) -> Any:
    if kind == "undefined":
        return _UNDEFINED
    if kind == "Date":
        # An invalid Date is written as null.
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    if kind == "bigint":
        return int(value)
    if kind == "number":
        return _NUMBERS[value]
    if kind == "map":
        return _mapping(value)
    # Set and typed arrays become lists; regexp, URL, Error, symbols and classes keep their plain form.
    return value


def _mapping(pairs: list[list[Any]]) -> Any:
    try:
        return dict(pairs)
    except TypeError:
        # Keys that are objects have no counterpart in a dict.
        return pairs


def _without_undefined(value: Any) -> Any:
    if isinstance(value, _Undefined):
        return None
    if isinstance(value, dict):
        return {k: _without_undefined(v) for k, v in value.items() if not isinstance(v, _Undefined)}
    if isinstance(value, list):
        return [_without_undefined(item) for item in value]
    return value
