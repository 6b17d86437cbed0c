"""What keeps two ledgers from being taken as complete: effects that may be a run's, and times when nobody looked.

Neither hides a difference that is found all the same. Which targets a task has effects on is learned from the
ledgers that are judged; a task of which nothing is known yet may have had any effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shadow.effects.record import CLOCKS_DIFFER
from shadow.model.ids import time_of
from shadow.store.database import Connection

_MAY_BE = """
(EXISTS (SELECT FROM task_targets WHERE task_targets.task = run.task AND task_targets.target = {0}.target)
 OR NOT EXISTS (SELECT FROM task_targets WHERE task_targets.target = {0}.target)
 OR NOT EXISTS (SELECT FROM task_targets WHERE task_targets.task = run.task))
"""
_RUNS = """
unnest(%(id)s::uuid[], %(side)s::text[], %(task)s::text[], %(since)s::timestamptz[], %(until)s::timestamptz[])
    AS run (id, side, task, since, until)
"""
_UNATTRIBUTED = f"""
SELECT run.id, effect.operation || ' at ' || effect.target, count(*)
FROM {_RUNS} JOIN effects AS effect ON effect.side = run.side
WHERE effect.run_id IS NULL AND effect.platform_run_id IS NULL AND effect.received_at >= run.since
  AND coalesce(effect.occurred_at, effect.received_at) BETWEEN run.since AND run.until
  AND CASE WHEN effect.suspects IS NULL THEN {_MAY_BE.format("effect")} ELSE run.id = ANY (effect.suspects) END
GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2
"""  # noqa: S608  # of constants
_BLIND = f"""
SELECT run.id, spot.reason FROM {_RUNS} JOIN blind_spots AS spot ON spot.side = run.side
WHERE spot.since <= run.until AND (spot.until IS NULL OR spot.until >= run.since) AND {_MAY_BE.format("spot")}
ORDER BY spot.since
"""  # noqa: S608  # of constants
_ANY = """
SELECT EXISTS (SELECT FROM effects WHERE run_id IS NULL AND platform_run_id IS NULL
               AND side IN ('legacy', 'candidate') AND received_at >= %(since)s),
       EXISTS (SELECT FROM blind_spots WHERE since <= %(until)s AND (until IS NULL OR until >= %(since)s))
"""
_NOTE = """
INSERT INTO task_targets (task, target) SELECT * FROM unnest(%s::text[], %s::text[]) ORDER BY 1, 2
ON CONFLICT (task, target) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Watched:
    """A run that has ended, of a pair that may be judged."""

    id: UUID
    side: str
    task: str
    started_at: datetime | None
    finished_at: datetime


async def load_doubts(connection: Connection, runs: Sequence[Watched]) -> dict[UUID, str]:
    """By run, why its ledger may not be complete: one query, and two more where there is anything to doubt at all."""
    if not runs:
        return {}
    earliest = min(run.started_at or time_of(run.id) for run in runs) - CLOCKS_DIFFER
    latest = max(run.finished_at for run in runs) + CLOCKS_DIFFER
    anything = await (await connection.execute(_ANY, {"since": earliest, "until": latest})).fetchone()
    if anything is None or not any(anything):
        return {}
    asked = {
        "id": [run.id for run in runs],
        "side": [run.side for run in runs],
        "task": [run.task for run in runs],
        "since": [(run.started_at or time_of(run.id)) - CLOCKS_DIFFER for run in runs],
        "until": [run.finished_at + CLOCKS_DIFFER for run in runs],
    }
    cursor = await connection.execute(_UNATTRIBUTED, asked)
    unattributed: dict[UUID, dict[str, int]] = {}
    for run, what, count in await cursor.fetchall():
        unattributed.setdefault(run, {})[what] = count
    sides = {run.id: run.side for run in runs}
    doubts = {run: _unattributed(sides[run], counts) for run, counts in unattributed.items()}
    cursor = await connection.execute(_BLIND, asked)
    for run, reason in await cursor.fetchall():
        doubts.setdefault(run, f"unseen_effects: {reason}")
    return doubts


def _unattributed(side: str, counts: Mapping[str, int]) -> str:
    number = sum(counts.values())
    effects = "1 effect" if number == 1 else f"{number} effects"
    named = ", ".join(list(counts)[:3]) + (", ..." if len(counts) > 3 else "")
    return f"unattributed_effect: {effects} on {side} may be of this run ({named})"


async def note_targets(connection: Connection, seen: Sequence[tuple[str, str]]) -> None:
    """Keep that runs of these tasks had effects on these targets."""
    await connection.execute(_NOTE, [list(column) for column in zip(*seen, strict=True)])
