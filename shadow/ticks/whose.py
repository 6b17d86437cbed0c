"""Whose tick it is: a pure function of its nominal time and the moves of its route.

It does not matter when a run of it starts, or when anybody asks: a tick before the switch is legacy's however late its
run, one from the switch on the candidate's however early. A tick has no key, so a ramp leaves it with legacy until it
is for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shadow.cutover.decision import WHOLE, Decision, Phase, decide


@dataclass(frozen=True, slots=True)
class Stand:
    """A phase, and of a ramp its share in percent."""

    phase: Phase
    share: int = 0

    @property
    def is_for_all(self) -> bool:
        """Whether a ramp takes what has no key, too."""
        return self.phase is Phase.RAMP and self.share >= WHOLE


@dataclass(frozen=True, slots=True)
class Moved:
    """One move of a task."""

    decided_at: datetime
    effective_at: datetime
    source: Stand
    to: Stand


AT_FIRST = Stand(Phase.LEGACY)


def stand_at(moves: Sequence[Moved], moment: datetime) -> Stand:
    """Where a task stood, or will stand as far as is decided, at a moment.

    A move that is decided before an earlier one takes effect takes its place: that one never held.
    """
    ordered = sorted(moves, key=lambda move: (move.decided_at, move.effective_at))
    held = [
        move
        for index, move in enumerate(ordered)
        if not any(later.decided_at < move.effective_at for later in ordered[index + 1 :])
    ]
    stand = ordered[0].source if ordered else AT_FIRST
    for move in held:
        if move.effective_at > moment:
            break
        stand = move.to
    return stand


def decided(route: str, tasks: Mapping[str, Sequence[Moved]], nominal_at: datetime) -> Decision:
    """What governs the tick of a route at its nominal time.

    Args:
        tasks: the moves of every task of the route. Should they stand differently, the one nearest to legacy counts.
    """
    order = list(Phase)
    stand = min(
        (stand_at(moves, nominal_at) for moves in tasks.values()),
        key=lambda one: (order.index(one.phase), one.share),
        default=AT_FIRST,
    )
    # Never in reverse: from the switch on nothing is mirrored to legacy, which has a clock of its own.
    return decide(route, stand.phase, candidate=stand.is_for_all)
