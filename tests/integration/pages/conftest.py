"""The pages over a database in which a migration is half way, looked at without a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from api.control import ControlServices, control_app
from shadow.access.tokens import Scope, issue
from shadow.store.database import Database
from tests.integration.pages.migration import Seeded, catalogue, seed

HOST = "http://control"


@pytest.fixture
async def seeded(database: Database) -> Seeded:
    return await seed(database)


@pytest.fixture
async def stranger(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that is not signed in."""
    async with browser(database) as client:
        yield client


@pytest.fixture
async def reader(stranger: httpx.AsyncClient, database: Database) -> httpx.AsyncClient:
    """One that may look."""
    await sign_in(stranger, await token(database, "bob", Scope.READ))
    return stranger


@pytest.fixture
async def operator(stranger: httpx.AsyncClient, database: Database) -> httpx.AsyncClient:
    """One that may act."""
    await sign_in(stranger, await token(database, "ann", *Scope))
    return stranger


def browser(database: Database) -> httpx.AsyncClient:
    app = control_app(ControlServices(database, catalogue()))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=HOST, headers={"Sec-Fetch-Site": "same-origin"})


async def token(database: Database, name: str, *scopes: Scope) -> str:
    secret, _ = await issue(database.engine, name, scopes)
    return secret


async def sign_in(client: httpx.AsyncClient, secret: str) -> None:
    answer = await client.post("/pages/sign-in", data={"token": secret})
    assert answer.status_code == 303, answer.text
