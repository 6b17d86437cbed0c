"""A process dies while it tells people: they hear of everything, at most once more than once, under one id."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shadow.notices.delivering import NoticeLoop
from shadow.store.database import Database
from tests.dying import dies_at
from tests.integration.notices.receiver import receiving
from tests.integration.notices.test_delivering import OPENED, World, turned


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with receiving() as (receiver, url):
        yield World(database, receiver, url)


@pytest.mark.parametrize(("point", "heard"), [("notices.fanned", 0), ("notices.sent", 1)])
async def test_a_notice_is_sent_again_under_its_id_by_whoever_finds_its_lease_over(
    world: World, point: str, heard: int
) -> None:
    catalogue = world.catalogue(ops={})
    await world.tell(OPENED)

    async def tell(database: Database) -> None:
        loop = NoticeLoop(database, catalogue)
        await loop.fan_out()
        await loop.send_due("ops")

    await dies_at(point, world.database.url, tell)
    assert len(world.receiver.messages) == heard
    assert [delivery[2] for delivery in await world.deliveries()] == [False]
    if heard:  # its lease lasts: nobody else sends it meanwhile
        await turned(world, catalogue)
        assert len(world.receiver.messages) == heard
    await world.execute("UPDATE notice_deliveries SET due_at = now() - interval '1 second'")
    await turned(world, catalogue, rounds=3)
    assert len(world.receiver.messages) == heard + 1
    assert len({headers["webhook-id"] for headers in world.receiver.headers}) == 1
    assert [delivery[2] for delivery in await world.deliveries()] == [True]
