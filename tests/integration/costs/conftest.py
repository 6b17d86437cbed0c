"""A stage for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shadow.store.database import Database
from tests.integration.fanout.stage import StageSet, stage


@pytest.fixture
async def world(database: Database) -> AsyncIterator[StageSet]:
    async with stage(database) as ready:
        yield ready
