"""Listeners over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from api import connection
from tests.unit.api.listening import Directly, Serving, served


@pytest.fixture
async def serving() -> AsyncIterator[Serving]:
    async with served(Serving()) as made:
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.05)


@pytest.fixture
async def directly() -> AsyncIterator[Directly]:
    async with served(Directly()) as made:
        assert isinstance(made, Directly)
        yield made
