"""What many events have in common, as `accept.sql` gets it: once for all of them, numbered.

Nearly every batch brings the same few kinds of events as the one before. So what they have in common is kept from batch
to batch, with the arrays that are made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from shadow.catalogue.model import Side
from shadow.intake.arrival import Arrival, PlannedDispatch, State
from shadow.store.arrays import Column, Ints, Texts, Uuids

_MILLISECOND = timedelta(milliseconds=1)
_MOST = 32
"""Kinds beyond which a batch begins anew. Those that it does not bring cost the database a row each."""

TEMPLATE: Mapping[str, type[Column]] = {
    "source": Texts,
    "door": Texts,
    "origin": Texts,
    "name": Texts,
    "route": Texts,
    "phase": Texts,
    "authority": Texts,
    "purpose": Texts,
    "parent_run": Uuids,
    "sides": Texts,
    "means": Texts,
    "decided": Texts,
    "template_no": Ints,
}
PLAN: Mapping[str, type[Column]] = {
    "plan_no": Ints,
    "side": Texts,
    "stage": Texts,
    "platform": Texts,
    "task": Texts,
    "state": Texts,
    "delay_ms": Ints,
}


class Kind(NamedTuple):
    """What an arrival has in common with others."""

    template: int
    plans: tuple[int, ...]
    """Their numbers."""
    to_candidate: bool
    wakes: bool
    """Whether a delivery loop has something to do at once."""


class Kinds:
    """Grows with what comes, and keeps the numbers that it has given.

    A batch that brings something new goes on with a copy, which counts for others once the database has taken it: what
    it refuses must not be sent with anybody else's events.
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[object, ...], Kind] = {}
        self._templates: dict[tuple[object, ...], int] = {}
        self._template_rows: list[tuple[str | int | UUID | None, ...]] = []
        self._plans: dict[PlannedDispatch, int] = {}
        self._held: list[object] = []
        """What is known by its identity, which nothing else has while it is here."""
        self._arrays: list[bytes] = []
        """Empty where they have to be made."""

    def copy(self) -> Kinds:
        copied = Kinds()
        copied._kinds.update(self._kinds)
        copied._templates.update(self._templates)
        copied._template_rows += self._template_rows
        copied._plans.update(self._plans)
        copied._held += self._held
        copied._arrays = self._arrays
        return copied

    @property
    def full(self) -> bool:
        """Whether the next batch should begin with none."""
        return len(self._kinds) > _MOST

    def of(self, arrival: Arrival) -> Kind | None:
        """The kind of an arrival; None of a new one."""
        return self._kinds.get(_shared(arrival))

    def learn(self, arrival: Arrival) -> Kind:
        """The kind of an arrival, made where it is new."""
        shared = _shared(arrival)
        known = self._kinds.get(shared)
        if known is None:
            dispatches = arrival.dispatches
            known = self._kinds[shared] = Kind(
                self._template(shared[:-1], arrival),
                tuple([self._plan(dispatch) for dispatch in dispatches]),
                any(dispatch.side is Side.CANDIDATE for dispatch in dispatches),
                any(dispatch.state is State.DUE and not dispatch.delay for dispatch in dispatches),
            )
            self._held += (arrival.decision, dispatches, arrival.door, arrival.origin)
        return known

    def _template(self, shared: tuple[object, ...], arrival: Arrival) -> int:
        number = self._templates.get(shared)
        if number is None:
            number = self._templates[shared] = len(self._templates)
            self._template_rows.append(_template_row(number, arrival))
            self._arrays = []
        return number

    def _plan(self, dispatch: PlannedDispatch) -> int:
        number = self._plans.get(dispatch)
        if number is None:
            number = self._plans[dispatch] = len(self._plans)
            self._arrays = []
        return number

    def door(self, template: int) -> tuple[str, str]:
        """The door and source of that number."""
        source, door, *_ = self._template_rows[template]
        return str(door), str(source)

    def arrays(self) -> list[bytes]:
        """One array a column of `TEMPLATE` and `PLAN`."""
        if not self._arrays:
            plans = [
                (number, plan.side, plan.stage, plan.platform, plan.task, plan.state, plan.delay // _MILLISECOND)
                for plan, number in self._plans.items()
            ]
            self._arrays = [*_arrays(TEMPLATE, self._template_rows), *_arrays(PLAN, plans)]
        return self._arrays


def _shared(arrival: Arrival) -> tuple[object, ...]:
    """What makes a kind. Decisions and plans are told apart by identity, as doors hand over the same ones for all
    events of a kind, and so are the members of enums, whose hash is Python."""
    return (
        id(arrival.decision),
        arrival.name,
        arrival.source,
        id(arrival.door),
        id(arrival.origin),
        arrival.descent,
        id(arrival.dispatches),
    )


def _template_row(number: int, arrival: Arrival) -> tuple[str | int | UUID | None, ...]:
    decision, descent = arrival.decision, arrival.descent
    authority = descent.authority if descent else decision.authority if decision else None
    decided = decision.decided if decision else None
    sides = descent.sides if descent else decision.sides if decision and decided is not None else None
    return (
        arrival.source,
        arrival.door,
        arrival.origin,
        arrival.name,
        decision.route if decision else None,
        decision.phase if decision else None,
        authority,
        descent.purpose if descent else "live",
        descent.parent_run if descent else None,
        None if sides is None else ",".join(sides),
        descent.task if descent else None,
        None if decided is None else ",".join(decided),
        number,
    )


def _arrays(types: Mapping[str, type[Column]], rows: list[tuple[Any, ...]]) -> list[bytes]:
    """Rows turned into one array a column."""
    if not rows:
        return [kind.array(()) for kind in types.values()]
    return [kind.array(column) for kind, column in zip(types.values(), zip(*rows, strict=True), strict=True)]
