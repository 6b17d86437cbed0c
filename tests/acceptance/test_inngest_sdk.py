"""The official Inngest SDKs, unmodified, against the door; what they are told resolves upstream."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from shadow.catalogue.model import Side
from shadow.fanout.loop import DeliveryLoop
from shadow.platforms.registry import adapters
from shadow.store.database import Database
from tests.acceptance.sdks import drive
from tests.integration.front.world import World, world_of

with warnings.catch_warnings():
    # Release 0.5.19 of the SDK defines a model in a style which pydantic 2.14 calls deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import inngest

GENERATIONS = ("inngest-4", "inngest-3")


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    """The listener, and the candidate's delivery loop."""
    async with world_of(database) as made:
        loop = DeliveryLoop(Side.CANDIDATE, made.catalogue, database, adapters(made.catalogue, made.services.http))
        await loop.start()
        yield made
        await loop.stop()


async def _upstream(world: World, identifier: str) -> dict[str, Any]:
    """The event that upstream knows by that id, asked for through the door."""
    async with asyncio.timeout(15):
        while True:
            # Its reads are cached by address, whatever they say.
            answer = await world.client.get(f"/v1/events/{identifier}", params={"n": str(time.monotonic())})
            body = answer.json()
            if isinstance(body.get("data"), dict):
                data: dict[str, Any] = body["data"]
                return data
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_the_javascript_sdk_gets_ids_that_resolve_upstream(world: World, generation: str) -> None:
    environment = {"INNGEST_EVENT_API_BASE_URL": world.url, "INNGEST_EVENT_KEY": "producer-key"}
    got = await drive("inngest.mjs", generation, environment)
    (one,) = got["one"]["ids"]
    second, third = got["many"]["ids"]
    assert (await _upstream(world, one))["data"]["requestId"] == "wd_1"
    sent = await _upstream(world, second)
    assert (sent["data"]["requestId"], sent["id"]) == ("wd_2", "evt-2")
    assert (await _upstream(world, third))["data"]["requestId"] == "wd_3"
    # the same id again is the same event
    assert got["again"]["ids"] == [second]
    assert len([event for event in world.inngest.events() if event.name == "payout/approved"]) == 3
    # errors are in words that the SDK passes on
    assert "payout/approved" in got["unknown"]["message"]
    assert "wrong" in got["wrong"]["message"].lower() or "key" in got["wrong"]["message"].lower()
    assert await world.count("events") == 3


@pytest.fixture
async def python(world: World) -> AsyncIterator[inngest.Inngest]:
    """The Python SDK's client."""
    client = inngest.Inngest(app_id="shop", event_api_base_url=world.url, event_key="producer-key", is_production=True)
    yield client
    # It leaves its connections open, which is an error in these tests.
    await client._http_client._http_client.aclose()
    client._http_client._http_client_sync.close()


async def test_the_python_sdk_gets_ids_that_resolve_upstream(world: World, python: inngest.Inngest) -> None:
    events = [
        inngest.Event(name="payout/approved", data={"requestId": "wd_1"}),
        inngest.Event(name="payout/approved", data={"requestId": "wd_2"}, id="evt-2"),
    ]
    first, second = await python.send(events)
    assert (await _upstream(world, first))["data"] == {"requestId": "wd_1"}
    assert (await _upstream(world, second))["id"] == "evt-2"
    assert (await python.send(events[1])) == [second]
    assert await world.count("events") == 2


async def test_the_python_sdk_is_told_what_is_wrong(world: World, python: inngest.Inngest) -> None:
    with pytest.raises(Exception, match="payout/approved"):
        await python.send(inngest.Event(name="payout/aproved", data={}))
    assert await world.count("events") == 0


async def test_upstream_may_be_read_through_the_door_by_any_client(world: World) -> None:
    async with httpx.AsyncClient(base_url=world.url) as client:
        assert (await client.get("/v1/events", params={"limit": "1"})).status_code == 200
