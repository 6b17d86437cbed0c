"""A process dies when it has just learned of a tick: whoever is told of it again makes no second event of it."""

from __future__ import annotations

import pytest

from shadow.cutover.decision import Phase
from shadow.store.database import Database
from tests.dying import dies_at
from tests.integration.ticks.clock import FIVE, NOON, Clock


@pytest.mark.parametrize("point", ["ticks.recording", "ticks.recorded"])
async def test_a_tick_becomes_one_event_and_one_run_with_authority(database: Database, point: str) -> None:
    clock = Clock(database)
    await clock.moved(Phase.LIVE, NOON - FIVE)
    await dies_at(point, database.url, lambda mine: Clock(mine).candidate("01CRON", NOON))
    assert len(await clock.rows("SELECT FROM events")) == (point == "ticks.recorded")
    for _ in range(2):  # Inngest tells what was not acknowledged again, and the reconciler finds it too
        await clock.candidate("01CRON", NOON)
    await clock.legacy("run_1", NOON)
    assert await clock.authorities() == {"01CRON": "real", "run_1": "none"}
    assert len(await clock.rows("SELECT FROM runs WHERE platform_run_id = '01CRON'")) == 1
    assert await clock.ticks() == [(NOON, "", "candidate", 1, 1, False, False)]
