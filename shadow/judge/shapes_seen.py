"""Which shapes of events and effects a task's legacy runs showed, and of which the pair was compared.

A gate asks that everything legacy does was compared. The judge has both ledgers in its hands, so it notes what is news,
by delta: a row a shape, with when it was last shown and last compared. No report ever looks through runs for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal, TypeAlias, TypeVar
from uuid import UUID

import orjson

from comparators import Verdict
from comparators.ledger import Effect
from comparators.order_seen import shape_of
from shadow.judge.committing import committed
from shadow.judge.facts import PairFacts
from shadow.judge.ledger import Evidence
from shadow.model.ids import time_of
from shadow.store.database import Connection, Database

Of = Literal["effect", "event"]
Shape: TypeAlias = tuple[str, Of, str]
"""Task, of what, and the shape as text."""

Later = TypeVar("Later", datetime, UUID)

COMPARED = frozenset({Verdict.match, Verdict.allowed, Verdict.mismatch})
MOST = 500
"""Shapes of one task that a process tells apart; what comes beyond them is not asked for."""
_LONGEST = 1000
_EVERY_SECONDS = 5.0
"""How long what is no news waits to be written."""

_NOTE = """
INSERT INTO task_shapes AS known (task, of, shape, legacy_at, compared_at, example_pair)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::uuid[])
    AS seen (task, of, shape, legacy_at, compared_at, example_pair) ORDER BY 1, 2, 3
ON CONFLICT (task, of, shape) DO UPDATE SET legacy_at = greatest(known.legacy_at, excluded.legacy_at),
    compared_at = greatest(known.compared_at, excluded.compared_at),
    -- Ids are in the order of time.
    example_pair = greatest(known.example_pair, excluded.example_pair)
"""
_TYPES = {str: "string", bool: "boolean", int: "number", float: "number", dict: "object", list: "array"}


@dataclass(frozen=True, slots=True)
class Sighting:
    """When a shape was shown last, and last compared, as times of the events' acceptance."""

    legacy_at: datetime
    compared_at: datetime | None = None
    example: UUID | None = None
    """The newest live pair that shows it."""

    def joined(self, other: Sighting) -> Sighting:
        return Sighting(
            max(self.legacy_at, other.legacy_at),
            _later(self.compared_at, other.compared_at),
            _later(self.example, other.example),
        )


def _later(one: Later | None, other: Later | None) -> Later | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


class ShapesSeen:
    """What this process has seen and written."""

    def __init__(self) -> None:
        self._known: dict[str, set[Shape]] = {}
        """By task, what was written once."""
        self._pending: dict[tuple[str, frozenset[tuple[Of, str]]], Sighting] = {}
        """By task and shapes: most runs of a task show the very same."""
        self._news = False
        self._written = time.monotonic()

    def see(self, fact: PairFacts, evidence: Evidence, verdict: Verdict) -> None:
        """Take in what legacy showed in a pair that was given that verdict."""
        if fact.legacy is None:
            return
        # The event of a replay is new, and what legacy did after the first one is as old as it is.
        pair_at, legacy_at = time_of(fact.pair.id), time_of(fact.pair.legacy_run)
        seen = Sighting(
            legacy_at,
            pair_at if verdict in COMPARED else None,
            fact.pair.id if pair_at == legacy_at else None,
        )
        done = evidence.done_by(fact.legacy.id)
        try:
            data = evidence.event_of(fact)
        except ValueError:  # of which its pair says so
            data = None
        self.add(fact.pair.task, shapes_of(done, data), seen)

    def add(self, task: str, shapes: Iterable[tuple[Of, str]], seen: Sighting) -> None:
        """Take in that a task showed these shapes."""
        group = (task, frozenset(shapes))
        before = self._pending.get(group)
        if before is not None:
            self._pending[group] = before.joined(seen)
            return
        self._pending[group] = seen
        known = self._known.setdefault(task, set())
        for key in sorted((task, of, shape) for of, shape in group[1]):
            if key not in known and len(known) < MOST:
                known.add(key)
                self._news = True

    def taken(self) -> dict[Shape, Sighting]:
        """What waits to be written, which the caller does."""
        pending, self._pending, self._news = self._pending, {}, False
        return self._by_shape(pending)

    def _by_shape(self, pending: Mapping[tuple[str, frozenset[tuple[Of, str]]], Sighting]) -> dict[Shape, Sighting]:
        found: dict[Shape, Sighting] = {}
        for (task, shapes), seen in pending.items():
            known = self._known[task]
            for of, shape in shapes:
                key: Shape = (task, of, shape)
                if key in known:
                    found[key] = found[key].joined(seen) if key in found else seen
        return found

    async def write(self, database: Database) -> None:
        """Write what waits, where something is news or it has waited long enough."""
        if not self._pending or not (self._news or time.monotonic() - self._written >= _EVERY_SECONDS):
            return
        pending = dict(self._pending)
        await committed(database, lambda connection: note_shapes(connection, self._by_shape(pending)))
        self._pending = {group: seen for group, seen in self._pending.items() if pending.get(group) != seen}
        self._news = False
        self._written = time.monotonic()


async def note_shapes(connection: Connection, seen: Mapping[Shape, Sighting]) -> None:
    """Keep these sightings; repeating it is harmless."""
    rows = [
        (*shape, one.legacy_at, one.compared_at, one.example)
        for shape, one in sorted(seen.items(), key=lambda item: item[0])
    ]
    if rows:
        await connection.execute(_NOTE, [list(column) for column in zip(*rows, strict=True)])


def shapes_of(done: Iterable[tuple[str, str, str]], data: object) -> frozenset[tuple[Of, str]]:
    """The shapes of what a run did (kind, target and operation), and of its event's data; None: they are not known."""
    return _shapes(tuple(done), None if data is None else event_shape(data))


@lru_cache(maxsize=4096)
def _shapes(done: tuple[tuple[str, str, str], ...], event: str | None) -> frozenset[tuple[Of, str]]:
    found: set[tuple[Of, str]] = {("effect", effect_shape(*one)) for one in done}
    if event is not None:
        found.add(("event", event))
    return frozenset((of, shape) for of, shape in found if len(shape) <= _LONGEST)


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
