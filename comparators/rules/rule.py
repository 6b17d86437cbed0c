"""What every rule about values is: a place, the effects it speaks of, and one of the things that it may say.

A rule does one of four things: it leaves the values out (`ignore`), it reads them in another notation (`read`), it says
how the items of an array are paired (`item_key`), or it says itself whether two values are the same (`says`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import product
from typing import Any, ClassVar, Protocol

from comparators.align import ItemKey
from comparators.canonical import JSON, fingerprint
from comparators.instant import Window
from comparators.path import Parts, compiled, names
from comparators.protected import is_protected
from comparators.rules.selection import EffectPattern, Scope, Specificity, path_specificity

VERSION = "r1"
"""Of how a rule's id is made from its content."""

PROTECTED = "amounts, currency, recipients, tenants or accounts"


class RuleError(ValueError):
    """A rule that cannot be. `key` is the field that is wrong, for a message that names file and line."""

    def __init__(self, key: str, found: str, expected: str) -> None:
        self.key = key
        self.found = found
        self.expected = expected
        super().__init__(f"{key}: found {found}, expected {expected}")


class Pair(Protocol):
    """What a rule may ask about the pair that two values are of."""

    @property
    def legacy_run(self) -> Window | None:
        """When legacy's run ran; None when its start is not known."""

    @property
    def candidate_run(self) -> Window | None:
        """When the candidate's ran."""

    def texts_correspond(self, legacy: str, candidate: str, parts: Parts = ()) -> bool:
        """Whether two texts are the same but for ids and moments that correspond."""

    def unify(self, legacy: str, candidate: str) -> bool:
        """Take two values for the same id, born in each run; False when either was known before or is another's."""

    def is_known_moment(self, seconds: float) -> bool:
        """Whether that moment was known before the runs: then it is no moment of their own clocks."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where two values stand: their path, and the whole values that they are part of."""

    parts: Parts
    legacy_root: JSON
    candidate_root: JSON


@dataclass(frozen=True, slots=True)
class ValueRule:
    """What is to be made of the values that a JSONPath selects in outputs, or in the data of effects of a pattern.

    Raises RuleError (when made) for a path that is none, and for a rule that would weaken what protects amounts,
    currency, recipients, tenants or accounts.
    """

    scope: Scope
    path: str
    reason: str = ""
    kind: str = "*"
    target: str = "*"
    operation: str = "*"

    type: ClassVar[str]
    """What the catalogue calls this type of rule."""
    leaves_out: ClassVar[bool] = False
    """Whether the values are not compared at all."""
    may_narrow: ClassVar[bool] = False
    """Whether the rule may find a difference where there is none without it."""
    needs_reason: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.scope not in ("output", "effect"):
            raise RuleError("scope", repr(self.scope), "the scope 'output' or 'effect'")
        if self.needs_reason and not self.reason.strip():
            raise RuleError("reason", "nothing", f"words: a rule of the type {self.type} needs a reason")
        try:
            compiled(self.path)
        except ValueError as error:
            raise RuleError("path", repr(self.path), str(error)) from error
        self.check()
        if (weakens := self.weakens()) is not None:
            _refuse_protected(self.path, self.type, weakens)

    def check(self) -> None:
        """Raise RuleError when what this type of rule has beyond a path is wrong."""

    def weakens(self) -> str | None:
        """What would be done to protected values that they must not suffer ("ignored"); None: nothing."""
        return None

    def read(self, value: JSON) -> JSON:
        """The value in another notation; the same for both sides. By default itself."""
        return value

    def item_key(self) -> ItemKey | None:
        """What an array's items are paired by instead of their place; None: their place."""
        return None

    def says(self, legacy: JSON, candidate: JSON, place: Place, pair: Pair) -> bool | None:
        """Whether two values are the same; None leaves it to the usual way (ids, moments, float noise)."""
        return None

    @property
    def pattern(self) -> EffectPattern:
        """The effects this rule speaks of, when its scope is "effect"."""
        return EffectPattern(self.kind, self.target, self.operation)

    @property
    def specificity(self) -> Specificity:
        """Which rule wins at a place: the one for the narrower effects, then the one with the closer path."""
        return (*self.pattern.specificity, *path_specificity(self.path))

    @property
    def id(self) -> str:
        """What it is counted by: the same content has the same id, whoever wrote it, for whatever reason."""
        return rule_id(self)


@lru_cache(maxsize=4096)
def rule_id(rule: Any) -> str:
    """The id of a rule that is a dataclass: a fingerprint of all that it says but its reason.

    What has its default is left out, so that an option that a later version knows starts no count anew.
    """
    said = {
        one.name: _plain(getattr(rule, one.name))
        for one in fields(rule)
        if one.name != "reason" and getattr(rule, one.name) != one.default
    }
    kind = getattr(rule, "type", type(rule).__name__)
    return f"{VERSION}-{fingerprint([kind, said])[:16]}"


def holds_protected(value: JSON, parts: Parts) -> bool:
    """Whether there is a protected value at this place or below it."""
    if is_protected(parts):
        return True
    if isinstance(value, dict):
        return any(holds_protected(member, (*parts, name)) for name, member in value.items())
    if isinstance(value, list):
        return any(holds_protected(item, (*parts, index)) for index, item in enumerate(value))
    return False


def one_of(words: Collection[str]) -> str:
    """Words as a choice."""
    return f"one of {', '.join(words)}"


def _plain(value: Any) -> JSON:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, EffectPattern):
        return [value.kind, value.target, value.operation]
    return value  # type: ignore[no-any-return]  # rules hold nothing but scalars beside


def _refuse_protected(path: str, rule_type: str, weakens: str) -> None:
    # A descendant segment (`..`) selects nothing by itself: the segment after it does.
    selected = [segment for segment in names(path) if segment]
    if all(name is None for segment in selected for name in segment):
        raise RuleError(
            "path", f"{path!r}, which selects everything, {PROTECTED} included", "a path that names what is meant"
        )
    for parts in product(*selected):
        if is_protected(tuple(name for name in parts if name is not None)):
            raise RuleError(
                "path",
                f"{path!r} of the type {rule_type}, which touches {PROTECTED}: these cannot be {weakens}",
                "another path; for these the types exact, money, set, list and json are allowed",
            )
