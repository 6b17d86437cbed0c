"""The rows of one commit of the intake, as `accept.sql` gets them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from itertools import count

import orjson

from shadow.intake.arrival import Arrival, Receipt, Spot
from shadow.intake.kinds import PLAN, TEMPLATE, Kinds
from shadow.intake.spooling import Given, Key, SpooledBatch, SpooledEvent
from shadow.model.ids import Seed, id_of, new_ids_bytes
from shadow.sealing.vault import Vault
from shadow.store.arrays import Byteas, Column, Ints, Moments, Texts, Uuids
from shadow.store.lane import Statement

_ARRIVAL: Mapping[str, type[Column]] = {
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
_DISPATCH: Mapping[str, type[Column]] = {"dispatch_id": Uuids, "dispatch_event": Uuids, "dispatch_plan": Ints}
_BODY: Mapping[str, type[Column]] = {"body_id": Uuids, "body_part": Texts, "body_content": Byteas}

ACCEPT = Statement(
    "shadow_accept",
    resources.files("shadow.intake").joinpath("accept.sql").read_bytes(),
    {"seed": Texts.element_oid}
    | {
        name: column.array_oid
        for columns in (TEMPLATE, PLAN, _ARRIVAL, _DISPATCH, _BODY)
        for name, column in columns.items()
    },
)
"""Makes a batch durable."""

_KEYLESS = (None, None, None)


class Batch:
    """The rows of one commit.

    All its events for the candidate share one Inngest seed, without gaps, so that the delivery loop can send
    them together and every event gets the ULID that its producer was told.

    Ids are the 16 bytes of a UUID here: to make an object of them takes longer than to make them.
    """

    def __init__(self, arrivals: Sequence[Arrival], kinds: Kinds, spooled: SpooledBatch | None = None) -> None:
        """
        Args:
            kinds: of batches that were stored.
            spooled: the same arrivals as they were spooled, which have their ids.
        """
        self._seed = Seed.new()
        self._header = self._seed.header() if spooled is None else spooled.seed
        self.kinds = kinds
        """With those that are new; for others once this batch is stored."""
        self.arrivals = arrivals
        self.tenants = {arrival.tenant for arrival in arrivals}
        self.wakes = False
        """Whether a delivery loop has something to do at once."""
        # One for each arrival:
        self._ids = (
            new_ids_bytes(len(arrivals)) if spooled is None else [event.event_id.bytes for event in spooled.events]
        )
        self._upstream_ids: list[str] = []
        """Empty of one that repeats another."""
        self._first: dict[Key, int] = {}
        """Of each key the arrival that brought it first."""
        # One for each arrival that is none's repetition:
        self._kept: list[Arrival] = []
        self._templates: list[int] = []
        self._positions: list[int | None] = []
        self._keys: list[tuple[str | None, str | None, datetime | None]] = []
        """Scope and key, and until when they count."""
        # And of them:
        self._dispatch_events: list[bytes] = []
        self._dispatch_plans: list[int] = []
        self._bodies: list[tuple[str | None, bytes, str, bytes]] = []
        self._fill(None if spooled is None else spooled.events)

    def _fill(self, fixed: Sequence[SpooledEvent] | None) -> None:
        to_tell, positions = self._seed.ulids(), count()
        others: Iterator[str] | None = None
        now = datetime.now(UTC)
        lifetime, expires = None, None
        known, kind_of, first = self.kinds, self.kinds.of, self._first
        upstream_ids, kept, templates = self._upstream_ids, self._kept, self._templates
        keys, bodies = self._keys, self._bodies
        for index, (arrival, event_id) in enumerate(zip(self.arrivals, self._ids, strict=True)):
            dedupe = arrival.dedupe
            if dedupe is None:
                keys.append(_KEYLESS)
            else:
                scope, key, lasts = dedupe
                if first.setdefault((scope, key), index) != index:
                    upstream_ids.append("")
                    continue  # the same event twice in one batch: the first stands for both
                if lasts is not lifetime:
                    lifetime, expires = lasts, now + lasts
                keys.append((scope, key, expires))
            kind = kind_of(arrival)
            if kind is None:
                if self.kinds is known:
                    self.kinds = known.copy()
                    kind_of = self.kinds.learn
                kind = self.kinds.learn(arrival)
            template, plans, to_candidate, wakes = kind
            if wakes:
                self.wakes = True
            position = None
            if fixed is not None:
                position, upstream_id = fixed[index].position, fixed[index].upstream_id
            elif to_candidate:
                position, upstream_id = next(positions), next(to_tell)
            else:
                others = others or Seed.new().ulids()
                upstream_id = next(others)
            upstream_ids.append(upstream_id)
            kept.append(arrival)
            templates.append(template)
            self._positions.append(position)
            self._dispatch_plans += plans
            self._dispatch_events += (event_id,) * len(plans)
            bodies.append((arrival.tenant, event_id, "data", arrival.data))
            if arrival.request is not None:
                bodies.append((arrival.tenant, event_id, "request", arrival.request))
            if arrival.headers:
                bodies.append((arrival.tenant, event_id, "headers", orjson.dumps(arrival.headers)))

    @property
    def _repeats(self) -> bool:
        """Whether some event is in it more than once."""
        return len(self._kept) < len(self._ids)

    def _kept_ids(self) -> list[bytes]:
        if not self._repeats:
            return self._ids
        return [event_id for event_id, upstream in zip(self._ids, self._upstream_ids, strict=True) if upstream]

    def spooled(self, stale: set[bytes]) -> SpooledBatch:
        """Its events with what their producers are told, each once.

        Args:
            stale: those that are left out.
        """
        upstream_ids = filter(None, self._upstream_ids)
        kept = zip(self._kept_ids(), upstream_ids, self._positions, self._kept, strict=True)
        return SpooledBatch(
            self._header,
            tuple(
                SpooledEvent(id_of(event_id), upstream_id, position, arrival)
                for event_id, upstream_id, position, arrival in kept
                if event_id not in stale
            ),
        )

    def keys(self) -> Sequence[Key]:
        """Each once."""
        return list(self._first)

    def keyed(self) -> Iterator[tuple[Key, Arrival, bytes, str]]:
        """Of each key its arrival, with the event id and upstream id that it has here."""
        for key, index in self._first.items():
            yield key, self.arrivals[index], self._ids[index], self._upstream_ids[index]

    def parameters(self, vault: Vault) -> list[bytes]:
        """One array a column, for `ACCEPT`.

        Args:
            vault: ready for all their tenants.
        """
        kept, ids, bodies = self._kept, self._kept_ids(), self._bodies
        upstream_ids = [*filter(None, self._upstream_ids)] if self._repeats else self._upstream_ids
        scopes, keys, expiries = _columns(self._keys, 3)
        _, body_ids, body_parts, _ = _columns(bodies, 4)
        arrivals: dict[str, Sequence[object]] = {
            "id": ids,
            "template": self._templates,
            "tenant": [arrival.tenant for arrival in kept],
            "external_id": [arrival.external_id for arrival in kept],
            "delivery_id": [
                arrival.delivery_id or upstream_id for arrival, upstream_id in zip(kept, upstream_ids, strict=True)
            ],
            "upstream_id": upstream_ids,
            "occurred_at": [arrival.occurred_at for arrival in kept],
            "scheduled_at": [arrival.scheduled_at for arrival in kept],
            "mapping_error": [arrival.mapping_error for arrival in kept],
            "position": self._positions,
            "dispatch_key": [arrival.idempotency_key for arrival in kept],
            "scope": scopes,
            "key": keys,
            "expires": expiries,
            "ramp_key": [arrival.ramp_key for arrival in kept],
        }
        dispatches: dict[str, Sequence[object]] = {
            "dispatch_id": new_ids_bytes(len(self._dispatch_plans)),
            "dispatch_event": self._dispatch_events,
            "dispatch_plan": self._dispatch_plans,
        }
        stored: dict[str, Sequence[object]] = {
            "body_id": body_ids,
            "body_part": body_parts,
            "body_content": vault.seal_all(bodies),
        }
        return [
            self._header.encode(),
            *self.kinds.arrays(),
            *[_array(kind, arrivals[name]) for name, kind in _ARRIVAL.items()],
            *[kind.array(dispatches[name]) for name, kind in _DISPATCH.items()],
            *[kind.array(stored[name]) for name, kind in _BODY.items()],
        ]

    def keys_of(self, stale: set[bytes]) -> list[Key]:
        """The keys of those events, which earlier ones hold."""
        return [key for key, index in self._first.items() if self._ids[index] in stale]

    def accepted(self, stale: set[bytes], receipts: Sequence[Receipt]) -> Iterator[tuple[str, str, bool, int]]:
        """How many of each door and source were accepted, and how many were there already."""
        if not stale and not self._repeats:
            for number, accepted in Counter(self._templates).items():
                yield *self.kinds.door(number), False, accepted
            return
        kinds = Counter(
            (arrival.door, arrival.source, receipt.duplicate)
            for arrival, receipt in zip(self.arrivals, receipts, strict=True)
        )
        for (door, source, duplicate), number in kinds.items():
            yield door, source, duplicate, number

    def receipts(self, stale: set[bytes], known: Mapping[Key, Given]) -> list[Receipt]:
        """One for each arrival, in order.

        Args:
            stale: those that are not new.
            known: what earlier arrivals that hold their keys were told.
        """
        if not stale and not self._repeats:
            make = tuple.__new__  # what a NamedTuple makes of itself in Python takes three times as long
            return [
                make(Receipt, (event_id, upstream_id, False, None))
                for event_id, upstream_id in zip(self._ids, self._upstream_ids, strict=True)
            ]
        return self._told(stale, known, None)

    def spooled_receipts(self, stale: set[bytes], known: Mapping[Key, Given]) -> list[Receipt]:
        """`receipts` of what is on the local disk."""
        return self._told(stale, known, dict(zip(self._kept_ids(), self._positions, strict=True)))

    def _told(
        self,
        stale: set[bytes],
        known: Mapping[Key, Given],
        positions: Mapping[bytes, int | None] | None,
    ) -> list[Receipt]:
        receipts = []
        for index, arrival in enumerate(self.arrivals):
            event_id, upstream_id = self._ids[index], self._upstream_ids[index]
            duplicate = False
            if arrival.dedupe is not None:
                key = (arrival.dedupe.scope, arrival.dedupe.key)
                first = self._first[key]
                duplicate = first != index or event_id in stale
                event_id, upstream_id = known.get(key) or (self._ids[first], self._upstream_ids[first])
            spot = None if positions is None else Spot(self._header, positions.get(event_id))
            receipts.append(Receipt(event_id, upstream_id, duplicate, spot))
        return receipts


def _columns(rows: Sequence[tuple[object, ...]], number: int) -> Sequence[Sequence[object]]:
    """Rows turned into columns, of which there are so many also where there are no rows."""
    return tuple(zip(*rows, strict=True)) if rows else ((),) * number


def _array(kind: type[Column], values: Sequence[object]) -> bytes:
    """A column of the arrivals. Of many there is nothing to send: they are unnested beside those that each one has."""
    if values and values[0] is None and values.count(None) == len(values):
        return kind.nothing()
    return kind.array(values)
