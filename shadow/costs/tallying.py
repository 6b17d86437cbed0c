"""What runs used up is tallied: by task, side, platform, purpose and day, by delta.

Whoever finishes a run writes, in the same statement, by how much the tallies shall change (`cost_changes`); the loop
counts that and deletes it, in one transaction. So nothing is counted twice or lost, whoever is killed when, and no
report scans runs.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from uuid import UUID

from shadow.costs.usage import UNSOLICITED, Usage
from shadow.store.database import Connection, Database, Work
from shadow.store.recurring import Recurring

BATCH = 2000
EVERY_SECONDS = 2.0

_TAKE = b"""
DELETE FROM cost_changes WHERE id IN (SELECT id FROM cost_changes ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING event_id, task, side, platform, day, runs, priced, cents, told, executions
"""
_PURPOSES = b"SELECT id, purpose FROM events WHERE id = ANY(%s::uuid[])"
_COUNT = b"""
INSERT INTO cost_tallies AS known (task, side, platform, purpose, day, runs, priced, cents, told, executions)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::date[],
                     %s::bigint[], %s::bigint[], %s::float8[], %s::bigint[], %s::bigint[])
    AS delta (task, side, platform, purpose, day, runs, priced, cents, told, executions)
ORDER BY task, side, platform, purpose, day
ON CONFLICT (task, side, platform, purpose, day) DO UPDATE
SET runs = known.runs + excluded.runs, priced = known.priced + excluded.priced, cents = known.cents + excluded.cents,
    told = known.told + excluded.told, executions = known.executions + excluded.executions
"""

_Key = tuple[str, str, str, str, date]
"""Task, side, platform, purpose and day."""


async def count_changes(connection: Connection, batch: int = BATCH) -> int:
    """Count the oldest changes, in the connection's transaction; returns how many that were."""
    changes = await (await connection.execute(_TAKE, (batch,))).fetchall()
    if not changes:
        return 0
    events = sorted({change[0] for change in changes if change[0] is not None})
    cursor = await connection.execute(_PURPOSES, (events,))
    purposes: dict[UUID, str] = {row[0]: row[1] for row in await cursor.fetchall()}
    deltas: defaultdict[_Key, Usage] = defaultdict(Usage)
    for event, task, side, platform, day, *used in changes:
        deltas[task, side, platform, purposes.get(event, UNSOLICITED), day] += Usage(*used)
    rows = [(*key, *used.figures) for key, used in sorted(deltas.items()) if used != Usage()]
    if rows:
        await connection.execute(_COUNT, [list(column) for column in zip(*rows, strict=True)])
    return len(changes)


class CostLoop(Recurring):
    """Counts what has changed; any number of processes may run it."""

    def __init__(self, database: Database, *, every: float = EVERY_SECONDS, batch: int = BATCH) -> None:
        super().__init__("costs", "costs.uncounted", rest_after_failure=every)
        self._database = database
        self._every = every
        self._batch = batch

    async def once(self) -> int:
        """Count all that there is; returns how many changes that were."""
        counted = 0
        while True:
            async with self._database.connection(Work.CONTROL) as connection:
                found = await count_changes(connection, self._batch)
            counted += found
            if found < self._batch:
                return counted

    async def turn(self) -> float:
        await self.once()
        return self._every
