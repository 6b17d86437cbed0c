"""How far the pairs of each task may be counted: not beyond an event whose pairs are not there yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shadow.catalogue import ResolvedCatalogue
from shadow.gate.order import Frontier
from shadow.store.database import Connection

# Pairs and runs of an event are opened together, by whoever hands it over first; from then on the pair itself says that
# it is unresolved. A run's id begins with the time of its event's: that finds its partition. What is dead waits for a
# person; a pair that comes of it after all is the next to be counted then. OFFSET 0 has each row looked up by index:
# the queue is short, and the tables are not to be gone through.
_UNOPENED = b"""
WITH waiting AS MATERIALIZED (
    SELECT DISTINCT event_id FROM dispatches AS dispatch
    WHERE state <> 'dead' AND stage <> 'cancel' AND NOT EXISTS (
        SELECT FROM runs WHERE runs.event_id = dispatch.event_id
          AND runs.id >= (left(dispatch.event_id::text, 13) || '-0000-0000-000000000000')::uuid
          AND runs.id <= (left(dispatch.event_id::text, 13) || '-ffff-ffff-ffffffffffff')::uuid
        OFFSET 0)
)
SELECT event.name, event.task, min(event.starts_at)
FROM waiting, LATERAL (
    SELECT name, task, greatest(accepted_at, scheduled_at) AS starts_at FROM events
    WHERE events.id = waiting.event_id AND purpose = 'live' AND route IS NOT NULL OFFSET 0) AS event
GROUP BY event.name, event.task
"""
_NOW = b"SELECT coalesce(%s::timestamptz, clock_timestamp())"


@dataclass(frozen=True, slots=True)
class Frontiers:
    """Of every task."""

    now: datetime
    unopened: Mapping[str, datetime] = field(default_factory=dict)
    """Task -> the start of the oldest event whose pairs are not there yet."""

    def of(self, task: str) -> Frontier:
        return Frontier(self.now, self.unopened.get(task))


async def frontiers(connection: Connection, catalogue: ResolvedCatalogue, now: datetime | None = None) -> Frontiers:
    """How far one may count. To be read before the pairs are: what is accepted since lies beyond.

    Args:
        now: the database's clock by default.
    """
    row = await (await connection.execute(_NOW, (now,))).fetchone()
    assert row is not None
    unopened: dict[str, datetime] = {}
    for name, task, start in await (await connection.execute(_UNOPENED)).fetchall():
        for fed in catalogue.tasks_of_event(name):
            if task in (None, fed.id):
                unopened[fed.id] = min(start, unopened.get(fed.id, start))
    return Frontiers(row[0], unopened)
