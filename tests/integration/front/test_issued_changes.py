"""What clients do to runs that were issued: cancel, reschedule, replay, tags, metadata, and freeing a key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase, Ramp
from shadow.fanout.loop import DeliveryLoop
from shadow.intake.trigger_arrival import LONGEST_REST
from shadow.model.moments import moment
from shadow.platforms.registry import adapters
from tests.integration.front.door import Door
from tests.integration.front.world import KEY

DELAYED = {"payload": {"n": 1}, "options": {"delay": "1h"}}


@pytest.fixture(autouse=True)
def _live(door: Door) -> None:
    door.world.routing.phase = Phase.LIVE


async def test_a_delayed_run_rests_here_until_it_starts(door: Door) -> None:
    run = (await door.trigger(DELAYED))["id"]
    read = await door.read(run)
    assert (read["status"], read["isQueued"]) == ("DELAYED", True)
    ((rests, until),) = await door.world.rows("SELECT due_at - now(), due_at FROM dispatches")
    assert timedelta(minutes=59) < rests <= timedelta(hours=1)
    assert abs(until - moment(read["delayedUntil"])) < timedelta(seconds=1)


async def test_a_long_delay_is_looked_at_in_between(door: Door) -> None:
    await door.trigger({"options": {"delay": "60d"}})
    ((rests,),) = await door.world.rows("SELECT due_at - now() FROM dispatches")
    assert rests <= LONGEST_REST


async def test_a_run_that_has_not_started_is_cancelled_here(door: Door) -> None:
    run = (await door.trigger(DELAYED))["id"]
    assert (await door.post(f"/api/v2/runs/{run}/cancel")).json() == {"id": run}
    read = await door.read(run)
    assert (read["status"], read["isCancelled"], read["isCompleted"]) == ("CANCELED", True, True)
    assert await door.candidates() == []
    # again, and later, nothing happens any more
    assert (await door.post(f"/api/v2/runs/{run}/cancel")).json() == {"id": run}
    assert await door.candidates() == []
    assert (await door.post(f"/api/v1/runs/{run}/reschedule", {"delay": "2h"})).status_code == 400


async def test_a_run_that_the_candidates_platform_has_is_cancelled_there(door: Door) -> None:
    run = (await door.trigger())["id"]
    await door.handed_over(run)
    for _ in range(2):
        assert (await door.post(f"/api/v2/runs/{run}/cancel")).json() == {"id": run}
    assert await door.candidates() == [("due", "cancel")]


async def test_what_is_being_handed_over_is_waited_for(door: Door) -> None:
    run = (await door.trigger())["id"]
    lease = "UPDATE dispatches SET lease = gen_random_uuid(), due_at = now() + interval '1 minute', attempts = 1"
    await door.world.rows(f"{lease} RETURNING id")
    cancelling = asyncio.create_task(door.post(f"/api/v2/runs/{run}/cancel"))
    await asyncio.sleep(0.1)
    await door.handed_over(run)
    assert (await cancelling).status_code == 200
    assert await door.candidates() == [("due", "cancel")]


async def test_a_delayed_run_is_moved_and_keeps_its_id(door: Door) -> None:
    run = (await door.trigger(DELAYED))["id"]
    moved = await door.post(f"/api/v1/runs/{run}/reschedule", {"delay": "3h"})
    assert (moved.status_code, moved.json()["id"], moved.json()["status"]) == (200, run, "DELAYED")
    ((rests,),) = await door.world.rows("SELECT due_at - now() FROM dispatches")
    assert timedelta(hours=2, minutes=59) < rests <= timedelta(hours=3)
    at = datetime.now(UTC) + timedelta(minutes=5)
    moved = await door.post(f"/api/v1/runs/{run}/reschedule", {"delay": at.isoformat()})
    assert abs(moment(moved.json()["delayedUntil"]) - at) < timedelta(milliseconds=1)  # type: ignore[operator]


@pytest.mark.parametrize("body", [{"delay": "soon"}, {"delay": None}, {}])
async def test_a_start_that_nobody_understands_changes_nothing(door: Door, body: Any) -> None:
    run = (await door.trigger(DELAYED))["id"]
    assert (await door.post(f"/api/v1/runs/{run}/reschedule", body)).status_code == 400
    assert (await door.read(run))["status"] == "DELAYED"


async def test_a_run_that_is_not_delayed_is_not_moved(door: Door) -> None:
    run = (await door.trigger())["id"]
    refused = await door.post(f"/api/v1/runs/{run}/reschedule", {"delay": "1h"})
    assert (refused.status_code, refused.json()["error"]) == (400, "Cannot reschedule a run that is not delayed")


async def test_a_run_that_has_not_started_in_its_time_expires(door: Door) -> None:
    late = (await door.trigger({"options": {"ttl": "10m"}}))["id"]
    delayed = (await door.trigger({"options": {"ttl": "10m", "delay": "1h"}}))["id"]
    early = (await door.trigger({"options": {"ttl": "1h"}}))["id"]
    await door.world.rows("UPDATE events SET accepted_at = accepted_at - interval '20 minutes' RETURNING id")
    known = adapters(door.world.catalogue, door.world.services.http)
    loop = DeliveryLoop(Side.CANDIDATE, door.world.catalogue, door.world.database, known)
    await loop.start()
    try:
        await _until(door.candidates, 1)
    finally:
        await loop.stop()
    statuses = [(await door.read(run))["status"] for run in (late, delayed)]
    assert statuses == ["EXPIRED", "DELAYED"]
    assert "expiredAt" in await door.read(late)
    assert len(door.world.inngest.events()) == 1  # of the one that came in time
    assert (await door.read(early))["status"] != "EXPIRED"


async def _until(look: Callable[[], Awaitable[Sequence[Any]]], count: int) -> None:
    async with asyncio.timeout(20):
        while len(await look()) > count:  # noqa: ASYNC110 (another connection changes it)
            await asyncio.sleep(0.05)


async def test_a_replay_is_a_new_run_without_the_key_on_whichever_side_has_authority(door: Door) -> None:
    keyed = {"payload": {"n": 7}, "options": {"idempotencyKey": "order-1", "tags": "t"}}
    first = (await door.trigger(keyed))["id"]
    second = (await door.post(f"/api/v1/runs/{first}/replay")).json()["id"]
    assert second != first
    read = await door.read(second)
    assert (read["payload"], read["tags"], "idempotencyKey" in read) == ({"n": 7}, ["t"], False)
    assert (await door.trigger(keyed))["id"] == first
    door.world.routing.phase = Phase.SHADOW
    third = (await door.post(f"/api/v1/runs/{first}/replay")).json()["id"]
    assert door.legacy() == [third]


async def test_tags_are_added_up_to_ten(door: Door) -> None:
    run = (await door.trigger({"options": {"tags": ["a"]}}))["id"]
    path = f"/api/v1/runs/{run}/tags"
    assert (await door.post(path, {"tags": ["b", "a"]})).json() == {"message": "Successfully set 1 new tags."}
    assert (await door.post(path, {"tags": "b"})).json() == {"message": "No new tags to add"}
    assert (await door.post(path, {"tags": [str(n) for n in range(9)]})).status_code == 422
    assert (await door.read(run))["tags"] == ["a", "b"]


async def test_metadata_is_read_and_changed(door: Door) -> None:
    run = (await door.trigger({"options": {"metadata": '{"a": 1}'}}))["id"]
    path = f"/api/v1/runs/{run}/metadata"
    assert (await door.get(path))["metadata"] == {"a": 1}
    operations = [{"type": "increment", "key": "a", "value": 2}, {"type": "append", "key": "l", "value": "x"}]
    put = await door.world.client.put(path, json={"operations": operations}, headers=KEY)
    assert put.json() == {"metadata": {"a": 3, "l": ["x"]}}
    assert (await door.read(run))["metadata"] == {"a": 3, "l": ["x"]}


async def test_a_key_that_is_reset_starts_anew_wherever_its_run_was(door: Door) -> None:
    keyed = {"payload": {"n": 1}, "options": {"idempotencyKey": "order-1"}}
    door.world.routing.phase = Phase.SHADOW
    old = (await door.trigger(keyed))["id"]
    reset = "/api/v1/idempotencyKeys/order-1/reset"
    assert (await door.post(reset, {"taskIdentifier": "hello"})).json() == {"id": "order-1"}
    door.world.routing.phase = Phase.LIVE
    first = (await door.trigger(keyed))["id"]
    assert first != old
    assert (await door.post(reset, {"taskIdentifier": "hello"})).json() == {"id": "order-1"}
    second = await door.trigger(keyed)
    assert (second["id"] != first, second["isCached"]) == (True, False)
    assert (await door.post("/api/v1/idempotencyKeys/no/reset", {"taskIdentifier": "hello"})).status_code == 404


async def test_a_token_of_one_run_changes_no_other(door: Door) -> None:
    answer = await door.world.trigger_call()
    token = {"authorization": f"Bearer {answer.headers['x-trigger-jwt']}"}
    run = answer.json()["id"]
    assert (await door.world.client.get(f"/api/v3/runs/{run}", headers=token)).status_code == 200
    assert (await door.world.client.post(f"/api/v2/runs/{run}/cancel", headers=token)).status_code == 403


async def test_a_run_of_before_the_switch_is_replayed_by_whoever_has_authority_now(door: Door) -> None:
    door.world.routing.phase = Phase.SHADOW
    first = (await door.trigger({"payload": {"n": 7}, "options": {"idempotencyKey": "order-1"}}))["id"]
    door.world.routing.phase = Phase.LIVE
    second = (await door.post(f"/api/v1/runs/{first}/replay")).json()["id"]
    assert (await door.read(second))["payload"] == {"n": 7}
    assert door.legacy() == [first]


async def test_in_a_ramp_a_replay_goes_by_the_key_of_its_call(door: Door) -> None:
    door.world.routing.phase = Phase.SHADOW
    runs = [(await door.trigger({"payload": {"tenantId": tenant}}))["id"] for tenant in ("acme", "zeta")]
    door.world.routing.phase = Phase.RAMP
    door.world.routing.ramp = Ramp(0, allow=frozenset({"acme"}))
    replays = [(await door.post(f"/api/v1/runs/{run}/replay")).json()["id"] for run in runs]
    assert door.legacy() == [*runs, replays[1]]
    assert await door.candidates() == [("due", "deliver")]
