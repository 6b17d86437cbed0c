"""Pattern: both values are of one form, whatever they say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from comparators.canonical import JSON, canonical
from comparators.rules.rule import Pair, Place, RuleError, ValueRule

_LONGEST = 10_000
"""Of a text that is matched: what is longer is compared as ever."""
_SAMPLES = ("", "x", "0", "\n", "a@b.c", "two words")
"""A pattern that takes all of these takes anything."""


@dataclass(frozen=True, slots=True)
class PatternRule(ValueRule):
    """Two texts (or numbers) that both match as a whole are the same."""

    regex: str = ""
    """A regular expression (Python's) for the whole value."""

    type: ClassVar[str] = "pattern"
    needs_reason: ClassVar[bool] = True

    def check(self) -> None:
        try:
            matches = _compiled(self.regex).fullmatch
        except re.error as error:
            raise RuleError("regex", repr(self.regex), f"a regular expression ({error})") from error
        if not self.regex or all(matches(text) for text in _SAMPLES):
            raise RuleError(
                "regex", f"{self.regex!r}, which takes anything", "a form; presence is for whatever is there"
            )

    def weakens(self) -> str | None:
        return "compared by a pattern only"

    def says(self, legacy: JSON, candidate: JSON, place: Place, pair: Pair) -> bool | None:
        if type(legacy) is not type(candidate):
            return None
        mine, theirs = _text(legacy), _text(candidate)
        if mine is None or theirs is None:
            return None
        matches = _compiled(self.regex).fullmatch
        return True if matches(mine) and matches(theirs) else None


def _text(value: JSON) -> str | None:
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return None
    text = value if isinstance(value, str) else canonical(value).decode()
    return text if len(text) <= _LONGEST else None


@lru_cache(maxsize=1024)
def _compiled(regex: str) -> re.Pattern[str]:
    return re.compile(regex)
