"""A world whose gates are looked at."""

from __future__ import annotations

import pytest

from shadow.judge.loop import JudgeLoop
from shadow.store.database import Database
from tests.integration.judge.world import World


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture
def judge(world: World) -> JudgeLoop:
    """A judge that is not started: tests take its steps."""
    return JudgeLoop(world.database, world.catalogue)
