"""The official Trigger.dev SDKs of three generations, unmodified, against the door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from shadow.cutover.decision import Phase
from shadow.fanout.offloaded import OffloadedPayloads
from shadow.platforms.registry import adapters
from shadow.store.database import Database
from tests.acceptance.sdks import drive
from tests.integration.front.world import PRODUCER, WORKER, World, world_of
from tests.integration.originals import originals

GENERATIONS = ("trigger-4.5", "trigger-4.0", "trigger-3.3")


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with world_of(database) as made:
        yield made


async def _settled(world: World, count: int = 7) -> None:
    """Wait for the runs of a two-phase batch, which the platform makes after its answer."""
    async with asyncio.timeout(10):
        while True:
            if len(world.trigger.runs()) >= count:
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_producers_notice_nothing_and_every_run_is_recorded(world: World, generation: str) -> None:
    got = await drive("trigger.mjs", generation, {"TRIGGER_API_URL": world.url, "TRIGGER_SECRET_KEY": PRODUCER})
    await _settled(world)
    records = {record.id: record for record in world.trigger.runs()}

    # tasks.trigger gives the true run, and runs.retrieve reads it through the door
    first = records[got["trigger"]["id"]]
    assert got["trigger"]["status"] == "COMPLETED"
    assert got["trigger"]["token"] == "string"
    assert got["trigger"]["output"]["said"]["name"] == "sdk"
    assert first.tags == ("t",)

    # idempotency keys hold, and a cached answer is no second event
    assert got["cached"]["first"] == got["cached"]["second"]

    # what was delayed was rescheduled and cancelled
    delayed = got["delayed"]
    assert delayed["id"] == delayed["rescheduled"] == delayed["cancelled"]
    assert delayed["status"] == "CANCELED"
    assert got["replayed"]["id"] in records

    # an unknown task is refused in words that the SDK passes on
    assert got["unknown"]["status"] == 404
    assert "nobody" in got["unknown"]["message"]

    # triggers: sdk, text, order-1, two of the batch, delayed
    data = await world.rows("SELECT events.id FROM events")
    assert len(data) == 6
    batched = {record.id for record in records.values() if record.batch_id == got["batch"]["id"]}
    assert len(batched) == 2
    unnamed = {record.idempotency_key for record in records.values() if record.id in batched}
    assert None not in unnamed
    await _all_are_known(world, set(records), batched)
    assert await world.rows("SELECT count(*) FROM pairs WHERE incomparable = 'changed_by_producer'") == [(1,)]
    # Dates and Sets reach the candidate as plain JSON
    assert await _data_of(world, got["trigger"]["id"]) == {
        "name": "sdk",
        "at": "1970-01-01T00:00:00.000Z",
        "tags": ["a"],
    }


async def _all_are_known(world: World, runs: set[str], batched: set[str]) -> None:
    """Every run of the platform is known: by its id, or by its key where the answer named no id."""
    aliases = {alias for (alias,) in await world.rows("SELECT alias FROM run_aliases")}
    keys = {record.id: f"key:hello:{record.idempotency_key}" for record in world.trigger.runs()}
    assert {run for run in runs if run not in aliases and keys[run] not in aliases} == set()
    assert {run for run in runs if run not in aliases} <= batched


async def _data_of(world: World, run: str) -> Any:
    stored = await world.rows(
        "SELECT bodies.id, part, content FROM bodies JOIN runs ON event_id = bodies.id"
        " WHERE part = 'data' AND platform_run_id = %s",
        run,
    )
    (content,) = await world.database.vault.open(stored)
    assert isinstance(content, bytes)
    return orjson.loads(content)


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_an_answer_that_is_lost_on_the_way_starts_no_second_run(world: World, generation: str) -> None:
    world.trigger.traps.lose_responses = 1
    world.trigger.traps.lose_as = "close"
    got = await drive("trigger.mjs", generation, {"TRIGGER_API_URL": world.url, "TRIGGER_SECRET_KEY": PRODUCER})
    await _settled(world)
    said = [record for record in world.trigger.runs() if record.tags == ("t",)]
    # the run that was started, and its replay
    assert {record.id for record in said} == {got["trigger"]["id"], got["replayed"]["id"]}
    assert await world.count("events") == 6


async def test_payloads_that_the_sdk_offloads_reach_the_candidate_as_they_were_sent(world: World) -> None:
    got = await drive(
        "trigger-large.mjs", "trigger-4.5", {"TRIGGER_API_URL": world.url, "TRIGGER_SECRET_KEY": PRODUCER}
    )
    await _settled(world, 3)
    waiting = "SELECT count(*) FROM dispatches WHERE stage = 'map' AND state = 'due'"
    assert await world.rows(waiting) == [(2,)]  # of the batch only the large item is offloaded
    known = adapters(world.catalogue, world.services.http)
    assert await OffloadedPayloads(world.database, world.catalogue, known, asyncio.Event()).once() == 2
    assert await world.rows("SELECT count(*) FROM dispatches WHERE stage = 'deliver' AND state = 'due'") == [(3,)]
    assert await _data_of(world, got["alone"]) == {
        "tenantId": "acme",
        "at": "1970-01-01T00:00:00.000Z",
        "text": "x" * 200 * 1024,
    }
    data = [orjson.loads(content) for content in (await originals(world.database, "data")).values()]
    assert sorted(item["n"] for item in data if "n" in item) == [1, 2]
    assert sorted(len(item.get("text", "")) for item in data) == [0, 200 * 1024, 200 * 1024]


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_batch_of_a_run_is_split_between_the_platforms_and_the_sdk_gets_one(
    world: World, generation: str
) -> None:
    world.routing.phase = Phase.LEGACY
    parent = (await world.trigger_call(body={"payload": {"n": 99}})).json()["id"]
    world.routing.of["fails"] = Phase.LIVE
    environment = {
        "TRIGGER_API_URL": world.url,
        "TRIGGER_SECRET_KEY": WORKER,
        "PARENT": parent,
        # SDK 3 says only that it is inside a task; which run it is the client package says.
        "HEADERS": orjson.dumps({"x-shadow-run": parent} if generation == "trigger-3.3" else {}).decode(),
    }
    got = await drive("trigger-batches.mjs", generation, environment)
    await world.trigger.settled()
    assert sorted(run.payload["n"] for run in world.trigger.runs() if run.id != parent) == [0, 2]
    bridged = await world.rows("SELECT task, authority FROM events WHERE sides = ARRAY['candidate']")
    assert bridged == [("fails", "candidate")] * 2
    assert got["mixed"]["token"] == got["moved"]["token"] == "string"
    assert (got["read"]["count"], len(got["read"]["runs"])) == (3, 3)
    assert got["run"]["task"] == "fails"
    assert (got["run"]["status"], got["run"]["payload"]) == ("QUEUED", {"n": 1})
    assert got["refused"]["status"] == 503
    assert "waits for its result" in got["refused"]["message"]
