"""Who has authority over an event: a pure function of the phase its route is in when it is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from shadow.catalogue.model import Side

Authority = Literal["real", "none"]


class Phase(StrEnum):
    """Where a route stands; see DESIGN section 10."""

    LEGACY = "legacy"
    SHADOW = "shadow"
    RAMP = "ramp"
    LIVE = "live"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for an event when it was accepted. It governs its runs and their children for ever."""

    route: str
    phase: Phase
    authority: Side
    """The side whose runs may reach the world."""
    sides: tuple[Side, ...]
    """The sides that get the event."""

    def of(self, side: Side) -> Authority:
        return "real" if side == self.authority else "none"

    def whole(self, side: Side) -> bool:
        """Whether that side has authority over all of the route, and not only over this event's share of it."""
        return side is self.authority and self.phase is not Phase.RAMP


_SIDES: dict[Phase, tuple[Side, tuple[Side, ...]]] = {
    Phase.LEGACY: (Side.LEGACY, (Side.LEGACY,)),
    Phase.SHADOW: (Side.LEGACY, (Side.LEGACY, Side.CANDIDATE)),
    Phase.LIVE: (Side.CANDIDATE, (Side.CANDIDATE,)),
    Phase.RETIRED: (Side.CANDIDATE, (Side.CANDIDATE,)),
}


def decide(route: str, phase: Phase) -> Decision:
    """The decision for an event of that route.

    Raises:
        ValueError: for `ramp`, which needs a share of keys to decide by.
    """
    if phase not in _SIDES:
        raise ValueError(f"route {route}: phase {phase} has no decision of its own")
    authority, sides = _SIDES[phase]
    return Decision(route, phase, authority, sides)
