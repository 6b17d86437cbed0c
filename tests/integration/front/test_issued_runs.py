"""Producers on Trigger.dev's door when the candidate has authority: runs issued, keys that hold across every switch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from api.front.afterwards import Afterwards
from api.front.known_keys import KnownKeys
from api.front.settlements import Settlements
from shadow.cutover.decision import Phase
from shadow.fanout.offloaded import OffloadedPayloads
from shadow.intake import run_tags
from shadow.intake.known_keys import Standing
from shadow.platforms.registry import adapters
from tests.integration.front.door import Door
from tests.integration.front.world import KEY
from tests.integration.originals import originals

KEYED = {"payload": {"n": 1}, "options": {"idempotencyKey": "order-1"}}


def _write_late(monkeypatch: pytest.MonkeyPatch, may_write: asyncio.Event, *, here: bool) -> None:
    """Producers' answers are written down when that is set, by this process or by another one, which nobody can wait
    for."""
    written = Settlements._settled

    async def late(*told: Any) -> None:
        await may_write.wait()
        await written(*told)

    async def elsewhere(_afterwards: Afterwards, _name: str) -> None:
        return

    monkeypatch.setattr(Settlements, "_settled", late)
    if not here:
        monkeypatch.setattr(Afterwards, "of", elsewhere)


async def test_after_the_switch_a_call_is_answered_with_a_run_of_ours(door: Door) -> None:
    door.world.routing.phase = Phase.LIVE
    answer = await door.world.trigger_call(body={"payload": {"n": 1}, "options": {"tags": ["b", "a"], "ttl": 60}})
    run = answer.json()["id"]
    assert answer.json() == {"id": run, "isCached": False}
    assert f"read:runs:{run}" in answer.headers["x-trigger-jwt-claims"]
    assert door.legacy() == []
    assert await door.candidates() == [("due", "deliver")]
    read = await door.read(run)
    assert (read["id"], read["taskIdentifier"], read["status"]) == (run, "hello", "QUEUED")
    assert (read["payload"], read["tags"], read["ttl"]) == ({"n": 1}, ["a", "b"], "60s")


async def test_what_legacy_ran_before_the_switch_is_read_there(door: Door) -> None:
    run = (await door.trigger())["id"]
    await door.world.trigger.settled()
    door.world.routing.phase = Phase.LIVE
    read = await door.read(run)
    assert (read["status"], read["output"]) == ("COMPLETED", {"said": {"n": 1}})


async def test_a_call_that_is_stored_is_never_to_be_sent_again_by_a_client_that_would_not_be_recognised(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreachable(*_given: object) -> None:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(run_tags, "keep", unreachable)
    door.world.routing.phase = Phase.LIVE
    body = {"payload": {"n": 1}, "options": {"tags": ["a"]}}
    answer = await door.world.trigger_call(body=body)
    assert (answer.status_code, answer.json().get("isCached")) == (200, False)
    known = await door.world.trigger_call(body=body, x_trigger_request_idempotency_key="r-1")
    assert known.status_code == 503
    monkeypatch.undo()
    again = await door.world.trigger_call(body=body, x_trigger_request_idempotency_key="r-1")
    assert (again.status_code, len(await door.candidates())) == (200, 2)


# ---------------------------------------------------------------- keys


async def test_a_key_used_again_is_the_first_run(door: Door) -> None:
    door.world.routing.phase = Phase.LIVE
    first = await door.trigger(KEYED)
    assert await door.trigger(KEYED) == {"id": first["id"], "isCached": True}
    assert await door.trigger({**KEYED, "payload": {"n": 2}}) == {"id": first["id"], "isCached": True}
    assert len(await door.candidates()) == 1


async def test_a_request_that_the_sdk_repeats_is_the_same_run_and_not_cached(door: Door) -> None:
    door.world.routing.phase = Phase.LIVE
    first = await door.trigger(x_trigger_request_idempotency_key="r-1")
    assert await door.trigger(x_trigger_request_idempotency_key="r-1") == first
    assert len(await door.candidates()) == 1


@pytest.mark.parametrize("before", [Phase.LEGACY, Phase.SHADOW])
@pytest.mark.parametrize("after", [Phase.LIVE, Phase.RETIRED])
async def test_a_key_from_before_the_switch_is_the_run_that_legacy_has(door: Door, before: Phase, after: Phase) -> None:
    door.world.routing.phase = before
    first = await door.trigger(KEYED)
    door.world.routing.phase = after
    assert await door.trigger(KEYED) == {"id": first["id"], "isCached": True}
    await door.world.trigger.settled()
    assert await door.trigger(KEYED) == {"id": first["id"], "isCached": True}
    assert (door.legacy(), await door.candidates()) == ([first["id"]], [])


@pytest.mark.parametrize("written", ["at once", "late", "late, elsewhere"])
async def test_a_key_from_before_shadow_is_the_run_that_legacy_has_once_it_was_seen(
    door: Door, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    may_write = asyncio.Event()
    if written != "at once":
        _write_late(monkeypatch, may_write, here=written == "late")
    old = httpx.AsyncClient(base_url=door.world.trigger.url, headers=KEY)
    async with old:
        first = (await old.post("/api/v1/tasks/hello/trigger", json=KEYED)).json()["id"]
    assert await door.trigger(KEYED) == {"id": first, "isCached": True}
    door.world.routing.phase = Phase.LIVE
    again = asyncio.create_task(door.trigger(KEYED))
    await asyncio.sleep(0.1)
    may_write.set()
    assert await again == {"id": first, "isCached": True}
    assert (door.legacy(), await door.candidates()) == ([first], [])


async def test_a_key_that_legacys_failed_run_freed_starts_one_run_on_the_candidate(door: Door) -> None:
    first = await door.world.trigger_call("fails", body={**KEYED, "options": {"idempotencyKey": "k", "maxAttempts": 1}})
    await door.world.trigger.settled()
    door.world.routing.phase = Phase.LIVE
    anew, again = [
        (await door.world.trigger_call("fails", body={"options": {"idempotencyKey": "k"}})).json() for _ in range(2)
    ]
    assert (anew["isCached"], again) == (False, {"id": anew["id"], "isCached": True})
    assert (door.legacy(), len(await door.candidates())) == ([first.json()["id"]], 1)


@pytest.mark.parametrize("here", [True, False])
async def test_a_freed_key_starts_no_run_on_legacy_because_its_answer_is_not_written_down_yet(
    door: Door, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    may_write = asyncio.Event()
    _write_late(monkeypatch, may_write, here=here)
    options = {"idempotencyKey": "k", "maxAttempts": 1}
    first = await door.world.trigger_call("fails", body={**KEYED, "options": options})
    await door.world.trigger.settled()
    door.world.routing.phase = Phase.LIVE
    anew = asyncio.create_task(door.world.trigger_call("fails", body={"options": {"idempotencyKey": "k"}}))
    await asyncio.sleep(0.1)
    may_write.set()
    assert (await anew).json()["isCached"] is False
    assert (door.legacy(), len(await door.candidates())) == ([first.json()["id"]], 1)


async def test_a_request_of_before_the_switch_whose_answer_was_lost_is_legacys_still(door: Door) -> None:
    door.world.trigger.traps.lose_responses = 1
    lost = await door.world.trigger_call(x_trigger_request_idempotency_key="r-1")
    assert lost.status_code >= 500
    door.world.routing.phase = Phase.LIVE
    again = await door.trigger(x_trigger_request_idempotency_key="r-1")
    assert (door.legacy(), await door.candidates()) == ([again["id"]], [])


@pytest.mark.parametrize("phase", [Phase.LEGACY, Phase.SHADOW])
async def test_after_a_move_back_an_issued_runs_key_starts_nothing_on_legacy(door: Door, phase: Phase) -> None:
    door.world.routing.phase = Phase.LIVE
    keyed = await door.trigger(KEYED)
    sent = await door.trigger(x_trigger_request_idempotency_key="r-1")
    await door.ends(keyed["id"], "completed")
    door.world.routing.phase = phase
    assert await door.trigger(KEYED) == {"id": keyed["id"], "isCached": True}
    assert await door.trigger(x_trigger_request_idempotency_key="r-1") == sent
    assert door.legacy() == []
    new = await door.trigger()
    assert door.legacy() == [new["id"]]


@pytest.mark.parametrize(("status", "frees"), [("failed", True), ("expired", True), ("cancelled", False)])
async def test_an_issued_run_that_failed_frees_its_key(door: Door, status: str, frees: bool) -> None:
    door.world.routing.phase = Phase.LIVE
    first = await door.trigger(KEYED)
    await door.ends(first["id"], status)
    several = await asyncio.gather(*(door.trigger(KEYED) for _ in range(5)))
    assert {answer["id"] for answer in several} == {several[0]["id"]}
    assert sum(not answer["isCached"] for answer in several) == (1 if frees else 0)
    assert (several[0]["id"] != first["id"]) is frees
    if frees:  # whoever has authority by then gets what comes next
        await door.ends(several[0]["id"], "failed")
        door.world.routing.phase = Phase.SHADOW
        third = await door.trigger(KEYED)
        assert door.legacy() == [third["id"]]


async def test_a_key_is_forgotten_when_its_time_is_over(door: Door) -> None:
    door.world.routing.phase = Phase.LIVE
    first = await door.trigger({**KEYED, "options": {"idempotencyKey": "order-1", "idempotencyKeyTTL": "1s"}})
    await door.world.rows("UPDATE dedupe_keys SET expires_at = now() - interval '1 second' RETURNING key")
    again = await door.trigger(KEYED)
    assert (again["id"] != first["id"], again["isCached"]) == (True, False)


async def test_a_payload_that_the_sdk_offloads_is_fetched_before_the_candidate_gets_it(door: Door) -> None:
    door.world.routing.phase = Phase.LIVE
    put = await door.world.client.put("/api/v2/packets/trigger%2Fhello%2F1%2Fpayload.json", headers=KEY)
    headers = {"content-type": "application/json"}
    await door.world.services.http.put(put.json()["presignedUrl"], content=b'{"n":1}', headers=headers)
    stored = {"payload": put.json()["storagePath"], "options": {"payloadType": "application/store"}}
    run = (await door.trigger(stored))["id"]
    assert await door.candidates() == [("due", "map")]
    known = adapters(door.world.catalogue, door.world.services.http)
    assert await OffloadedPayloads(door.world.database, door.world.catalogue, known, asyncio.Event()).once() == 1
    assert await door.candidates() == [("due", "deliver")]
    assert list((await originals(door.world.database, "data")).values()) == [b'{"n":1}']
    assert (await door.read(run))["status"] == "QUEUED"


async def test_a_call_whose_first_was_refused_at_that_moment_is_not_answered_for_it(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.world.routing.phase = Phase.LIVE
    first = await door.trigger(KEYED)
    looked = KnownKeys._standings

    async def refused_meanwhile(keys: KnownKeys, asked: Sequence[tuple[UUID, str]]) -> dict[UUID, Standing]:
        for table, column in (("dedupe_keys", "event_id"), ("dispatches", "event_id"), ("events", "id")):
            await door.world.rows(f"DELETE FROM {table} WHERE {column} = %s RETURNING 1", asked[0][0])
        return await looked(keys, asked)

    monkeypatch.setattr(KnownKeys, "_standings", refused_meanwhile)
    again = await door.trigger(KEYED)
    assert (again["id"] != first["id"], again["isCached"]) == (True, False)
    assert await door.candidates() == [("due", "deliver")]


async def test_a_key_that_outlives_its_event_starts_nothing(door: Door) -> None:
    door.world.routing.phase = Phase.LIVE
    first = await door.trigger(KEYED)
    await door.world.rows("DELETE FROM dispatches RETURNING 1")
    await door.world.rows("DELETE FROM events RETURNING 1")
    assert await door.trigger(KEYED) == {"id": first["id"], "isCached": True}
    assert await door.world.count("events") == 0
