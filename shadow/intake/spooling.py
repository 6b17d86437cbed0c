"""Batches of events that the database did not take, as they are spooled: with all that was decided and given out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from uuid import UUID

from shadow.catalogue.model import Side
from shadow.intake.arrival import Arrival, Door, PlannedDispatch, Stage, State
from shadow.intake.plan import PASSTHROUGH_PATIENCE


@dataclass(frozen=True, slots=True)
class SpooledEvent:
    """An event, and what its producer was told of it."""

    event_id: UUID
    upstream_id: str
    position: int | None
    """Among the events of the batch's seed; None of what the candidate does not get."""
    arrival: Arrival


@dataclass(frozen=True, slots=True)
class SpooledBatch:
    """Events that share a seed."""

    seed: str
    """As Inngest's header has it."""
    events: tuple[SpooledEvent, ...]


Key = tuple[str, str]
"""Scope and key, by which an event is known again."""
Given = tuple[bytes, str]
"""The 16 bytes of the event id, and the upstream id."""


class GivenOut:
    """The ids that were given, while the database is away, to events that no platform would know again.

    Inngest's SDK marks a request that it sends again by a seed, of which Inngest itself is not told, and an app that a
    webhook is passed on to need not look at its delivery id: it is Shadow that knows them again. Those that were handed
    over straight would run a second time.
    """

    def __init__(self, clock: Callable[[], float], *, most: int = 100_000) -> None:
        """
        Args:
            clock: seconds.
            most: keys that are remembered.
        """
        self._clock = clock
        self._most = most
        self._ids: OrderedDict[Key, tuple[float, Given]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._ids)

    def note(self, arrival: Arrival, event_id: bytes, upstream_id: str) -> None:
        """The event is spooled."""
        dedupe = arrival.dedupe
        seeded = arrival.door is Door.INNGEST and arrival.delivery_id is None
        if dedupe is None or not (seeded or arrival.door is Door.WEBHOOK):
            return
        until = self._clock() + dedupe.lifetime.total_seconds()
        self._ids[dedupe.scope, dedupe.key] = (until, (event_id, upstream_id))
        while len(self._ids) > self._most:
            self._ids.popitem(last=False)

    def forget(self, arrivals: Iterable[Arrival]) -> None:
        """The database knows their keys now."""
        for arrival in arrivals:
            if arrival.dedupe is not None:
                self._ids.pop((arrival.dedupe.scope, arrival.dedupe.key), None)

    def known(self, keys: Iterable[Key]) -> dict[Key, Given]:
        """Of these keys those that were given ids."""
        if not self._ids:
            return {}
        now = self._clock()
        found = {key: self._ids[key] for key in keys if key in self._ids}
        return {key: given for key, (until, given) in found.items() if until > now}


def resting(arrival: Arrival) -> Arrival:
    """The event, with a rest for those hand-overs that the door sees to itself while the database is away: the workers
    must not be quicker than what says how that went."""
    dispatches = tuple(
        replace(dispatch, delay=max(dispatch.delay, PASSTHROUGH_PATIENCE)) if is_doors(arrival, dispatch) else dispatch
        for dispatch in arrival.dispatches
    )
    return replace(arrival, dispatches=dispatches)


def is_doors(arrival: Arrival, dispatch: PlannedDispatch) -> bool:
    """Whether the door hands that over itself while the database is away: what reaches the side with authority. (A call
    to Trigger.dev is forwarded in any case.)"""
    if dispatch.state is not State.DUE:
        return False
    if dispatch.stage is Stage.FORWARD:
        return True
    return (
        dispatch.stage is Stage.DELIVER and dispatch.side is Side.CANDIDATE and authority_of(arrival) is dispatch.side
    )


def authority_of(arrival: Arrival) -> Side | None:
    """The side whose run it will be."""
    if arrival.descent is not None:
        return arrival.descent.authority
    return arrival.decision.authority if arrival.decision is not None else None
