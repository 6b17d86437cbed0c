"""The order that legacy keeps, learned from its runs.

For every two shapes of effects that a task's legacy runs had together it is counted which came first. What was always
so, often enough, is an order that legacy keeps: shown to people, and held against the candidate only where the task
says `order: learned`, since most order of sequential code means nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from comparators import OrderRule
from comparators.order_seen import How, OrderSeen, Shape
from shadow.store.database import Connection

ENOUGH = 1000
"""Runs of one relation after which only what speaks against it is counted."""
MOST = 300
"""Relations kept of one task: one with more shapes than that names its operations by their data."""

_READ = "SELECT task, one, other, before, after, mixed FROM orders_seen"
_COUNT = """
INSERT INTO orders_seen AS known (task, one, other, before, after, mixed)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS delta (task, one, other)
ORDER BY task, one, other
ON CONFLICT (task, one, other) DO UPDATE SET
    before = known.before + excluded.before, after = known.after + excluded.after, mixed = known.mixed + excluded.mixed
RETURNING task, one, other, before, after, mixed
"""


@dataclass(frozen=True, slots=True)
class Relation:
    """How two shapes came in legacy's runs."""

    one: Shape
    other: Shape
    before: int
    after: int
    mixed: int

    @property
    def open(self) -> bool:
        """Whether it may still be an order: only one of the three was ever seen, and that was one of the two."""
        return self.mixed == 0 and (self.before == 0 or self.after == 0)

    def order(self, runs: int) -> OrderRule | None:
        """The order that legacy keeps, if that many of its runs say so and none says otherwise."""
        if not self.open or max(self.before, self.after) < runs:
            return None
        first, then = (self.one, self.other) if self.before else (self.other, self.one)
        return OrderRule(first.pattern, then.pattern, f"so in all {self.before + self.after} runs of legacy", True)

    def is_news(self, how: How) -> bool:
        """Whether one run more of that kind would tell anything."""
        if not self.open:
            return False
        return {How.before: self.before, How.after: self.after, How.mixed: 0}[how] < ENOUGH


class Orders:
    """What this process knows of the order that legacy keeps, so that what is settled costs nothing more."""

    def __init__(self) -> None:
        self._known: dict[str, dict[tuple[Shape, Shape], Relation]] = {}

    def of(self, task: str) -> Sequence[Relation]:
        """The relations of a task."""
        return list(self._known.get(task, {}).values())

    async def refresh(self, connection: Connection) -> None:
        """Read what all processes counted."""
        cursor = await connection.execute(_READ)
        self._known = {}
        self._note(await cursor.fetchall())

    async def count(self, connection: Connection, seen: Iterable[tuple[str, Sequence[OrderSeen]]]) -> None:
        """Count what runs of these tasks did, as far as it is news. The caller commits."""
        news: dict[tuple[str, Shape, Shape], Counter[How]] = {}
        # Runs of a task mostly show the very same.
        alike: dict[tuple[str, int], list[Sequence[OrderSeen]]] = {}
        for task, orders in seen:
            alike.setdefault((task, id(orders)), []).append(orders)
        for (task, _), runs in alike.items():
            known = self._known.get(task, {})
            room = MOST - len(known)
            for order in runs[0]:
                relation = known.get((order.one, order.other))
                if relation is None:
                    room -= 1
                if (relation is None and room >= 0) or (relation is not None and relation.is_news(order.how)):
                    news.setdefault((task, order.one, order.other), Counter())[order.how] += len(runs)
        if not news:
            return
        rows = sorted(
            (task, _text(one), _text(other), counts[How.before], counts[How.after], counts[How.mixed])
            for (task, one, other), counts in news.items()
        )
        cursor = await connection.execute(_COUNT, [list(column) for column in zip(*rows, strict=True)])
        # Should this be rolled back, the next refresh says so.
        self._note(await cursor.fetchall())

    def _note(self, rows: Iterable[tuple[str, str, str, int, int, int]]) -> None:
        for task, one, other, before, after, mixed in rows:
            shapes = shape_in(one), shape_in(other)
            self._known.setdefault(task, {})[shapes] = Relation(*shapes, before, after, mixed)


def kept_orders(relations: Iterable[Relation], runs: int) -> tuple[OrderRule, ...]:
    """The orders that legacy keeps, in a stable order, without what follows from others.

    Where A comes before B and B before C, that A comes before C says nothing more.
    """
    found = {(order.first, order.then): order for relation in relations if (order := relation.order(runs)) is not None}
    follows = {
        (first, last) for first, middle in found for other, last in found if middle == other and (first, last) in found
    }
    return tuple(found[pair] for pair in sorted(found.keys() - follows, key=repr))


def shape_in(text: str) -> Shape:
    """The shape that a stored text names."""
    return Shape(*orjson.loads(text))


def _text(shape: Shape) -> str:
    return orjson.dumps([shape.kind, shape.target, shape.operation]).decode()
