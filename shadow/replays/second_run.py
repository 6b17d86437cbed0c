"""Whether legacy may run an event a second time: what is on record of its first run, read as strictly as can be.

The egress gateway contains what goes through it and nothing else. So the first run must have been seen there, and
neither it nor anything that may have been its doing past it. What it started would be started again, by tasks that
nobody looked at, and an emission that does not name its run is taken for one of a run with authority: so it must have
started nothing.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from shadow.catalogue import ResolvedTask
from shadow.effects.record import CLOCKS_DIFFER
from shadow.model.ids import first_id_at
from shadow.store.database import Connection

_MOST_NAMED = 5

_SEEN = b"""
SELECT coalesce(bool_or(effect.seen_by IN ('gateway', 'mail')), false),
       array_agg(DISTINCT effect.kind || ' ' || effect.target || '/' || effect.operation)
           FILTER (WHERE effect.seen_by NOT IN ('gateway', 'mail') AND effect.kind <> 'event'),
       array_agg(DISTINCT effect.operation) FILTER (WHERE effect.kind = 'event'),
       coalesce(bool_or(effect.seen_by IN ('gateway', 'mail') AND effect.attributed_by IN ('key', 'trace')), false)
FROM runs AS run JOIN effects AS effect
  ON effect.run_id = run.id OR (effect.platform_run_id = run.platform_run_id AND effect.side = run.side)
WHERE run.id = %s
"""
_STARTED = b"SELECT name FROM events WHERE parent_run = %s ORDER BY id LIMIT 1"
_TIMES = b"SELECT started_at, finished_at FROM runs WHERE id = %s"
# What names no run at all may be of any that was under way.
_NOBODYS_EVENTS = b"""
SELECT name FROM events WHERE id >= %s AND id < %s AND origin = 'legacy' AND parent_run IS NULL ORDER BY id LIMIT 1
"""
_NOBODYS_EFFECTS = b"""
SELECT kind || ' ' || target || '/' || operation FROM effects
WHERE side = 'legacy' AND run_id IS NULL AND platform_run_id IS NULL
  AND coalesce(occurred_at, received_at) BETWEEN %s AND %s AND received_at >= %s
  AND seen_by NOT IN ('gateway', 'mail') AND (suspects IS NULL OR %s = ANY(suspects))
ORDER BY id LIMIT 1
"""


def why_task_is_not_run_twice(task: ResolvedTask) -> str | None:
    """Why no event of that task may be run by legacy a second time."""
    if task.probes:
        names = ", ".join(probe.name for probe in task.probes[:_MOST_NAMED])
        return (
            f"probes ({names}) read what a run of {task.id} leaves behind: what a second one leaves could be in the"
            " world, and what the gateway contains would not be found"
        )
    return None


async def why_event_is_not_run_twice(connection: Connection, run: UUID, accepted_at: datetime) -> str | None:
    """Why a second run of legacy could reach the world, as far as its first one shows.

    Args:
        run: legacy's run on record.
        accepted_at: when its event was.
    """
    row = await (await connection.execute(_SEEN, (run,))).fetchone()
    assert row is not None
    seen, past, emitted, nameless = row
    if past:
        return f"legacy's run did something past the gateway: {', '.join(past[:_MOST_NAMED])}"
    if emitted:
        return f"legacy's run started others, which would run again too: {', '.join(emitted[:_MOST_NAMED])}"
    if (child := await (await connection.execute(_STARTED, (run,))).fetchone()) is not None:
        return f"legacy's run started others, which would run again too: {child[0]}"
    if not seen:
        return "nothing of legacy's run was seen at the gateway, which alone would contain a second one"
    if nameless:
        # A call that could be of either is nobody's and refused, also one of a run with authority; and what a second
        # run emits, should it take another way than the first, would be taken for that of one with authority.
        return "legacy's calls do not name their run: what a second one does could not be told from what live ones do"
    return await _maybe_its(connection, run, accepted_at)


async def _maybe_its(connection: Connection, run: UUID, accepted_at: datetime) -> str | None:
    """What happened while it was under way and is nobody's."""
    row = await (await connection.execute(_TIMES, (run,))).fetchone()
    if row is None or row[1] is None:
        return "it is not known when legacy's run ended"
    began, ended = min(row[0] or accepted_at, accepted_at) - CLOCKS_DIFFER, row[1] + CLOCKS_DIFFER
    event = await (await connection.execute(_NOBODYS_EVENTS, (first_id_at(began), first_id_at(ended)))).fetchone()
    if event is not None:
        return f"meanwhile a legacy run that is not known started others, and it may have been this one: {event[0]}"
    effect = await (await connection.execute(_NOBODYS_EFFECTS, (began, ended, began, run))).fetchone()
    if effect is not None:
        return f"meanwhile something was done past the gateway, and it may have been this run: {effect[0]}"
    return None
