"""Draining: what legacy still does with authority for events that were accepted before the candidate took over."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from shadow.catalogue import ResolvedCatalogue
from shadow.cutover.decision import Phase
from shadow.cutover.routing import read_standings
from shadow.model.ids import first_id_at, time_of
from shadow.store.database import Connection

EXAMPLES = 5
"""How many runs are named."""

_LAST = UUID(int=(1 << 128) - 1)
_RUNS = """
SELECT wanted.task, found.* FROM unnest(%(tasks)s::text[], %(bounds)s::uuid[]) AS wanted (task, bound)
CROSS JOIN LATERAL (
    SELECT count(*), count(*) FILTER (WHERE run.scheduled_at > now()),
           (array_agg(run.id ORDER BY run.id))[:%(examples)s]
    FROM runs AS run
    WHERE run.side = 'legacy' AND run.authority = 'real' AND run.state <> 'finished' AND run.task = wanted.task
      AND run.id < wanted.bound) AS found
"""
# An event that legacy was not handed yet has no run. Where a webhook is passed on, its dispatch names no task.
_DISPATCHES = """
SELECT wanted.task, count(*) FILTER (WHERE dispatch.state <> 'dead'), count(*) FILTER (WHERE dispatch.state = 'dead'),
       min(event.id::text)::uuid
FROM dispatches AS dispatch
JOIN events AS event ON event.id = dispatch.event_id
JOIN unnest(%(tasks)s::text[], %(routes)s::text[], %(bounds)s::uuid[]) AS wanted (task, route, bound)
  ON CASE WHEN dispatch.task IS NULL THEN event.route = wanted.route ELSE dispatch.task = wanted.task END
WHERE dispatch.side = 'legacy' AND dispatch.stage IN ('deliver', 'forward') AND event.authority = 'legacy'
  AND event.purpose = 'live' AND event.id < wanted.bound
  AND NOT EXISTS (SELECT FROM runs AS run
                  WHERE run.event_id = event.id AND run.task = wanted.task AND run.side = 'legacy')
GROUP BY wanted.task
"""


@dataclass(frozen=True, slots=True)
class Draining:
    """What of a task is still in flight on legacy."""

    task: str
    phase: Phase
    since: datetime | None
    """From when on the candidate has authority, or more of it; None where legacy has all of it, so nothing drains."""
    runs: int = 0
    """With authority, not finished; scheduled ones, too."""
    scheduled: int = 0
    """Of these: start later."""
    waiting: int = 0
    """Events on their way to legacy, which has no run of them yet."""
    dead: int = 0
    """Events that legacy would not take: dead letters, which stay until somebody sends them again."""
    oldest: datetime | None = None
    """When the oldest of their events was accepted."""
    examples: tuple[UUID, ...] = field(default=())
    """The oldest of the runs."""

    @property
    def left(self) -> int:
        """All that must be over before nothing is lost by switching legacy off."""
        return self.runs + self.waiting + self.dead


async def draining(connection: Connection, catalogue: ResolvedCatalogue, tasks: Collection[str]) -> dict[str, Draining]:
    """What is in flight of each of these tasks. A task whose route is in `legacy` or `shadow` has nothing to drain.

    In `ramp` these are the runs of events that were accepted before its last move, from `live` on all there are.
    """
    standings = await read_standings(connection)
    found = {task: Draining(task, Phase.LEGACY, None) for task in tasks}
    bounds: dict[str, UUID] = {}
    for task in found:
        standing = standings.get(task)
        if standing is None or standing.phase in (Phase.LEGACY, Phase.SHADOW):
            found[task] = Draining(task, standing.phase if standing else Phase.LEGACY, None)
            continue
        found[task] = Draining(task, standing.phase, standing.effective_at)
        # What stays with legacy during a ramp is none of it; after that whatever has authority there is left over.
        bounds[task] = first_id_at(standing.effective_at) if standing.phase is Phase.RAMP else _LAST
    if not bounds:
        return found
    asked = {
        "tasks": list(bounds),
        "examples": EXAMPLES,
        "bounds": list(bounds.values()),
        "routes": [catalogue.tasks[task].route if task in catalogue.tasks else None for task in bounds],
    }
    runs = {row[0]: row[1:] for row in await (await connection.execute(_RUNS, asked)).fetchall()}
    queued = {row[0]: row[1:] for row in await (await connection.execute(_DISPATCHES, asked)).fetchall()}
    for task in bounds:
        number, scheduled, examples = runs[task]
        waiting, dead, first = queued.get(task, (0, 0, None))
        oldest = min((one for one in (*(examples or ())[:1], first) if one is not None), default=None)
        found[task] = Draining(
            task,
            found[task].phase,
            found[task].since,
            runs=number,
            scheduled=scheduled,
            waiting=waiting,
            dead=dead,
            oldest=None if oldest is None else time_of(oldest),
            examples=tuple(examples or ()),
        )
    return found
