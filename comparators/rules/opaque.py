"""Opaque id: two values are the same thing under the name that each side gave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from comparators.canonical import JSON, canonical
from comparators.rules.rule import Pair, Place, ValueRule


@dataclass(frozen=True, slots=True)
class OpaqueIdRule(ValueRule):
    """An id born in the run that does not look like one ("A-17", 4711), or not alike on both sides.

    It must map one to one over the whole pair and be used consistently, and a value that was known before the runs is
    never taken for one.
    """

    type: ClassVar[str] = "id"

    def weakens(self) -> str | None:
        return "taken for a generated id"

    def says(self, legacy: JSON, candidate: JSON, place: Place, pair: Pair) -> bool | None:
        mine, theirs = _id(legacy), _id(candidate)
        if mine is None or theirs is None or isinstance(legacy, str) != isinstance(candidate, str):
            return None
        # What looks generated is an id already, and may stand within more text.
        if isinstance(legacy, str) and pair.texts_correspond(mine, theirs, place.parts):
            return True
        return True if pair.unify(mine, theirs) else None


def _id(value: JSON) -> str | None:
    if isinstance(value, str):
        return value or None
    return canonical(value).decode() if isinstance(value, int) and not isinstance(value, bool) else None
