"""Who has authority over an event: a pure function of the phase its route is in when it is accepted, and of its key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Literal

from shadow.catalogue.model import Side

Authority = Literal["real", "none"]

WHOLE = 100
"""Percent: a ramp of that share takes every key that it does not deny, and what has no key."""


class Phase(StrEnum):
    """Where a route stands; see DESIGN section 10."""

    LEGACY = "legacy"
    SHADOW = "shadow"
    RAMP = "ramp"
    LIVE = "live"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Ramp:
    """Which keys the candidate has authority for. The same key is taken by every process, at any time, until the share
    is lowered or a list changes; a share that is raised takes more keys and gives none back."""

    share: int = 0
    """Percent of keys."""
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()

    def takes(self, key: str | None) -> bool:
        """Whether the candidate has authority for that key. What has none follows the share only at 100."""
        if key is None:
            return self.share >= WHOLE
        if key in self.deny:
            return False
        return key in self.allow or bucket(key) < self.share


def bucket(key: str) -> int:
    """0 to 99: where a key lies in every ramp. Of the key alone, so that a tenant moves on all routes alike and a run
    and the runs that it starts stay on one side wherever their routes' shares are the same."""
    return int.from_bytes(sha256(key.encode(errors="surrogatepass")).digest()[:8]) % WHOLE


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for an event when it was accepted. It governs its runs and their children for ever."""

    route: str
    phase: Phase
    authority: Side
    """The side whose runs may reach the world."""
    sides: tuple[Side, ...]
    """The sides that get the event; the one with authority is always among them."""

    def of(self, side: Side) -> Authority:
        return "real" if side == self.authority else "none"

    def whole(self, side: Side) -> bool:
        """Whether that side has authority over all of the route, and not only over this event's share of it."""
        return side is self.authority and self.phase is not Phase.RAMP

    @property
    def decided(self) -> list[str] | None:
        """The sides, the one with authority first: what is stored of it beside the phase (`events.decided`). None
        where the phase alone says as much."""
        if self.phase is not Phase.RAMP and self.sides == _SIDES[self.phase][1]:
            return None
        return [self.authority.value, *(side.value for side in self.sides if side is not self.authority)]


_BOTH = (Side.LEGACY, Side.CANDIDATE)
_SIDES: dict[Phase, tuple[Side, tuple[Side, ...]]] = {
    Phase.LEGACY: (Side.LEGACY, (Side.LEGACY,)),
    Phase.SHADOW: (Side.LEGACY, _BOTH),
    Phase.LIVE: (Side.CANDIDATE, (Side.CANDIDATE,)),
    Phase.RETIRED: (Side.CANDIDATE, (Side.CANDIDATE,)),
}
"""Without a reverse shadow."""


def decide(route: str, phase: Phase, *, candidate: bool = False, reverse: bool = False) -> Decision:
    """The decision for an event of that route.

    Args:
        candidate: in `ramp`: whether it takes the event's key; all others are as in `shadow`.
        reverse: legacy runs without authority where the candidate has it, in `ramp` and `live`.
    """
    if phase is Phase.RAMP and not candidate:
        return Decision(route, phase, Side.LEGACY, _BOTH)
    if phase in (Phase.RAMP, Phase.LIVE):
        return Decision(route, phase, Side.CANDIDATE, _BOTH if reverse else (Side.CANDIDATE,))
    authority, sides = _SIDES[phase]
    return Decision(route, phase, authority, sides)


def stored(route: str, phase: str, decided: Sequence[str] | None) -> Decision:
    """The decision that governed an event, from the columns `route`, `phase` and `decided` of its row.

    Of an event that a run emitted, `authority` and `sides` say what followed for it; this is what it followed from.
    """
    of = Phase(phase)
    if decided is None:
        if of is Phase.RAMP:
            raise ValueError(f"route {route}: an event of phase ramp without what was decided for it")
        return decide(route, of)
    sides = {Side(side) for side in decided}
    return Decision(route, of, Side(decided[0]), tuple(side for side in _BOTH if side in sides))
