"""A world whose pairs are counted."""

from __future__ import annotations

import pytest

from shadow.store.database import Database
from tests.integration.gate.world import World


@pytest.fixture
def world(database: Database) -> World:
    return World(database)
