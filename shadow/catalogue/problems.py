"""What is wrong with a catalogue: where, what was found, what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

Path = tuple[str | int, ...]
"""The keys and indexes that lead to a value of the catalogue."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem as the checks see it: they know keys, not lines."""

    path: Path
    found: str
    expected: str
    at_key: bool = False
    """The key is wrong rather than its value."""
    also: tuple[str, Path] | None = None
    """Another place that takes part, and what it is called: `("first used by", PATH)`."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A problem as people see it."""

    file: str
    line: int
    """From 1; 0 when the file as a whole is meant."""
    key: str
    found: str
    expected: str

    def __str__(self) -> str:
        key = f" {self.key}:" if self.key else ""
        return f"{self.file}:{self.line}:{key} found {self.found}, expected {self.expected}"


class CatalogueError(ValueError):
    """The catalogue cannot be used. `str()` has one line for each problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


def dotted(path: Path) -> str:
    """A path as people write it: `sources.shopify.events[0].name`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            # A problem takes one line, whatever a key is made of.
            name = part if part.isprintable() else repr(part)
            text += f".{name}" if text else name
    return text


def one_of(known: Iterable[str], found: str = "") -> str:
    """What was expected instead of `found`: the names there are, the likeliest first."""
    names = sorted(known)
    close = get_close_matches(found, names, n=1, cutoff=0.6) if found else []
    listed = ", ".join(names) if len(names) <= 20 else f"{', '.join(names[:20])} ... ({len(names)} in all)"
    if not names:
        return "none: there are no such names in this catalogue"
    if close:
        return f"one of {listed} (did you mean {close[0]!r}?)"
    return f"one of {listed}" if len(names) > 1 else listed
