"""The front listener on a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shadow.store.database import Database
from tests.integration.front.door import Door
from tests.integration.front.world import World, world_of


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with world_of(database) as made:
        yield made


@pytest.fixture
def door(world: World) -> Door:
    return Door(world)
