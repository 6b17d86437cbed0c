"""Every pair that is a mismatch: by signature, what differs, what both runs did, and what was disturbed meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shadow.store.database import Database, Work

_PAIRS = b"""
SELECT pair.id, pair.task, pair.reason, pair.severity, pair.legacy_run, pair.candidate_run
FROM pairs AS pair WHERE pair.verdict = 'mismatch' ORDER BY pair.id
"""
_DIFFERENCES = b"""
SELECT pair_id, signature, kind, path, severity, sentence, legacy, candidate FROM differences
WHERE pair_id = ANY(%s) ORDER BY pair_id, ordinal
"""
_RUNS = b"""
SELECT id, side, authority, status, error_name, error_message, attempts, started_at, finished_at FROM runs
WHERE id = ANY(%s)
"""
_EFFECTS = b"""
SELECT run_id, attempt, target, operation, identity, disposition, status, occurred_at, answered_at, seen_by FROM effects
WHERE run_id = ANY(%s) ORDER BY run_id, received_at, sequence
"""


@dataclass(frozen=True, slots=True)
class Happened:
    """A disturbance, and when."""

    name: str
    since: datetime
    until: datetime


async def everything(database: Database, happened: list[Happened]) -> list[dict[str, Any]]:
    """All of it, a dictionary a pair."""
    async with database.connection(Work.CONTROL) as connection:
        pairs = await (await connection.execute(_PAIRS)).fetchall()
        runs = [run for pair in pairs for run in pair[4:6]]
        differences = await (await connection.execute(_DIFFERENCES, ([pair[0] for pair in pairs],))).fetchall()
        known = {row[0]: row for row in await (await connection.execute(_RUNS, (runs,))).fetchall()}
        effects = await (await connection.execute(_EFFECTS, (runs,))).fetchall()
    found = []
    for pair, task, reason, severity, legacy, candidate in pairs:
        both = [known[run] for run in (legacy, candidate) if run in known]
        since = min((row[7] for row in both if row[7]), default=None)
        until = max((row[8] for row in both if row[8]), default=None)
        found.append(
            {
                "pair": pair,
                "task": task,
                "reason": reason,
                "severity": severity,
                "differences": [row[1:] for row in differences if row[0] == pair],
                "runs": [[*row[1:], [effect[1:] for effect in effects if effect[0] == row[0]]] for row in both],
                "disturbed": [
                    (one.name, one.since, one.until)
                    for one in happened
                    if since and until and one.since <= until and one.until >= since
                ],
            }
        )
    return found
