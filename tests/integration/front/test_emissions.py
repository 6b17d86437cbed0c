"""What a worker emits is an effect of its run before the worker is told that it was taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from api.front.workers import Workers, unknown
from shadow.catalogue.model import Origin, Side
from shadow.intake.arrival import Arrival, Door, Receipt, Spot
from shadow.model.ids import new_id
from shadow.store.database import Database
from tests.integration.front.world import World, world_of

WORKER = unknown(Side.CANDIDATE)


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with world_of(database) as world:
        yield world


async def test_an_emission_that_is_still_on_its_way_to_the_database_is_to_come_again(world: World) -> None:
    """Its worker would go on, and the run be judged without it."""
    emitted = Arrival(
        source="app-events",
        door=Door.INNGEST,
        origin=Origin.CANDIDATE,
        name="review/email.scheduled",
        data=b'{"order":1}',
        dispatches=(),
    )
    (receipt,) = await world.services.intake.accept([emitted])
    gone = Receipt(new_id().bytes, "", duplicate=True)  # the event whose key it has was deleted since
    spooled = Receipt(new_id().bytes, "", duplicate=False, spooled=Spot("", None))
    workers = Workers(world.services)
    noted = await asyncio.gather(
        *(workers.note(WORKER, [receipt, another]) for another in (receipt, gone, spooled)), return_exceptions=True
    )
    assert noted[:2] == [None, None]
    assert isinstance(noted[2], psycopg.OperationalError)
    assert await world.rows("SELECT kind, operation FROM effects") == [("event", "review/email.scheduled")]
