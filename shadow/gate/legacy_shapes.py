"""What legacy shows beside the pairs: the shapes of its runs that have no twin, those of the past included.

Before a task enters `shadow` nothing is judged, and what legacy did then must be compared all the same. So its runs
are read once, in the order in which they ended, from as far back as any gate asks for; a mark says how far.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from shadow.catalogue import ResolvedCatalogue
from shadow.judge.shapes_seen import ShapesSeen, Sighting, note_shapes, shapes_of
from shadow.model.ids import time_of
from shadow.model.json_text import parse
from shadow.store import codec
from shadow.store.database import Connection, Database, Work
from shadow.store.recurring import Recurring

BATCH = 500
EVERY_SECONDS = 5.0
SETTLED = timedelta(minutes=1)
"""How long ago a run must have ended, so that what it did is known."""

_BEGIN = """
INSERT INTO shape_marks (what, finished_at, run_id) VALUES ('legacy', %s, '00000000-0000-0000-0000-000000000000')
ON CONFLICT (what) DO NOTHING
"""
_MARK = "SELECT finished_at, run_id FROM shape_marks WHERE what = 'legacy' FOR UPDATE SKIP LOCKED"
_NEXT = """
SELECT id, task, event_id, finished_at, pair_id IS NULL FROM runs
WHERE side = 'legacy' AND finished_at >= %(at)s AND (finished_at, id) > (%(at)s, %(run)s) AND finished_at < %(until)s
ORDER BY finished_at, id LIMIT %(limit)s
"""
_DONE = """
SELECT run_id, kind, target, operation FROM effects WHERE run_id = ANY(%(ids)s) AND seen_by <> 'probe'
UNION
SELECT run.id, effects.kind, effects.target, effects.operation FROM runs AS run
JOIN effects ON effects.platform_run_id = run.platform_run_id AND effects.side = 'legacy' AND effects.run_id IS NULL
WHERE run.id = ANY(%(ids)s) AND effects.seen_by <> 'probe'
"""
_EVENTS = "SELECT id, content FROM bodies WHERE id = ANY(%s) AND part = 'evidence'"
_MOVE = "UPDATE shape_marks SET finished_at = %s, run_id = %s WHERE what = 'legacy'"


class LegacyShapes(Recurring):
    """A loop; any number of processes may run it, of which one at a time reads."""

    def __init__(
        self,
        database: Database,
        catalogue: ResolvedCatalogue,
        *,
        batch: int = BATCH,
        every: float = EVERY_SECONDS,
    ) -> None:
        super().__init__("gate-legacy-shapes", "gate.shapes_unread", rest_after_failure=every)
        self._database = database
        self._tasks = catalogue.tasks
        self._batch = batch
        self._every = every
        self._seen = ShapesSeen()

    async def once(self, now: datetime | None = None) -> int:
        """Read the next runs; how many there were."""
        moment = now or datetime.now(UTC)
        farthest = max((task.gate.coverage for task in self._tasks.values()), default=timedelta(0))
        async with self._database.connection(Work.GATE) as connection:
            await connection.execute(_BEGIN, (moment - farthest,))
            mark = await (await connection.execute(_MARK)).fetchone()
            if mark is None:
                return 0  # somebody else reads
            asked = {"at": mark[0], "run": mark[1], "until": moment - SETTLED, "limit": self._batch}
            runs = await (await connection.execute(_NEXT, asked)).fetchall()
            if not runs:
                return 0
            alone = [run for run in runs if run[4] and run[1] in self._tasks]
            if alone:
                await self._see(connection, alone)
                await note_shapes(connection, self._seen.taken())
            await connection.execute(_MOVE, (runs[-1][3], runs[-1][0]))
        return len(runs)

    async def _see(self, connection: Connection, runs: Sequence[tuple[Any, ...]]) -> None:
        done: dict[UUID, list[tuple[str, str, str]]] = {}
        for run, *what in await (await connection.execute(_DONE, {"ids": [run[0] for run in runs]})).fetchall():
            done.setdefault(run, []).append((what[0], what[1], what[2]))
        events = [run[2] for run in runs if run[2] is not None]
        bodies = dict(await (await connection.execute(_EVENTS, (events,))).fetchall())
        for run, task, event, _finished, _alone in runs:
            shapes = shapes_of(done.get(run, ()), _data(bodies.get(event)))
            self._seen.add(task, shapes, Sighting(time_of(run)))

    async def turn(self) -> float:
        # The past is read in peace: nobody waits for it.
        return self._every if await self.once() < self._batch else self._every / 10


def _data(stored: bytes | None) -> object:
    """The data of an event; None where they can't be read."""
    if stored is None or codec.is_sealed(stored):
        return None
    try:
        return parse(codec.decode(stored))
    except ValueError:
        return None
