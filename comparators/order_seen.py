"""Order as it was seen: which effects of a run came before which, for learning what always does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import combinations
from typing import TypeAlias

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
    if ledger.outcome.status != COMPLETED:
        return ()
    named: list[_Placed] = []
    place, moment = -1, None
    for effect in ledger.effects:
        if effect.attempt > 1:
            return ()
        if effect.reads:
            continue
        # Those of one moment share their place.
        if effect.at is None or effect.at != moment:
            place += 1
        moment = effect.at
        named.append((effect.kind, effect.target, effect.operation, place))
    return _orders(tuple(named))


_Placed: TypeAlias = "tuple[str, str, str, int]"
"""Kind, target and operation of an effect, and its place in the run."""


@lru_cache(maxsize=4096)
def _orders(named: tuple[_Placed, ...]) -> tuple[OrderSeen, ...]:
    """Runs of a task mostly do the same."""
    places: dict[Shape, list[int]] = {}
    for kind, target, operation, place in named:
        places.setdefault(_shape(kind, target, operation), []).append(place)
    shapes = sorted(places)[:SHAPES]
    return tuple(OrderSeen(one, other, _how(places[one], places[other])) for one, other in combinations(shapes, 2))


def shape_of(effect: Effect) -> Shape:
    """The shape of an effect."""
    return _shape(effect.kind, effect.target, effect.operation)


def _shape(kind: str, target: str, operation: str) -> Shape:
    pattern = _NUMBERED.sub(HOLE, take_apart(operation).filled(lambda _: HOLE))
    return Shape(kind, target, _escaped(pattern).replace(HOLE, "*"))


def _how(one: list[int], other: list[int]) -> How:
    if one[-1] < other[0]:
        return How.before
    return How.after if other[-1] < one[0] else How.mixed


def _escaped(text: str) -> str:
    return _GLOB.sub(lambda match: f"[{match.group()}]", text)
