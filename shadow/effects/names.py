"""The people whom an event names, as they are found again in free text. Pure.

`$.customer.name` says by its own name that it is a person's; a subject "Hello Anna Meier" does not. But it is the same
person: what an event's members name is hashed wherever it stands in what the event's runs did, as the same hash. Both
runs of a pair have the same event, so it is hashed on both sides or on neither.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

SHORTEST = 2
LONGEST = 100
MOST = 40
"""Names of one event that are looked for, the longest first."""


@dataclass(frozen=True)
class Names:
    """Names that are looked for in texts."""

    known: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Iterable[str]) -> Names:
        """Those of the values that are looked for: words that begin with a capital, or have none. A name in lower case
        would be found in too many places that mean something else."""
        found = {" ".join(unicodedata.normalize("NFC", value).split()) for value in values}
        fitting = (name for name in found if SHORTEST <= len(name) <= LONGEST and _is_name(name))
        return cls(tuple(sorted(fitting, key=lambda name: (-len(name), name))[:MOST]))

    def replaced(self, text: str, by: Callable[[str], str]) -> str:
        """The text with each name replaced: as the event has it, or in capitals, however its words are spaced.

        Args:
            by: what stands for a name.
        """
        for first, form in self._forms:
            if first in text:
                # One after the other, as each is found fast by its first word. No name is found in a hash.
                text = _bounded(form).sub(lambda found: by(" ".join(found.group().split())), text)
        return text

    def may_stand_in(self, document: bytes) -> bool:
        """Whether a JSON document's texts may have one of the names: they have none where this is false."""
        # Behind a backslash a letter may be hidden.
        return b"\\" in document or any(
            first.encode(errors="surrogatepass") in document for first, _form in self._forms
        )

    @cached_property
    def _forms(self) -> tuple[tuple[str, str], ...]:
        """What is looked for, with its first word, in order."""
        forms = {form for name in self.known for form in (name, name.upper())}
        return tuple((form.split()[0], form) for form in sorted(forms, key=lambda form: (-len(form), form)))


NOBODY = Names()


def _is_name(name: str) -> bool:
    first = name[0]
    return first.isalpha() and not first.islower() and not any(character.isdigit() for character in name)


@lru_cache(maxsize=4096)
def _bounded(form: str) -> re.Pattern[str]:
    """A name as words of their own, where its script parts words by spaces."""
    first, *others = (re.escape(word) for word in form.split())
    before = rf"(?<![\w~]{first})" if _has_cases(form[0]) else ""
    after = r"(?!\w)" if _has_cases(form[-1]) else ""
    return re.compile(r"\s+".join((first + before, *others)) + after)


def _has_cases(character: str) -> bool:
    return character.lower() != character.upper()
