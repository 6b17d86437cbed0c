"""Under 1,000 events with chains three deep, each side of a function in shadow runs exactly what a single side runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sandbox.trigger_dev import RateLimit
from shadow.cutover.decision import Phase
from shadow.store.database import Database, Work
from shadow.store.tables import metadata
from tests.integration.causes.chain import EVENTS, chain

EVENTS_SENT = 1000
UNLIMITED = RateLimit(burst=1_000_000)
"""3,000 runs a side are read one by one: the real quota would have that take two minutes a phase."""


@pytest.mark.slow
async def test_under_a_thousand_events_each_side_runs_what_it_runs_alone(database: Database, tmp_path: Path) -> None:
    alone = await _runs(database, tmp_path, Phase.LEGACY)
    assert alone == (dict.fromkeys(EVENTS, EVENTS_SENT), {})
    async with database.connection(Work.CONTROL) as connection:
        for table in metadata.tables:
            await connection.execute(f"TRUNCATE {table}".encode())
    assert await _runs(database, tmp_path, Phase.SHADOW) == (alone[0], alone[0])


async def _runs(database: Database, folder: Path, phase: Phase) -> tuple[Counter[str], Counter[str]]:
    """How often each platform ran each task, when it was in that phase."""
    async with chain(database, folder, legacy="straight", candidate="door", quota=UNLIMITED, deadline="10m") as world:
        await world.phases(dict.fromkeys(EVENTS, phase))
        for first in range(0, EVENTS_SENT, 100):
            await world.send(*range(first, first + 100))
        sides = 1 if phase is Phase.LEGACY else 2
        await world.settled(EVENTS_SENT * len(EVENTS) * sides, within=900)
        if phase is Phase.SHADOW:
            assert await world.verdicts() == {(task, "match"): EVENTS_SENT for task in EVENTS}
        return world.legacy_runs(), world.candidate_runs()
