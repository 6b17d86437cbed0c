"""A tick, and how runs tell of theirs: what legacy's payload and the candidate's timer event say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shadow.intake.storable import storable_or_none
from shadow.model.moments import credible, moment

TIMER = "inngest/scheduled.timer"
"""The event of a run that Inngest's own scheduler starts."""


@dataclass(frozen=True, slots=True, order=True)
class Tick:
    """One nominal time of a task; for each tenant its own, where legacy runs once for each."""

    task: str
    """The catalogue's id."""
    nominal_at: datetime
    """In UTC."""
    external_id: str = ""
    """Of legacy's schedule, where the task's `cron.tenants` says that each is a tenant's; else empty."""

    @property
    def key(self) -> str:
        """The id of its event: the same whoever mirrors it."""
        at = self.nominal_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return f"{self.task}@{at}" + (f"/{self.external_id}" if self.external_id else "")


def of_payload(task: str, payload: Any, *, tenants: bool) -> Tick | None:
    """The tick of a run that Trigger.dev's scheduler started, from its payload (`timestamp` is the nominal time).

    None where it does not say, or where it is to be a tenant's and names none.
    """
    if not isinstance(payload, Mapping):
        return None
    nominal = credible(moment(payload.get("timestamp")))
    external = payload.get("externalId")
    external = storable_or_none(external) if isinstance(external, str) else None
    if nominal is None or (tenants and not external):
        return None
    return Tick(task, nominal.astimezone(UTC), external or "" if tenants else "")


def of_timer(task: str, event_id: str | None, data: Any) -> Tick | None:
    """The tick of a run that Inngest's scheduler started, from its timer event: `scheduledAt`, else the event's id,
    which is the scheduled time too. None where neither says.
    """
    told = data.get("scheduledAt") if isinstance(data, Mapping) else None
    nominal = credible(moment(told)) or credible(moment(event_id))
    return None if nominal is None else Tick(task, nominal.astimezone(UTC))
