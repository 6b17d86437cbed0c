"""Whether legacy may run without authority where the candidate has it (`cutover.reverse`): its containment.

Legacy's workers were never made to be contained. What holds them is the gateway, so what they do must go through it,
name its run, and leave nothing behind that the gateway does not see. That is read from what they did while they had
authority, as strictly as for a second run of legacy (`replays/second_run.py`), over their newest runs. What was never
seen is not known; the move's audit is where a person answers for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from shadow.catalogue import ResolvedCatalogue, ResolvedTask, Route
from shadow.model.ids import first_id_at
from shadow.replays.second_run import why_task_is_not_run_twice
from shadow.store.database import Connection

_SPAN = timedelta(days=30)
_RUNS = 1_000
"""The newest runs of a task that are looked at."""
_MOST_NAMED = 5

_SEEN = b"""
SELECT coalesce(bool_or(effect.seen_by IN ('gateway', 'mail')), false),
       array_agg(DISTINCT effect.kind || ' ' || effect.target || '/' || effect.operation)
           FILTER (WHERE effect.seen_by NOT IN ('gateway', 'mail') AND effect.kind <> 'event'),
       array_agg(DISTINCT effect.operation) FILTER (WHERE effect.kind = 'event'),
       coalesce(bool_or(effect.seen_by IN ('gateway', 'mail') AND effect.attributed_by IN ('key', 'trace')), false)
FROM (SELECT id, side, platform_run_id FROM runs
      WHERE task = %s AND side = 'legacy' AND authority = 'real' AND id >= %s ORDER BY id DESC LIMIT %s) AS run
JOIN effects AS effect
  ON effect.run_id = run.id OR (effect.platform_run_id = run.platform_run_id AND effect.side = run.side)
"""
# What names no run at all would be taken for that of a run with authority.
_NAMELESS = b"""
SELECT name FROM events
WHERE id >= %s AND origin = 'legacy' AND parent_run IS NULL AND purpose = 'live' ORDER BY id DESC LIMIT 1
"""
_NAMELESS_SPAN = timedelta(days=1)


async def why_not_reversed(
    connection: Connection, catalogue: ResolvedCatalogue, route: Route, now: datetime | None = None
) -> str | None:
    """Why a run of legacy without authority could reach the world, as far as its runs show; None where none could."""
    moment = now or datetime.now(UTC)
    ahead, looked_at = list(route.tasks), set(route.tasks)
    while ahead:
        task = catalogue.tasks[ahead.pop(0)]
        why, started = await _shown(connection, catalogue, task, moment)
        if why is not None:
            return (
                f"legacy of task {task.id!r} is not contained, and cutover.reverse of {route.tasks[0]!r} has it run"
                f" without authority: {why}"
            )
        ahead.extend(sorted(started - looked_at))  # what it starts has no authority either
        looked_at |= started
    row = await (await connection.execute(_NAMELESS, (first_id_at(moment - _NAMELESS_SPAN),))).fetchone()
    if row is not None:
        return (
            f"cutover.reverse is not safe: a legacy run that does not name itself started others ({row[0]}), and what a"
            " run without authority starts like that would be taken for the work of one with authority"
        )
    return None


async def _shown(
    connection: Connection, catalogue: ResolvedCatalogue, task: ResolvedTask, now: datetime
) -> tuple[str | None, set[str]]:
    """Why a task's runs could reach the world, and the tasks that they start."""
    row = await (await connection.execute(_SEEN, (task.id, first_id_at(now - _SPAN), _RUNS))).fetchone()
    assert row is not None  # an aggregate
    seen, past, emitted, nameless = row
    started = {one.id for event in emitted or () for one in catalogue.tasks_of_event(event)}
    return _why_not(catalogue, task, seen, past, nameless), started


def _why_not(
    catalogue: ResolvedCatalogue, task: ResolvedTask, seen: bool, past: Sequence[str] | None, nameless: bool
) -> str | None:
    if task.world:
        return "it needs rows of its database (world), and legacy's is the real one"
    if why := why_task_is_not_run_twice(task):
        return why
    if any(catalogue.starts_by_forward(source, task) for source in task.sources):
        return "its run is what the app does with a forwarded webhook, which names no run"
    if past:
        return f"it did something past the gateway: {', '.join(past[:_MOST_NAMED])}"
    if not seen:
        return "nothing of it was seen at the gateway, which alone would contain it"
    if nameless:
        return "its calls do not name their run, so those without authority could not be told from the others"
    return None
