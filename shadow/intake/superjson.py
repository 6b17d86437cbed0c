"""Trigger.dev payloads as plain JSON.

The JavaScript SDK sends anything but a string as superjson: `{"json": plain, "meta": {"values": tree}}`, where the
tree names the JavaScript types that JSON lost (reference trigger_dev_api.md 1.4). A leaf is `[type]`, an inner node
`[type, {path: tree}]`, a value that kept its own type is left out or a bare `{path: tree}`. Paths are dotted; in a
key, `.` is written `\\.` and, since version 1, a backslash doubled.

Candidate functions get plain JSON, so each type becomes what carries its meaning:

| JavaScript | JSON |
|---|---|
| Date, URL, bigint, RegExp, symbol | text |
| undefined | left out of objects, null in arrays and alone |
| NaN, Infinity, -Infinity | null, as `JSON.stringify` has it |
| Set, typed arrays | array |
| Map | object if every key is text, else array of pairs |
| Error | object with name and message |
| class instances, custom types | their fields, as sent |
"""

from __future__ import annotations

from typing import Any

import orjson

from comparators.nesting import TooDeep, read

JSON = Any
"""What orjson reads and writes."""

STORE = "application/store"
"""The type of a payload that is offloaded: what stands in its place is where it lies."""


class _Undefined:
    """JavaScript's undefined, until its holder drops it."""


_UNDEFINED = _Undefined()


def payload(value: JSON, payload_type: str) -> JSON:
    """The plain value of a call's `payload`, whose encoding its `options.payloadType` names.

    A non-string labelled as text or superjson is lost at Trigger.dev too: it counts as null.

    Raises:
        ValueError: the text is no superjson, or the payload is offloaded and only its place is known.
    """
    if payload_type == "application/super+json":
        return decode(value) if isinstance(value, str) else None
    if payload_type == "text/plain":
        return value if isinstance(value, str) else None
    if payload_type == STORE:
        raise ValueError("expected the payload, found the place where it is stored")
    if payload_type == "application/json" and isinstance(value, str):
        # The platform reads a string as a JSON document, and as text when it is none.
        try:
            return read(value)
        except TooDeep:
            raise
        except orjson.JSONDecodeError:
            return value
    return value


def decode(text: str | bytes) -> JSON:
    """A superjson document as plain JSON.

    Raises:
        ValueError: it is no superjson document, or its type hints are none, or name a place that is not there.
    """
    document: JSON = read(text)
    if not isinstance(document, dict) or "json" not in document:
        raise ValueError("expected a superjson document, an object with the member 'json'")
    root = [document["json"]]
    meta = document.get("meta")
    if not isinstance(meta, dict) or meta.get("values") is None:
        return root[0]
    legacy_paths = not meta.get("v")
    try:
        _annotate(root, 0, meta["values"], legacy_paths)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError("a type hint of the superjson document names a place that is not there") from error
    return _dropping_undefined(root[0])


def _annotate(holder: Any, key: Any, tree: Any, legacy_paths: bool) -> None:
    """Replace `holder[key]`, after all that is within it, by its plain form."""
    children = tree if isinstance(tree, dict) else (tree[1] if len(tree) > 1 else {})
    for path, subtree in children.items():
        inner, last = holder, key
        for segment in _segments(path, legacy_paths):
            inner = inner[last]
            last = int(segment) if isinstance(inner, list) else segment
        _annotate(inner, last, subtree, legacy_paths)
    if not isinstance(tree, dict):
        holder[key] = _plain(holder[key], tree[0])


def _segments(path: str, legacy_paths: bool) -> list[str]:
    segments, current, position = [], "", 0
    while position < len(path):
        character = path[position]
        following = path[position + 1 : position + 2]
        if character == "\\" and (following == "." or (following == "\\" and not legacy_paths)):
            current += following
            position += 2
            continue
        if character == ".":
            segments.append(current)
            current = ""
        else:
            current += character
        position += 1
    return [*segments, current]


def _plain(value: Any, kind: Any) -> Any:
    if kind == "undefined":
        return _UNDEFINED
    if kind == "number":
        return 0 if value == "-0" else None
    if kind == "map":
        return _map(value)
    if kind == "Error":
        return {name: value[name] for name in ("name", "message", "cause") if name in value}
    return value  # Date, URL, bigint, regexp, set, symbols, classes: superjson's own text, list or object


def _map(pairs: list[list[Any]]) -> Any:
    if all(isinstance(key, str) for key, _value in pairs):
        return dict(pairs)
    return pairs


def _dropping_undefined(value: Any) -> Any:
    if value is _UNDEFINED:
        return None
    if isinstance(value, dict):
        return {key: _dropping_undefined(member) for key, member in value.items() if member is not _UNDEFINED}
    if isinstance(value, list):
        return [_dropping_undefined(member) for member in value]
    return value
