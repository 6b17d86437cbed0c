"""Batches of events that the database did not take, as they are spooled: with all that was decided and given out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from shadow.catalogue.model import Side
from shadow.intake.arrival import Arrival, PlannedDispatch, Stage, State
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
