"""Where differences lie, as a rule can speak of it: an effect's pattern and a JSONPath. Pure.

What tells one case from another (ids, indexes, identities) is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from comparators.diff import How
from comparators.path import Parts, parse
from comparators.rules import Scope
from comparators.signature import generalised

_IN_EFFECT = 5
"""Parts of the path of an effect: `effects`, kind, target, operation, identity."""
_HOLED = re.compile(r'\["[^"\\]*(?:\\.[^"\\]*)*\{id\}[^"\\]*(?:\\.[^"\\]*)*"\]')
"""A member whose name holds an id."""
_ID = "{id}"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What a rule selects."""

    scope: Scope
    kind: str
    target: str
    operation: str
    path: str

    @property
    def is_whole(self) -> bool:
        """Whether it selects all that there is."""
        return self.path == "$"

    def fields(self) -> dict[str, Any]:
        """The place as the fields of a rule."""
        said = {"scope": self.scope, "path": self.path}
        if self.scope == "effect":
            said |= {"kind": self.kind, "target": self.target, "operation": self.operation}
        return said

    def __str__(self) -> str:
        if self.scope == "output":
            return f"output {self.path}"
        return f"{self.kind} {self.target}/{self.operation} {self.path}"


def place_of(kind: str, path: str) -> Place | None:
    """The place of a difference; None for one that no rule about values can speak of (an effect missing, a status).

    Args:
        kind: of the difference, such as `output.changed`.
        path: its normalised JSONPath within the pair.
    """
    family, _, how = kind.partition(".")
    if how not in set(How):
        return None
    parts = parse(path)
    if family == "output" and parts[:1] == ("output",):
        return Place("output", "*", "*", "*", _query(parts[1:]))
    if family == "effect" and parts[:1] == ("effects",) and len(parts) >= _IN_EFFECT:
        within = parts[_IN_EFFECT:]
        if within[:1] == ("operation",):
            return None  # what was done, not what was said
        kind_, target, operation = (str(part) for part in parts[1:4])
        return Place("effect", _literal(kind_), _literal(target), _pattern(operation), _query(within))
    return None


def _query(parts: Parts) -> str:
    # A first member stands in front, since a path that begins with `effects` would be read as one into a pair.
    query = generalised(("", *parts)).removeprefix('$[""]')
    return "$" + _HOLED.sub("[*]", query)


def _literal(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)


def _pattern(operation: str) -> str:
    """The operation with `*` for each id in it."""
    segment = generalised(("effects", "", "", operation)).removeprefix('$["effects"][""][""]')
    told = _ID if segment == "[*]" else orjson.loads(segment)[0]
    return "*".join(_literal(piece) for piece in told.split(_ID))
