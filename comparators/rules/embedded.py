"""Embedded JSON: a text that holds a document is compared as that document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from comparators import nesting
from comparators.canonical import JSON, plain
from comparators.rules.rule import ValueRule


@dataclass(frozen=True, slots=True)
class EmbeddedJsonRule(ValueRule):
    """Member order and white space do not matter then, other rules reach inside, and so does what is protected."""

    type: ClassVar[str] = "json"
    may_narrow: ClassVar[bool] = True
    """An id in a text may correspond; as a tenant's or recipient's in a document it may not."""

    def read(self, value: JSON) -> JSON:
        if not isinstance(value, str):
            return value
        try:
            document: JSON = plain(nesting.read(value, nesting.DEEPEST_EMBEDDED))
        except (ValueError, TypeError):
            return value
        # A text such as "12" is no document.
        return document if isinstance(document, dict | list) else value
