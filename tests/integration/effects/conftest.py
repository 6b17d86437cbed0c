"""A world whose effects are seen, and a judge of it."""

from __future__ import annotations

import pytest

from shadow.judge.loop import JudgeLoop
from shadow.store.database import Database
from tests.integration.effects.world import SeenWorld


@pytest.fixture
def world(database: Database) -> SeenWorld:
    return SeenWorld(database)


@pytest.fixture
def judge(world: SeenWorld) -> JudgeLoop:
    return JudgeLoop(world.database, world.catalogue)
