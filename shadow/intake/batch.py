"""The rows of one commit of the intake, as `accept.sql` gets them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import count
from typing import Any
from uuid import UUID

import orjson

from shadow.catalogue.model import Side
from shadow.intake.arrival import Arrival, PlannedDispatch, Receipt, Spot, State
from shadow.intake.spooling import SpooledBatch, SpooledEvent
from shadow.model.ids import Seed, new_id, new_id_bytes
from shadow.sealing.vault import Vault
from shadow.store.arrays import Byteas, Column, Ints, Moments, Texts, Uuids, binary
from shadow.store.lane import Statement

_MILLISECOND = timedelta(milliseconds=1)

_TEMPLATE: dict[str, type[Column]] = {
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
_PLAN: dict[str, type[Column]] = {
    "plan_no": Ints,
    "side": Texts,
    "stage": Texts,
    "platform": Texts,
    "task": Texts,
    "state": Texts,
    "delay_ms": Ints,
}
_ARRIVAL: dict[str, type[Column]] = {
    "id": Uuids,
    "template": Ints,
    "tenant": Texts,
    "external_id": Texts,
    "delivery_id": Texts,
    "upstream_id": Texts,
    "occurred_at": Moments,
    "scheduled_at": Moments,
    "mapping_error": Texts,
    "position": Ints,
    "dispatch_key": Texts,
    "scope": Texts,
    "key": Texts,
    "expires": Moments,
    "ramp_key": Texts,
}
_DISPATCH: dict[str, type[Column]] = {"dispatch_id": Uuids, "dispatch_event": Uuids, "dispatch_plan": Ints}
_BODY: dict[str, type[Column]] = {"body_id": Uuids, "body_part": Texts, "body_content": Byteas}

ACCEPT = Statement(
    "shadow_accept",
    resources.files("shadow.intake").joinpath("accept.sql").read_bytes(),
    {"seed": Texts.element_oid}
    | {
        name: column.array_oid
        for columns in (_TEMPLATE, _PLAN, _ARRIVAL, _DISPATCH, _BODY)
        for name, column in columns.items()
    },
)
"""Makes a batch durable."""


class Batch:
    """The rows of one commit.

    All its events for the candidate share one Inngest seed, without gaps, so that the delivery loop can send
    them together and every event gets the ULID that its producer was told.
    """

    def __init__(self, arrivals: Sequence[Arrival], spooled: SpooledBatch | None = None) -> None:
        """
        Args:
            spooled: the same arrivals as they were spooled, which have their ids.
        """
        self._now = datetime.now(UTC)
        self._seed = Seed.new()
        self._header = self._seed.header() if spooled is None else spooled.seed
        self.arrivals = arrivals
        self._fixed = None if spooled is None else spooled.events
        self._ids: list[tuple[UUID, str]] = []
        self._first: dict[tuple[str, str], int] = {}
        self._repeats = False
        self._templates: dict[tuple[object, ...], tuple[int, Arrival]] = {}
        self._plans: dict[PlannedDispatch, int] = {}
        self._planned: dict[int, tuple[list[int], bool]] = {}
        self._expiries: dict[timedelta, datetime] = {}
        self._dispatches: list[tuple[bytes, bytes, int]] = []
        self._rows: list[tuple[Any, ...]] = []
        self._positions: dict[UUID, int] = {}
        self._bodies: list[tuple[str | None, bytes, str, bytes]] = []
        self._fill()

    def _fill(self) -> None:
        to_tell, others = self._seed.ulids(), Seed.new().ulids()
        positions = count()
        ids, rows, bodies, dispatches = self._ids, self._rows, self._bodies, self._dispatches
        fixed = self._fixed
        for index, arrival in enumerate(self.arrivals):
            event_id = new_id() if fixed is None else fixed[index].event_id
            dedupe = arrival.dedupe
            scope = key = expires = None
            if dedupe is not None:
                scope, key, lifetime = dedupe
                if self._first.setdefault((scope, key), index) != index:
                    self._repeats = True
                    ids.append((event_id, ""))
                    continue  # the same event twice in one batch: the first stands for both
                expires = self._expiry(lifetime)
            plans, to_candidate = self._numbered(arrival.dispatches)
            if fixed is not None:
                position, upstream_id = fixed[index].position, fixed[index].upstream_id
            elif to_candidate:
                position = self._positions[event_id] = next(positions)
                upstream_id = next(to_tell)
            else:
                position = None
                upstream_id = next(others)
            ids.append((event_id, upstream_id))
            row_id = event_id.bytes
            rows.append(
                (
                    row_id,
                    self._template(arrival),
                    arrival.tenant,
                    arrival.external_id,
                    arrival.delivery_id or upstream_id,
                    upstream_id,
                    arrival.occurred_at,
                    arrival.scheduled_at,
                    arrival.mapping_error,
                    position,
                    arrival.idempotency_key,
                    scope,
                    key,
                    expires,
                    arrival.ramp_key,
                )
            )
            for plan in plans:
                dispatches.append((new_id_bytes(), row_id, plan))
            tenant = arrival.tenant
            bodies.append((tenant, row_id, "data", arrival.data))
            if arrival.request is not None:
                bodies.append((tenant, row_id, "request", arrival.request))
            if arrival.headers:
                bodies.append((tenant, row_id, "headers", orjson.dumps(arrival.headers)))

    def _expiry(self, lifetime: timedelta) -> datetime:
        expires = self._expiries.get(lifetime)
        if expires is None:
            expires = self._expiries[lifetime] = self._now + lifetime
        return expires

    def _numbered(self, dispatches: tuple[PlannedDispatch, ...]) -> tuple[list[int], bool]:
        """The numbers of an arrival's plans, and whether the candidate is among them.

        Doors hand over the same tuple for all events of a kind, so it is looked up by identity.
        """
        found = self._planned.get(id(dispatches))
        if found is None:
            numbers = [self._plans.setdefault(dispatch, len(self._plans)) for dispatch in dispatches]
            to_candidate = any(dispatch.side is Side.CANDIDATE for dispatch in dispatches)
            found = self._planned[id(dispatches)] = (numbers, to_candidate)
        return found

    def _template(self, arrival: Arrival) -> int:
        """The number of what this arrival shares with others of the batch. Decisions are told apart by identity, and so
        are the members of enums, whose hash is Python."""
        door, origin, decision = id(arrival.door), id(arrival.origin), id(arrival.decision)
        shared = (arrival.source, door, origin, arrival.name, decision, arrival.descent)
        return self._templates.setdefault(shared, (len(self._templates), arrival))[0]

    @property
    def wakes(self) -> bool:
        """Whether a delivery loop has something to do at once."""
        return any(plan.state is State.DUE and not plan.delay for plan in self._plans)

    def spooled(self, stale: set[UUID]) -> SpooledBatch:
        """Its events with what their producers are told, each once.

        Args:
            stale: those that are left out.
        """
        repeated = {index for index, (_event, upstream) in enumerate(self._ids) if not upstream}
        return SpooledBatch(
            self._header,
            tuple(
                SpooledEvent(event_id, upstream_id, self._positions.get(event_id), self.arrivals[index])
                for index, (event_id, upstream_id) in enumerate(self._ids)
                if index not in repeated and event_id not in stale
            ),
        )

    def keyed(self) -> Iterator[tuple[tuple[str, str], Arrival, UUID, str]]:
        """Of each key its arrival, with the event id and upstream id that it has here."""
        for key, index in self._first.items():
            yield key, self.arrivals[index], *self._ids[index]

    def parameters(self, vault: Vault) -> list[bytes]:
        """One array a column, for `ACCEPT`.

        Args:
            vault: ready for all their tenants.
        """
        seal = vault.seal
        bodies = [(row_id, part, seal(tenant, row_id, part, content)) for tenant, row_id, part, content in self._bodies]
        plans = [
            (number, plan.side, plan.stage, plan.platform, plan.task, plan.state, plan.delay // _MILLISECOND)
            for plan, number in self._plans.items()
        ]
        return [
            self._header.encode(),
            *_arrays(_TEMPLATE, [_template_row(number, arrival) for number, arrival in self._templates.values()]),
            *_arrays(_PLAN, plans),
            *_arrays(_ARRIVAL, self._rows),
            *_arrays(_DISPATCH, self._dispatches),
            *_arrays(_BODY, bodies),
        ]

    def keys_of(self, stale: set[UUID]) -> list[tuple[str, str]]:
        """The keys of those events, which earlier ones hold."""
        return [key for key, index in self._first.items() if self._ids[index][0] in stale]

    def receipts(
        self, stale: set[UUID], known: dict[tuple[str, str], tuple[UUID, str]], *, spooled: bool = False
    ) -> list[Receipt]:
        """One for each arrival, in order."""
        if not stale and not self._repeats and not spooled:
            return [Receipt(event_id, upstream_id, False) for event_id, upstream_id in self._ids]
        receipts = []
        for index, arrival in enumerate(self.arrivals):
            event_id, upstream_id = self._ids[index]
            duplicate = False
            if arrival.dedupe is not None:
                key = (arrival.dedupe.scope, arrival.dedupe.key)
                first = self._first[key]
                duplicate = first != index or event_id in stale
                event_id, upstream_id = known.get(key) or self._ids[first]
            spot = Spot(self._header, self._positions.get(event_id)) if spooled else None
            receipts.append(Receipt(event_id, upstream_id, duplicate, spot))
        return receipts


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


def _arrays(types: dict[str, type[Column]], rows: Sequence[tuple[Any, ...]]) -> list[bytes]:
    """Rows turned into one array a column."""
    if not rows:
        return [binary(kind()) for kind in types.values()]
    return [binary(kind(column)) for kind, column in zip(types.values(), zip(*rows, strict=True), strict=True)]
