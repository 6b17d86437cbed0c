"""Whether everything that was acknowledged has gone all the way: one pair an event, one verdict a pair, all counted."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from benchmarks.loop.traffic import EFFECTS

_FOUND = """
SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM pairs),
       (SELECT count(*) FROM pairs WHERE verdict IS NOT NULL AND due_at IS NULL),
       (SELECT count(*) FROM pairs WHERE verdict = 'match'),
       (SELECT count(*) FROM pairs WHERE counted IS NOT NULL), (SELECT count(*) FROM runs),
       (SELECT count(*) FROM runs WHERE state = 'finished' AND event_id IS NOT NULL), (SELECT count(*) FROM effects),
       (SELECT count(*) FROM dispatches), pg_database_size(current_database())
"""

_UNDER_WAY = """
SELECT EXISTS (SELECT FROM dispatches WHERE state <> 'dead')
    OR EXISTS (SELECT FROM pairs WHERE counted IS NULL AND starts_at IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What the database holds."""

    events: int
    pairs: int
    judged: int
    matches: int
    counted: int
    runs: int
    finished: int
    effects: int
    dispatches: int
    database_bytes: int

    def wrong(self, events: int) -> list[str]:
        """What does not add up, after that many events were acknowledged."""
        expected = {
            "events": events,
            "pairs": events,
            "judged": events,
            "matches": events,
            "counted": events,
            "runs": 2 * events,
            "finished": 2 * events,
            "effects": 2 * EFFECTS * events,
            "dispatches": 0,
        }
        return [
            f"{name}: {found}, not {count}"
            for name, count in expected.items()
            if (found := getattr(self, name)) != count
        ]


def find(connection: psycopg.Connection[tuple[int, ...]]) -> Found:
    """Count everything."""
    row = connection.execute(_FOUND).fetchone()
    assert row is not None
    return Found(*row)


def under_way(connection: psycopg.Connection[tuple[int, ...]]) -> bool:
    """Whether something that was accepted has still some way to go. Cheap: two looks into indexes."""
    row = connection.execute(_UNDER_WAY).fetchone()
    assert row is not None
    return bool(row[0])
