"""A stage for what follows a move."""

from __future__ import annotations

import pytest

from shadow.store.database import Database
from tests.integration.steering.stage import Stage


@pytest.fixture
def stage(database: Database) -> Stage:
    return Stage(database)
