"""Effect shapes: what kinds of things the runs of a task do, without what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from shadow.model.ids import first_id_at
from shadow.store.database import Connection

# Probes are made by Shadow, and rows are what the databases' own part of the proof is about. What the gateway refused
# never became an effect.
_LEGACY = """
WITH ran AS MATERIALIZED (
    SELECT id, platform_run_id, event_id, status FROM runs
    WHERE task = %(task)s AND side = 'legacy' AND id >= %(first)s),
did AS (
    SELECT effects.*, ran.event_id, ran.status AS ended FROM ran JOIN effects ON effects.run_id = ran.id
    UNION ALL
    SELECT effects.*, ran.event_id, ran.status FROM ran
    JOIN effects ON effects.platform_run_id = ran.platform_run_id AND effects.side = 'legacy'
        AND effects.run_id IS NULL)
SELECT kind, target, operation, bool_or(writes IS NOT FALSE), bool_or(seen_by <> 'report'), count(*),
       (array_agg(DISTINCT event_id ORDER BY event_id DESC)
            FILTER (WHERE event_id IS NOT NULL AND ended = 'completed'))[:20]
FROM did
WHERE received_at >= %(since)s AND seen_by NOT IN ('probe', 'rows') AND disposition IS DISTINCT FROM 'refuse'
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
_RUNS = """
SELECT count(*), (array_agg(event_id ORDER BY id DESC) FILTER (WHERE event_id IS NOT NULL AND status = 'completed'))[1]
FROM runs WHERE task = %(task)s AND side = 'legacy' AND id >= %(first)s AND state = 'finished'
"""


class Shape(NamedTuple):
    """What kind of effect it is."""

    kind: str
    target: str
    operation: str

    def __str__(self) -> str:
        return f"{self.kind} {self.target} {self.operation}"


@dataclass(frozen=True, slots=True)
class LegacyShape:
    """How often legacy's runs had effects of a shape, and after which events."""

    shape: Shape
    writes: bool
    """Whether it may be a write: it is, unless the gateway knows it to be a read."""
    observed: bool
    """Whether anybody but the worker itself saw it."""
    effects: int
    events: tuple[UUID, ...]
    """Some of the events whose completed runs had it."""


@dataclass(frozen=True, slots=True)
class LegacyLedger:
    """What legacy's runs of a task did."""

    since: datetime
    runs: int
    """How many ended."""
    shapes: tuple[LegacyShape, ...]
    newest_event: UUID | None = field(default=None)
    """Of the newest run that completed."""


async def legacy_ledger(connection: Connection, task: str, since: datetime) -> LegacyLedger:
    """The shapes in legacy's ledger of that task since that moment.

    It reads the runs of all that time: give it a connection that nobody waits for.
    """
    parameters = {"task": task, "first": first_id_at(since), "since": since}
    counted = await (await connection.execute(_RUNS, parameters)).fetchone()
    assert counted is not None  # an aggregate has one row
    rows = await (await connection.execute(_LEGACY, parameters)).fetchall()
    shapes = tuple(
        LegacyShape(Shape(kind, target, operation), writes, observed, effects, tuple(events or ()))
        for kind, target, operation, writes, observed, effects, events in rows
    )
    return LegacyLedger(since, counted[0], shapes, counted[1])


def covering_events(shapes: Sequence[LegacyShape], at_most: int) -> list[UUID]:
    """Few events whose runs together had as many of the shapes as possible: each next one adds the most."""
    by_event: dict[UUID, set[Shape]] = {}
    for shape in shapes:
        for event in shape.events:
            by_event.setdefault(event, set()).add(shape.shape)
    wanted = {shape.shape for shape in shapes}
    chosen: list[UUID] = []
    while wanted and len(chosen) < at_most and by_event:
        # The newest of those that add as much: the candidate was written for events as they are now.
        best = max(by_event, key=lambda event: (len(by_event[event] & wanted), event))
        if not by_event[best] & wanted:
            break
        wanted -= by_event.pop(best)
        chosen.append(best)
    return chosen


def missing(shapes: Iterable[LegacyShape], seen: Mapping[Shape, bool], targets: Iterable[str]) -> list[str]:
    """The shapes of legacy's that a canary did not show, each with what is the matter.

    Args:
        seen: shapes of the canary -> whether anybody but its worker saw one.
        targets: those that the gateway stands before: there, a worker's word is no proof.
    """
    guarded = set(targets)
    lacking = []
    for one in shapes:
        if one.shape not in seen:
            lacking.append(str(one.shape))
        elif not seen[one.shape] and (one.observed or one.shape.target in guarded):
            lacking.append(f"{one.shape} (the worker reported it, but the gateway did not see it)")
    return lacking
