"""Events as the server keeps them, and the store which holds every one of them, duplicates too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

INTERNAL_PREFIX = "inngest/"
FINISHED = "inngest/function.finished"
FAILED = "inngest/function.failed"
CANCELLED = "inngest/function.cancelled"
INVOKED = "inngest/function.invoked"
TIMER = "inngest/scheduled.timer"
METADATA_KEY = "_inngest"
"""Key of `data` which is the server's own; removed from what senders send."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `internal_id` is the ULID which senders get back; `id` is the sender's, or equal to it."""

    internal_id: str
    id: str
    name: str
    data: dict[str, Any] | None
    ts: int
    received_at: datetime
    trace_id: str
    user: dict[str, Any] | None = None
    v: str | None = None
    meta: dict[str, Any] | None = None

    @property
    def is_internal(self) -> bool:
        return self.name.lower().startswith(INTERNAL_PREFIX)

    def stored_form(self) -> dict[str, Any]:
        """The event without empty optional fields, as it stands in `events` of a finished event."""
        form: dict[str, Any] = {"name": self.name, "data": self.data, "id": self.id, "ts": self.ts}
        if self.user:
            form["user"] = self.user
        if self.v:
            form["v"] = self.v
        if self.meta:
            form["meta"] = self.meta
        return form

    def sdk_form(self) -> dict[str, Any]:
        """The event as functions receive it: `data` and `user` are always objects."""
        return {**self.stored_form(), "data": self.data or {}, "user": self.user or {}}

    def correlation_id(self) -> str | None:
        """`<run id>.<step id>` of the `step.invoke` which sent this event; None for any other event."""
        metadata = (self.data or {}).get(METADATA_KEY)
        if self.name != INVOKED or not isinstance(metadata, dict):
            return None
        found = metadata.get("correlation_id")
        return found if isinstance(found, str) and found else None


class EventStore:
    """All events in the order of their arrival."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._by_internal_id: dict[str, Event] = {}

    def add(self, event: Event) -> None:
        self._events.append(event)
        self._by_internal_id[event.internal_id] = event

    def get(self, internal_id: str) -> Event | None:
        return self._by_internal_id.get(internal_id)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)
