"""Text: white space, letter case and the Unicode form of letters do not matter."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import ClassVar, Literal

from comparators.canonical import JSON
from comparators.rules.rule import Pair, Place, RuleError, ValueRule, one_of

_WHITESPACE = ("collapse", "keep")
_CASES = ("keep", "fold")
_FORMS = ("NFC", "NFKC", "keep")


@dataclass(frozen=True, slots=True)
class TextRule(ValueRule):
    """Words for people. Ids and moments within them still have to correspond."""

    whitespace: Literal["collapse", "keep"] = "collapse"
    """`collapse`: any run of white space is one space, and none at the ends."""
    case: Literal["keep", "fold"] = "keep"
    """`fold`: letter case does not matter."""
    form: Literal["NFC", "NFKC", "keep"] = "NFC"
    """The Unicode normal form in which they are compared. `NFKC` also takes typographic variants for the same."""

    type: ClassVar[str] = "text"

    def check(self) -> None:
        for key, found, allowed in (
            ("whitespace", self.whitespace, _WHITESPACE),
            ("case", self.case, _CASES),
            ("form", self.form, _FORMS),
        ):
            if found not in allowed:
                raise RuleError(key, repr(found), one_of(allowed))

    def weakens(self) -> str | None:
        return "compared loosely" if self.case == "fold" or self.form == "NFKC" else None

    def says(self, legacy: JSON, candidate: JSON, place: Place, pair: Pair) -> bool | None:
        if not isinstance(legacy, str) or not isinstance(candidate, str):
            return None
        # Ids first: they are told apart by their letters' case.
        if pair.texts_correspond(legacy, candidate, place.parts):
            return True
        return True if pair.texts_correspond(self._normal(legacy), self._normal(candidate), place.parts) else None

    def _normal(self, text: str) -> str:
        if self.form != "keep":
            text = unicodedata.normalize(self.form, text)
        if self.case == "fold":
            text = text.casefold()
        return " ".join(text.split()) if self.whitespace == "collapse" else text
