"""What a door hands over for one event, and what it gets back once that is durable."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Decision
from shadow.model.ids import id_of


class Door(StrEnum):
    WEBHOOK = "webhook"
    INNGEST = "inngest"
    TRIGGER = "trigger.dev"
    PLATFORM = "platform"
    """None: a run was found in a platform's own records, and this is what started it."""


class Stage(StrEnum):
    """What is to be done with a dispatch."""

    DELIVER = "deliver"
    """Start the task's run on that platform."""
    FORWARD = "forward"
    """Pass a webhook on byte for byte; no run of ours comes of it."""
    MAP = "map"
    """Its event's data are not known yet. A webhook could not be mapped: a dead letter until the catalogue is mended.
    Or a call's payload lies in the platform's store: `fanout/offloaded.py` fetches it."""
    CANCEL = "cancel"
    """The producer cancelled its run; cancel the twin."""


class State(StrEnum):
    DUE = "due"
    HELD = "held"
    """Waits for the dispatch of the other side; see `fanout/handoff.py`."""
    SEQUENCED = "sequenced"
    """Waits for the twin with authority to have settled; see `world/sequencing.py`."""
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class PlannedDispatch:
    """One hand-over that an event needs."""

    side: Side
    stage: Stage
    platform: str
    task: str | None
    state: State = State.DUE
    delay: timedelta = timedelta(0)
    """How long a worker leaves it alone: the door that forwards it itself has that long to answer. Of a sequenced one:
    how long, from the event's start, its twin is waited for at most."""


@dataclass(frozen=True, slots=True)
class Descent:
    """What an event has from the run that emitted it, or from the event that it repeats; see `shadow/causes`."""

    authority: Side | None
    """The side whose runs may reach the world; None: nobody's."""
    sides: tuple[Side, ...]
    """That get it."""
    parent_run: UUID | None = None
    """The run of ours that emitted it, where that is known."""
    purpose: str = "live"
    """live, replay, canary or legacy_twice."""
    task: str | None = None
    """The one task that it means, where a call named it; None: all that its name feeds."""
    follows: bool = False
    """Its twin is another event, with authority, and starts first where its task says so."""


class DedupeKey(NamedTuple):
    """What makes a second arrival the same event."""

    scope: str
    key: str
    lifetime: timedelta = timedelta(days=30)


@dataclass(slots=True)
class Arrival:
    """One event as a door understood it. Never changed, but not frozen: that would triple the cost of making one."""

    source: str
    door: Door
    origin: Origin
    name: str
    data: bytes
    """The event's data: a JSON object, as bytes."""
    dispatches: tuple[PlannedDispatch, ...]
    decision: Decision | None = None
    """None when no task is fed by it."""
    descent: Descent | None = None
    """None for a producer's event, which is as its decision says."""
    tenant: str | None = None
    external_id: str | None = None
    """The producer's own id for it."""
    delivery_id: str | None = None
    """The event id that candidate runs shall carry; None lets the ULID of Inngest be it."""
    occurred_at: datetime | None = None
    scheduled_at: datetime | None = None
    dedupe: DedupeKey | None = None
    request: bytes | None = None
    """The producer's request as it came, where it must be passed on unchanged."""
    headers: tuple[tuple[str, str], ...] = field(default=())
    mapping_error: str | None = None
    idempotency_key: str | None = None
    """What the legacy platform dedupes by, where the producer chose it or the door had to."""
    ramp_key: str | None = None
    """By which a ramp decides, where that is another than its tenant; see `ramp_keys.py`."""


class Spot(NamedTuple):
    """Where a spooled event stands among those that the candidate's platform gets."""

    seed: str
    position: int | None


class Receipt(NamedTuple):
    """Proof that an event is on disk."""

    event: bytes
    """The 16 bytes of its id."""
    upstream_id: str
    """The ULID by which Inngest will know it."""
    duplicate: bool
    """True when the event was there already: these are the ids of the first arrival."""
    spooled: Spot | None = None
    """Of an event that is on the local disk, and not yet in the database, which is away: whether it is a duplicate is
    seen later."""

    @property
    def event_id(self) -> UUID:
        """Made when it is asked for: most producers are not told it."""
        return id_of(self.event)
