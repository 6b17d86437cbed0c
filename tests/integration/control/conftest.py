"""The control API over a real database, spoken to in process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from api.control import ControlServices, control_app
from shadow.access.tokens import Scope, issue
from shadow.judge.loop import JudgeLoop
from shadow.store.database import Database
from tests.integration.judge.world import World


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture
def judge(world: World) -> JudgeLoop:
    return JudgeLoop(world.database, world.catalogue)


@pytest.fixture
def services(world: World) -> ControlServices:
    return ControlServices(world.database, world.catalogue, names=["control"])


@pytest.fixture
async def anonymous(services: ControlServices) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    transport = httpx.ASGITransport(control_app(services), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
        yield client


@pytest.fixture
async def client(anonymous: httpx.AsyncClient, world: World) -> httpx.AsyncClient:
    """A client who may read and operate."""
    secret, _token = await issue(world.database.engine, "tests", [Scope.READ, Scope.OPERATE])
    anonymous.headers["Authorization"] = f"Bearer {secret}"
    return anonymous
