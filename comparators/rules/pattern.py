"""Pattern: both values are of one form, whatever they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from comparators.canonical import JSON, canonical
from comparators.regular import EXPECTED, NotRegular, regular
from comparators.rules.rule import Pair, Place, RuleError, ValueRule

_LONGEST = 10_000
"""Of a text that is matched: what is longer is compared as ever."""
_SAMPLES = ("", "x", "0", "\n", "a@b.c", "two words")
"""A pattern that takes all of these takes anything."""


@dataclass(frozen=True, slots=True)
class PatternRule(ValueRule):
    """Two texts (or numbers) that both match as a whole are the same."""

    regex: str = ""
    """A regular expression for the whole value, as `comparators.regular` has them."""

    type: ClassVar[str] = "pattern"
    needs_reason: ClassVar[bool] = True

    def check(self) -> None:
        try:
            form = regular(self.regex)
        except NotRegular as error:
            raise RuleError("regex", f"{self.regex!r} ({error})", EXPECTED) from None
        if not self.regex or all(form.takes(text) for text in _SAMPLES):
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
        form = regular(self.regex)
        return True if form.takes(mine) and form.takes(theirs) else None


def _text(value: JSON) -> str | None:
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return None
    text = value if isinstance(value, str) else canonical(value).decode()
    return text if len(text) <= _LONGEST else None
