"""How a task stands: its phase, and the one before it, until a move takes effect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shadow.cutover.decision import Phase, Ramp

NO_RAMP = Ramp()


@dataclass(frozen=True, slots=True)
class Standing:
    """A task's phase, and the one that holds until the move takes effect."""

    phase: Phase
    previous: Phase
    effective_at: datetime
    ramp: Ramp = NO_RAMP
    """Of `phase`, where that is `ramp`."""
    previous_ramp: Ramp = NO_RAMP
    reverse: bool = False
    """Whether legacy was shown to be contained, so that it may run without authority where the candidate has it."""

    def at(self, moment: datetime) -> Phase:
        return self.phase if moment >= self.effective_at else self.previous

    def ramp_at(self, moment: datetime) -> Ramp:
        """Which keys the candidate has, where it is in `ramp` then."""
        return self.ramp if moment >= self.effective_at else self.previous_ramp
