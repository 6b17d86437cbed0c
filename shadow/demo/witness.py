"""What the demo looks up beside the API: what became of calls, whether any of them leaked, and what starts later.

The targets' own books are the witness. A write in them that no run with authority made is a leak, whatever the gateway
says of itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from shadow.store.database import Database, Work

_DISPOSITIONS = """
SELECT run.task, effect.side, effect.disposition, count(*)
FROM effects AS effect JOIN runs AS run ON run.id = effect.run_id
WHERE effect.seen_by = 'gateway' GROUP BY 1, 2, 3
"""
_REAL_WRITES = """
SELECT effect.target, count(*)
FROM effects AS effect JOIN runs AS run ON run.id = effect.run_id
WHERE effect.seen_by = 'gateway' AND effect.disposition = 'forward' AND effect.writes AND run.authority = 'real'
  AND (effect.status IS NULL OR effect.status < 400)
GROUP BY 1
"""
_LEAKS = "SELECT coalesce(task, ''), count(*) FROM incidents WHERE kind = 'leak' GROUP BY 1"
_LATER = """
SELECT pair.task, count(*) FROM pairs AS pair JOIN events AS event ON event.id = pair.event_id
WHERE pair.verdict IS NULL AND event.scheduled_at > now() GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What was seen."""

    dispositions: Mapping[str, Mapping[str, Mapping[str, int]]]
    """Task -> side -> disposition -> calls."""
    leaks: Mapping[str, int]
    """Task -> leaks that Shadow noticed."""
    unexplained: int
    """Writes in the targets' books beyond those that runs with authority made."""
    writes: int
    """In the targets' books, all together."""

    @property
    def leaked(self) -> int:
        return max(sum(self.leaks.values()), self.unexplained)


async def later(database: Database) -> dict[str, int]:
    """Task -> pairs of children whose runs start on a later day."""
    async with database.connection(Work.CONTROL) as connection:
        return dict(await (await connection.execute(_LATER)).fetchall())


async def testimony(database: Database, stage_url: str) -> Witnessed:
    """Ask the ledger and the books."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        books: list[dict[str, Any]] = (await client.get(f"{stage_url}/books")).raise_for_status().json()["targets"]
    async with database.connection(Work.CONTROL) as connection:
        dispositions = await (await connection.execute(_DISPOSITIONS)).fetchall()
        real = dict(await (await connection.execute(_REAL_WRITES)).fetchall())
        leaks = dict(await (await connection.execute(_LEAKS)).fetchall())
    written = written_by_target(books)
    return Witnessed(
        _nested(dispositions),
        leaks,
        unexplained=sum(max(number - real.get(target, 0), 0) for target, number in written.items()),
        writes=written.total(),
    )


def written_by_target(books: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How many calls of each target changed the world."""
    return Counter(
        call["target"]
        for call in books
        if call["authorized"] and call["method"] != "GET" and call["status"] < 400 and not call["replayed"]
    )


def _nested(rows: Iterable[tuple[str, str, str, int]]) -> dict[str, dict[str, dict[str, int]]]:
    found: defaultdict[str, dict[str, dict[str, int]]] = defaultdict(dict)
    for task, side, disposition, number in rows:
        found[task].setdefault(side, {})[disposition] = number
    return dict(found)
