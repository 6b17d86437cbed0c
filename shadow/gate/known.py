"""What is known of a task when its gate is looked at. Pure data: whoever gathers it, the conditions judge it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from shadow.catalogue.model import GateSettings
from shadow.gate.report import Counted, SignOff


@dataclass(frozen=True, slots=True)
class Statistic:
    """What the e-processes of the epoch came to."""

    alpha: float
    """The share of the allowed error that this task and epoch have."""
    log_e: float
    """Now, natural logarithm."""
    opened_at: datetime | None
    """When it first reached its threshold: then it was shown, and stays so until the opposite is."""
    opened_after: int | None
    regressed_at: datetime | None
    log_e_above: float
    regress_alpha: float
    upper_bound: float
    pairs_needed: int | None
    """How many more clean pairs; 0 once it was opened."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the runs of compared pairs ended, and how long they took."""

    neither_failed: int = 0
    candidate_failed: int = 0
    legacy_failed: int = 0
    both_failed: int = 0
    timed: int = 0
    slower: int = 0
    log_ratio: float = 0.0
    """Sum over those timed of the logarithms of candidate / legacy."""
    newest_at: datetime | None = None
    """When the event of the newest compared pair was accepted."""

    @property
    def pairs(self) -> int:
        return self.neither_failed + self.candidate_failed + self.legacy_failed + self.both_failed


@dataclass(frozen=True, slots=True)
class EpochKnown:
    """The epoch that lasts, and what was counted in it."""

    id: UUID
    number: int
    started_at: datetime
    legacy_version: str | None
    candidate_version: str | None
    live: Counted
    replayed: Counted
    pending: int
    statistic: Statistic
    ended: Ended = field(default_factory=Ended)
    ticks: int = 0
    """Of how many ticks pairs were compared and counted."""

    @property
    def compared(self) -> int:
        return self.live.compared + self.replayed.compared

    @property
    def mismatches(self) -> int:
        return self.live.mismatches + self.replayed.mismatches

    @property
    def not_comparable(self) -> int:
        return self.live.not_comparable + self.replayed.not_comparable

    @property
    def resolved(self) -> int:
        return self.compared + self.not_comparable


@dataclass(frozen=True, slots=True)
class OpenSignature:
    """A signature that is not allowed, shown by pairs of the epoch."""

    id: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Uncompared:
    """A shape that legacy showed and of which nothing was compared in the epoch."""

    of: Literal["effect", "event"]
    shape: str
    """In words."""
    legacy_at: datetime


@dataclass(frozen=True, slots=True)
class TaskKnown:
    """All that a gate rests on."""

    task: str
    category: str | None
    settings: GateSettings
    now: datetime
    epoch: EpochKnown | None = None
    pairs_a_day: float = 0.0
    sign_offs: Sequence[SignOff] = ()
    """That stand in this epoch, oldest first."""
    critical: Sequence[OpenSignature] = ()
    leaks: int = 0
    """Incidents in this epoch, or in one of the same version that nothing has answered for since."""
    leaks_proven: bool = False
    """Whether a proof with a witness shows that there are none."""
    declared: bool = False
    """Whether a declaration that the candidate is harmless stands."""
    uncontained: str | None = None
    """Why it is not contained; None: it is."""
    contained_by: str = ""
    """What it is contained by, in words."""
    cron: bool = False
    shapes: int = 0
    """How many legacy showed lately."""
    uncompared: Sequence[Uncompared] = ()
    expired: Mapping[str, datetime] = field(default_factory=dict)
    """Signatures that are open again, with when their allowance expired."""

    @property
    def budget(self) -> float:
        assert self.settings.budget is not None  # the catalogue sets it
        return self.settings.budget

    @property
    def signed_off(self) -> bool:
        """Whether people's word stands in the statistic's place: two of them, where there are too few pairs."""
        return self.pairs_a_day < self.settings.sign_off_below and len({one.person for one in self.sign_offs}) >= 2
