"""What every platform looks like to the fan-out: deliveries in, a result for each of them out.

A new platform needs a class with these methods, an entry in `registry.py`, and must pass the suite in
`tests/integration/platforms/conformance.py`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from shadow.catalogue import ResolvedTask
from shadow.intake.arrival import Stage
from shadow.model.ids import Seed
from shadow.platforms.event import EventRow


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event to be handed to one platform."""

    dispatch_id: UUID
    event: EventRow
    data: bytes
    """The event's data: a JSON object."""
    task: ResolvedTask | None = None
    """None where the platform fans out by itself, or a request is only passed on."""
    request: bytes | None = None
    """The producer's request as it came, where it was kept."""
    headers: tuple[tuple[str, str], ...] = ()
    """Those of `request`."""
    seed: Seed | None = None
    position: int = 0
    """Of the event within its Inngest batch."""
    idempotency_key: str | None = None
    """The producer's own."""
    attempt: int = 1
    """From 1. Any but the first may repeat a delivery whose answer was lost."""
    stage: Stage = Stage.DELIVER
    """What is to be done: only what is forwarded goes to an endpoint as it came."""

    @property
    def key(self) -> str:
        """The key by which the platform tells that a delivery repeats another.

        The producer's, or derived from the stored event; never random.
        """
        return self.idempotency_key or derived_key(self.event, self.task.id if self.task else "")


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A run that is to be cancelled because its producer cancelled the twin."""

    event: EventRow
    task: ResolvedTask
    platform_run_id: str | None
    """None when the platform has not been heard to name it."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The platform has it."""

    platform_run_id: str | None = None
    """The run that was started, where the platform says so."""
    upstream_id: str | None = None
    """The id the platform gave the event, where it gives one."""
    cached: bool = False
    """True when an earlier delivery had started that run."""
    rest: timedelta | None = None
    """Until the platform takes another request, where this one was the last that it does."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """The platform asks for time. Nothing was accepted, and no attempt is counted."""

    retry_after: timedelta


@dataclass(frozen=True, slots=True)
class Failed:
    """It is not known whether the platform has it: to be repeated with the same key."""

    reason: str
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """The platform does not know us (key, URL). Repeated slowly and without end: no event is at fault."""

    reason: str
    status: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The platform will never take it: a dead letter, until a person sends it again."""

    reason: str
    status: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is no such run (yet) to cancel."""


@dataclass(frozen=True, slots=True)
class TooLate:
    """The run had ended before it could be cancelled."""


Result = Delivered | Throttled | Failed | Misconfigured | Rejected
CancelResult = Delivered | Throttled | Failed | Misconfigured | Rejected | Unknown | TooLate


class Adapter(Protocol):
    """One platform of the catalogue."""

    @property
    def name(self) -> str:
        """Its name in the catalogue."""

    @property
    def batch_size(self) -> int:
        """The most deliveries that go in one request."""

    @property
    def concurrency(self) -> int:
        """The most requests in flight."""

    def groups(self, deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
        """Split into what goes in one request each; every delivery is in exactly one group."""

    async def deliver(self, group: Sequence[Delivery]) -> Sequence[Result]:
        """Hand over one group. Never raises for what the platform or the network does.

        Returns:
            One result a delivery, in their order.
        """

    async def cancel(self, cancellation: Cancellation) -> CancelResult:
        """Cancel the run of that event and task, if the platform can."""


def derived_key(event: EventRow, task: str) -> str:
    """A key for an event whose producer gave none: 64 hexadecimal digits.

    The same whenever it is derived, in any process. Of that length the Trigger.dev SDK takes it as it is
    (reference 6.1), so that a person can look the run up by it. It is the stored event's own and not that of the id
    which the producer gave: a producer may use that again once its door has forgotten it (an Inngest event's after
    24 hours), while the platform would still answer with the first run (after up to 30 days, reference 6.2).
    """
    return _derived_key(event.source, event.id, task)


@functools.lru_cache(maxsize=4096)
def _derived_key(source: str, event: UUID, task: str) -> str:
    return hashlib.sha256("\x1f".join(("shadow:", source, str(event), task)).encode()).hexdigest()
