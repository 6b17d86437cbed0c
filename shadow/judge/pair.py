"""A pair's life, as one pure function of what is known and the time.

open -> waiting -> settling -> probing -> ready -> judged. A judged pair that learns something new (a late
effect, a late outcome, a reason why it can't be compared) is made due again, and the same function says what follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shadow.catalogue.model import Side


class PairState(StrEnum):
    """Where a pair stands."""

    OPEN = "open"
    """Neither run has ended."""
    WAITING = "waiting"
    """One run has ended."""
    SETTLING = "settling"
    """Both have; late effects are waited for."""
    PROBING = "probing"
    """It has settled, and the probes of its task are being read."""
    READY = "ready"
    """Nothing more is waited for: to be judged now."""
    JUDGED = "judged"
    """It has a verdict; until something new is learned there is nothing to do."""


@dataclass(frozen=True, slots=True)
class PairKnown:
    """What is known of a pair."""

    legacy_finished_at: datetime | None
    candidate_finished_at: datetime | None
    deadline_at: datetime
    """A side that has no outcome by then is missing."""
    settle: timedelta
    """How long late effects are waited for, counted from the last that happened."""
    last_effect_at: datetime | None = None
    """When the last effect of either run was received."""
    probes_due: bool = False
    """Whether its task has probes that were not read for it yet."""
    probe_patience: timedelta = timedelta(minutes=2)
    """How long they are waited for."""


@dataclass(frozen=True, slots=True)
class Step:
    """What follows: look again at `due_at`, or judge now."""

    state: PairState
    due_at: datetime | None
    """When to look again; None when it is to be judged."""
    missing: tuple[Side, ...] = ()
    """The sides to be judged as missing."""

    @property
    def judge(self) -> bool:
        return self.state is PairState.READY


def next_state(known: PairKnown, now: datetime) -> Step:
    """The step a pair takes at `now`, given what is known of it."""
    unfinished = tuple(
        side
        for side, finished_at in (
            (Side.LEGACY, known.legacy_finished_at),
            (Side.CANDIDATE, known.candidate_finished_at),
        )
        if finished_at is None
    )
    if unfinished:
        if now >= known.deadline_at:
            return Step(PairState.READY, None, unfinished)
        state = PairState.OPEN if len(unfinished) == len(Side) else PairState.WAITING
        return Step(state, known.deadline_at)
    settled_at = settled(known)
    if now < settled_at:
        return Step(PairState.SETTLING, settled_at)
    if known.probes_due and now < settled_at + known.probe_patience:
        return Step(PairState.PROBING, settled_at + known.probe_patience)
    return Step(PairState.READY, None)


def settled(known: PairKnown) -> datetime:
    """When nothing more is waited for, once both runs have ended.

    Raises:
        ValueError: when a run has not ended.
    """
    if known.legacy_finished_at is None or known.candidate_finished_at is None:
        raise ValueError("a pair settles only when both its runs have ended")
    moments = [known.legacy_finished_at, known.candidate_finished_at]
    if known.last_effect_at is not None:
        moments.append(known.last_effect_at)
    return max(moments) + known.settle
