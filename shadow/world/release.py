"""When a run without authority may start, as a pure function of what is known of its twins and the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class TwinsKnown:
    """What is known of the runs with authority that a sequenced dispatch waits for."""

    finished_at: Sequence[datetime | None]
    """When each ended; None for one that has not."""
    last_effect_at: datetime | None
    """When the last effect of any of them was received."""
    settle: timedelta
    """How long a late effect is waited for."""
    late_at: datetime
    """The end of patience: the run starts then whatever is known."""


@dataclass(frozen=True, slots=True)
class Step:
    """What follows: start the run now, or look again at `look_at`."""

    look_at: datetime | None = None
    late: bool = False
    """It starts though its twins have not settled: not all of their answers may be recorded."""

    @property
    def release(self) -> bool:
        return self.look_at is None


def next_step(known: TwinsKnown, now: datetime) -> Step:
    """The step that a sequenced dispatch takes at `now`.

    Without twins there is nothing to wait for.
    """
    ended = [moment for moment in known.finished_at if moment is not None]
    if len(ended) < len(known.finished_at):
        return Step(late=True) if now >= known.late_at else Step(known.late_at)
    if not ended:
        return Step()
    settled_at = max(ended if known.last_effect_at is None else [*ended, known.last_effect_at]) + known.settle
    if now >= settled_at:
        return Step()
    return Step(late=True) if now >= known.late_at else Step(min(settled_at, known.late_at))
