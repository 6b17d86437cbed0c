"""Presence: something stands there on both sides, or on neither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from comparators.canonical import JSON
from comparators.rules.rule import Pair, Place, ValueRule, holds_protected


@dataclass(frozen=True, slots=True)
class PresenceRule(ValueRule):
    """Whatever it is, it must be there; null counts as nothing. An object that holds amounts, recipients and the like
    is compared as ever."""

    type: ClassVar[str] = "presence"
    needs_reason: ClassVar[bool] = True

    def weakens(self) -> str | None:
        return "checked for presence only"

    def says(self, legacy: JSON, candidate: JSON, place: Place, pair: Pair) -> bool | None:
        if (legacy is None) != (candidate is None):
            return None
        if holds_protected(legacy, place.parts) or holds_protected(candidate, place.parts):
            return None
        return True
