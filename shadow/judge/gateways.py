"""When gateways were missing while the runs of a batch were under way: one query, of a table with a row a start."""

from __future__ import annotations

from collections.abc import Sequence

from shadow.judge.absence import LONGEST, LONGEST_WITHOUT, Absence, Stay, UnderWay, absences
from shadow.judge.facts import PairFacts
from shadow.model.ids import time_of
from shadow.store.database import Connection

_STAYS = """
SELECT since, seen_at, closed_at, left_at, statement_timestamp() FROM gateways
WHERE seen_at >= %(since)s AND since <= %(until)s
"""


async def load_absences(connection: Connection, facts: Sequence[PairFacts], *, heard: bool) -> list[Absence]:
    """Those that concern the runs of these pairs.

    Args:
        heard: whether a gateway that is there could have said so of late.
    """
    runs = [run for fact in facts for run in under_way(fact)]
    if not runs:
        return []
    asked = {
        "since": min(run.since for run in runs) - LONGEST_WITHOUT,
        "until": max(run.until for run in runs) + LONGEST,
    }
    rows = await (await connection.execute(_STAYS, asked, binary=True)).fetchall()
    return absences([Stay(*row[:4]) for row in rows], rows[0][4], heard=heard) if rows else []


def under_way(fact: PairFacts) -> list[UnderWay]:
    """From when to when the runs of a pair were, further ones included; none while one side has not ended."""
    if fact.legacy is None or fact.candidate is None:
        return []
    return [UnderWay(run.side.value, run.started_at or time_of(run.id), run.finished_at) for run in fact.runs]
