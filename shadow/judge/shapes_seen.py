"""Which shapes of events and effects a task's legacy runs showed, and of which the pair was compared.

A gate asks that everything legacy does was compared. The judge has both ledgers in its hands, so it notes what is news,
by delta: a row a shape, with when it was last shown and last compared. No report ever looks through runs for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal, TypeAlias

import orjson

from comparators import Verdict
from comparators.ledger import Effect
from comparators.order_seen import shape_of
from shadow.judge.committing import committed
from shadow.judge.ledger import Evidence, PairFacts
from shadow.model.ids import time_of
from shadow.store.database import Connection, Database

Of = Literal["effect", "event"]
Shape: TypeAlias = tuple[str, Of, str]
"""Task, of what, and the shape as text."""

COMPARED = frozenset({Verdict.match, Verdict.allowed, Verdict.mismatch})
MOST = 500
"""Shapes of one task that a process tells apart; what comes beyond them is not asked for."""
_LONGEST = 1000
_EVERY_SECONDS = 5.0
"""How long what is no news waits to be written."""

_NOTE = """
INSERT INTO task_shapes AS known (task, of, shape, legacy_at, compared_at)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
    AS seen (task, of, shape, legacy_at, compared_at) ORDER BY 1, 2, 3
ON CONFLICT (task, of, shape) DO UPDATE SET legacy_at = greatest(known.legacy_at, excluded.legacy_at),
    compared_at = greatest(known.compared_at, excluded.compared_at)
"""
_TYPES = {str: "string", bool: "boolean", int: "number", float: "number", dict: "object", list: "array"}


@dataclass(frozen=True, slots=True)
class Sighting:
    """When a shape was shown last, and last compared, as times of the events' acceptance."""

    legacy_at: datetime
    compared_at: datetime | None

    def joined(self, other: Sighting) -> Sighting:
        compared = [moment for moment in (self.compared_at, other.compared_at) if moment is not None]
        return Sighting(max(self.legacy_at, other.legacy_at), max(compared, default=None))


class ShapesSeen:
    """What this process has seen and written."""

    def __init__(self) -> None:
        self._known: dict[str, set[Shape]] = {}
        """By task, what was written once."""
        self._pending: dict[Shape, Sighting] = {}
        self._news = False
        self._written = time.monotonic()

    def see(self, fact: PairFacts, evidence: Evidence, verdict: Verdict) -> None:
        """Take in what legacy showed in a pair that was given that verdict."""
        if fact.legacy is None:
            return
        # The event of a replay is new, and what legacy did after the first one is as old as it is.
        pair_at = time_of(fact.pair.id)
        seen = Sighting(time_of(fact.pair.legacy_run), pair_at if verdict in COMPARED else None)
        known = self._known.setdefault(fact.pair.task, set())
        for of, shape in shapes_of(fact, evidence):
            key: Shape = (fact.pair.task, of, shape)
            if key not in known:
                if len(known) >= MOST:
                    continue
                known.add(key)
                self._news = True
            before = self._pending.get(key)
            self._pending[key] = seen if before is None else before.joined(seen)

    async def write(self, database: Database) -> None:
        """Write what waits, where something is news or it has waited long enough."""
        if not self._pending or not (self._news or time.monotonic() - self._written >= _EVERY_SECONDS):
            return
        pending = dict(self._pending)
        await committed(database, lambda connection: note_shapes(connection, pending))
        self._pending = {shape: seen for shape, seen in self._pending.items() if pending.get(shape) != seen}
        self._news = False
        self._written = time.monotonic()


async def note_shapes(connection: Connection, seen: Mapping[Shape, Sighting]) -> None:
    """Keep these sightings; repeating it is harmless."""
    rows = [(*shape, one.legacy_at, one.compared_at) for shape, one in sorted(seen.items(), key=lambda item: item[0])]
    if rows:
        await connection.execute(_NOTE, [list(column) for column in zip(*rows, strict=True)])


def shapes_of(fact: PairFacts, evidence: Evidence) -> set[tuple[Of, str]]:
    """What legacy's run of a pair showed: its event, and its effects but for what probes read for us."""
    found: set[tuple[Of, str]] = set()
    assert fact.legacy is not None
    for kind, target, operation in evidence.done_by(fact.legacy.id):
        found.add(("effect", effect_shape(kind, target, operation)))
    data = evidence.event_of(fact)
    if data is not None:
        found.add(("event", event_shape(data)))
    return {(of, shape) for of, shape in found if len(shape) <= _LONGEST}


@lru_cache(maxsize=8192)
def effect_shape(kind: str, target: str, operation: str) -> str:
    """An effect's shape as text: what is an id or a number in its operation is a star."""
    shape = shape_of(Effect(kind, target, operation, None, None))
    return orjson.dumps([shape.kind, shape.target, shape.operation]).decode()


def event_shape(data: object) -> str:
    """The shape of an event's data as text: its top-level keys with their JSON types."""
    if not isinstance(data, dict):
        return orjson.dumps(_type(data)).decode()
    return orjson.dumps({str(key): _type(value) for key, value in data.items()}, option=orjson.OPT_SORT_KEYS).decode()


def in_words(of: str, shape: str) -> str:
    """A stored shape for people."""
    told = orjson.loads(shape)
    if of == "effect":
        return " ".join(told)
    if isinstance(told, dict):
        return "{" + ", ".join(f"{key}: {kind}" for key, kind in told.items()) + "}"
    return str(told)


def _type(value: object) -> str:
    return _TYPES.get(type(value), "null" if value is None else "number")
