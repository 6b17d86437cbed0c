"""Which effects, and which of their values, a rule speaks of; and which of several rules is the more specific."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal, TypeAlias

from jsonpath.segments import JSONPathRecursiveDescentSegment
from jsonpath.selectors import IndexSelector, NameSelector

from comparators.path import compiled

Scope: TypeAlias = Literal["output", "effect"]

Specificity: TypeAlias = tuple[int, ...]
"""Greater is more specific."""


@dataclass(frozen=True, slots=True)
class EffectPattern:
    """Selects effects by shell-style patterns (`*`, `?`, `[...]`), case-sensitively."""

    kind: str = "*"
    target: str = "*"
    operation: str = "*"

    def selects(self, kind: str, target: str, operation: str) -> bool:
        """Whether an effect of this kind, target and operation is meant."""
        return _matches(kind, self.kind) and _matches(target, self.target) and _matches(operation, self.operation)

    @property
    def specificity(self) -> Specificity:
        """How many of the three are spelled out, then how many are narrowed down at all."""
        texts = (self.kind, self.target, self.operation)
        narrowed = sum(text != "*" for text in texts)
        return (sum(not set(text) & set("*?[") for text in texts), narrowed)


@lru_cache(maxsize=4096)
def path_specificity(query: str) -> Specificity:
    """How closely a JSONPath says what it means: without `..`, then with few wildcards, slices and filters.

    Two paths that select the same value are equally long but for `..`, so that their length says nothing.
    """
    descents = 0
    loose = 0
    for segment in compiled(query).segments:
        descents += isinstance(segment, JSONPathRecursiveDescentSegment)
        loose += not all(isinstance(selector, NameSelector | IndexSelector) for selector in segment.selectors)
        loose += len(segment.selectors) > 1
    return (-descents, -loose)


def _matches(text: str, pattern: str) -> bool:
    return pattern == "*" or fnmatchcase(text, pattern)
