"""An event as it is stored: what adapters and the fan-out know of it besides its bodies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shadow.cutover.decision import Decision, stored


@dataclass(frozen=True, slots=True)
class EventRow:
    """The columns of an event's row; see `store/tables.py`."""

    id: UUID
    source: str
    door: str
    origin: str
    name: str
    tenant: str | None
    external_id: str | None
    delivery_id: str
    upstream_id: str | None
    occurred_at: datetime | None
    scheduled_at: datetime | None
    accepted_at: datetime
    route: str | None
    phase: str | None
    authority: str | None
    purpose: str = "live"
    parent_run: UUID | None = None
    """The run of ours that emitted it."""
    sides: Sequence[str] | None = None
    """That get it; None: as its phase says."""
    child_key: str | None = None
    task: str | None = None
    """The one task that it means; None: all that it feeds."""
    ramp_key: str | None = None
    """By which a ramp decides, where that is another than its tenant."""
    decided: Sequence[str] | None = None
    """What was decided for it, where its phase alone does not say so; see `cutover/decision.py`."""

    @property
    def decision(self) -> Decision | None:
        """What governed it when it was accepted; None where it feeds no task."""
        if self.route is None or self.phase is None:
            return None
        return stored(self.route, self.phase, self.decided)

    @property
    def is_issued(self) -> bool:
        """Whether Trigger.dev was asked for it, and the candidate has it: its run has an id of ours."""
        return self.door == "trigger.dev" and self.authority == "candidate"

    @property
    def starts_at(self) -> datetime:
        """When its runs may start: the scheduled start, or its acceptance."""
        return self.scheduled_at or self.accepted_at

    @property
    def counts_from(self) -> datetime:
        """Where its pairs stand in the order in which the gate counts them: never before the event was accepted."""
        return max(self.starts_at, self.accepted_at)
