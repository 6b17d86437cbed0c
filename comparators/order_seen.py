"""Order as it was seen: which effects of a run came before which, for learning what always does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from comparators.generated import HOLE, take_apart
from comparators.ledger import COMPLETED, Effect, Ledger
from comparators.rules import EffectPattern

SHAPES = 12
"""How many shapes of one run are looked at, by their names."""

_NUMBERED = re.compile(r"(?<=/)[0-9]+(?=$|[/.?])")
_GLOB = re.compile(r"[\[*?]")


class How(StrEnum):
    """How the effects of two shapes came in one run."""

    before = "before"
    """All of the one before all of the other."""
    after = "after"
    mixed = "mixed"
    """Neither, or nobody can say."""


@dataclass(frozen=True, slots=True, order=True)
class Shape:
    """What sort of effect: ids and numbers in its operation are a star."""

    kind: str
    target: str
    operation: str
    """As a shell-style pattern."""

    @property
    def pattern(self) -> EffectPattern:
        """The effects of this shape."""
        return EffectPattern(_escaped(self.kind), _escaped(self.target), self.operation)


@dataclass(frozen=True, slots=True)
class OrderSeen:
    """Two shapes, in the order of their names, and how one run had them."""

    one: Shape
    other: Shape
    how: How


def order_seen(ledger: Ledger) -> tuple[OrderSeen, ...]:
    """In which order a run did what it did.

    Nothing is said by a run that did not complete or that tried anything again, nor by what only reads.
    """
    effects = [effect for effect in ledger.effects if not effect.reads]
    if ledger.outcome.status != COMPLETED or any(effect.attempt > 1 for effect in ledger.effects):
        return ()
    places: dict[Shape, list[int]] = {}
    for place, effect in zip(_places(effects), effects, strict=True):
        places.setdefault(shape_of(effect), []).append(place)
    shapes = sorted(places)[:SHAPES]
    return tuple(OrderSeen(one, other, _how(places[one], places[other])) for one, other in combinations(shapes, 2))


def shape_of(effect: Effect) -> Shape:
    """The shape of an effect."""
    operation = take_apart(effect.operation).filled(lambda _: HOLE)
    return Shape(effect.kind, effect.target, _escaped(_NUMBERED.sub(HOLE, operation)).replace(HOLE, "*"))


def _places(effects: Iterable[Effect]) -> list[int]:
    """The place of each effect; those of one moment share theirs."""
    places: list[int] = []
    place, moment = -1, None
    for effect in effects:
        if effect.at is None or effect.at != moment:
            place += 1
        places.append(place)
        moment = effect.at
    return places


def _how(one: list[int], other: list[int]) -> How:
    if one[-1] < other[0]:
        return How.before
    return How.after if other[-1] < one[0] else How.mixed


def _escaped(text: str) -> str:
    return _GLOB.sub(lambda match: f"[{match.group()}]", text)
