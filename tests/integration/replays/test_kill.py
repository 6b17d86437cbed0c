"""A process dies while it starts a replay: what was started runs and is told, and asking again starts all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shadow.replays.starting import start_replay
from shadow.reports import replays
from shadow.store.database import Database
from tests.dying import dies_at
from tests.integration.causes.chain import Chain
from tests.integration.replays import test_starting
from tests.integration.replays.test_starting import judged, signature_of, start


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[Chain]:
    async with test_starting.stage(database, tmp_path) as made:
        yield made


@pytest.mark.parametrize(("point", "events"), [("replays.repeated:2", 2), ("replays.started", 3)])
async def test_every_event_that_was_started_runs_once_without_authority(world: Chain, point: str, events: int) -> None:
    signature = await signature_of(world)
    legacy = world.legacy_runs()
    world.faults.clear()
    await dies_at(
        point,
        world.database.url,
        lambda mine: start_replay(mine, world.catalogue, signature, actor="ann", reason="fixed"),
    )
    (told,) = (await replays.newest(world.database.engine, task="first")).items
    assert told.pairs == events
    again = await judged(world, await start(world, signature))
    assert (again.pairs, again.cleared) == (3, 3)
    found = await replays.one(world.database.engine, told.id)
    assert found is not None
    assert (found.pending, found.cleared) == (0, events)
    assert world.legacy_runs() == legacy
    assert (await world.authorities())["first", "candidate", "real"] == 0
