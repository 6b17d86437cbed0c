"""The run API: authentication, caching, odd errors, late and wrong listings, cancelling."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from sandbox.inngest import PretendInngest, RunStatus, Traps
from sandbox.inngest.signing import hashed_key

from .apps import ScriptedApp, on, started

ORDER = {"id": "sync", "triggers": on("shop/order")}
DONE = ScriptedApp({"commerce-sync": lambda body: (200, "ok")})
KEY = "0123456789abcdef"
UNKNOWN = "00000000010000000000000000"


async def send(inngest: PretendInngest, client: httpx.AsyncClient) -> str:
    event_id: str = (await client.post("/e/k", json={"name": "shop/order"})).json()["ids"][0]
    await inngest.settled(5)
    return event_id


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/events"),
        ("GET", f"/v1/runs/{UNKNOWN}"),
        ("GET", "/v2/runs"),
        ("POST", "/fn/register"),
        ("GET", f"/v0/runs/{UNKNOWN}/actions"),
    ],
)
async def test_the_signing_key_is_asked_for_where_one_is_configured(method: str, path: str) -> None:
    async with started(DONE, signing_key=KEY) as (_, client):
        refused = await client.request(method, path)
        assert (refused.status_code, refused.text) == (401, "Authentication failed")
        assert refused.headers["content-type"].startswith("text/plain")
        headers = {"authorization": f"Bearer {hashed_key(KEY)}"}
        assert (await client.request(method, path, headers=headers)).status_code != 401
        assert (await client.get("/health")).status_code == 200


async def test_an_empty_first_answer_sticks_until_the_cache_expires() -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    traps = Traps(runs_appear_after=1.0)
    async with started(DONE, ORDER, traps=traps, clock=lambda: now) as (inngest, client):
        event_id = await send(inngest, client)
        path = f"/v1/events/{event_id}/runs"
        first = await client.get(path)
        assert first.json()["data"] == []
        now += timedelta(seconds=14)
        stale = await client.get(path)
        assert stale.content == first.content
        assert stale.headers["content-type"].startswith("text/plain")
        assert "cache-control" not in stale.headers
        assert len((await client.get(f"{path}?fresh=1")).json()["data"]) == 1  # any parameter goes past it
        assert len((await client.get(path, headers={"authorization": "Bearer x"})).json()["data"]) == 1
        now += timedelta(seconds=2)
        fresh = await client.get(path)
        assert len(fresh.json()["data"]) == 1
        assert fresh.headers["content-type"] == "application/json"


async def test_the_cache_can_be_switched_off() -> None:
    traps = Traps(cache_reads=False)
    async with started(DONE, ORDER, traps=traps) as (inngest, client):
        event_id = await send(inngest, client)
        traps.runs_appear_after = 60
        assert (await client.get(f"/v1/events/{event_id}/runs")).json()["data"] == []
        traps.runs_appear_after = 0
        assert len((await client.get(f"/v1/events/{event_id}/runs")).json()["data"]) == 1


@pytest.mark.parametrize(
    ("path", "status", "true_code", "message"),
    [
        ("/v1/runs/nonsense", 400, 400, "Invalid run ID: nonsense"),
        (f"/v1/runs/{UNKNOWN}", 500, 404, f"Unable to load function run: {UNKNOWN}"),
        ("/v1/events/nonsense", 400, 400, "Invalid event ID: nonsense"),
        (f"/v1/events/{UNKNOWN}", 404, 404, "Event not found"),
        ("/v1/events/nonsense/runs", 400, 400, "Invalid event ID: nonsense"),
    ],
)
async def test_errors_of_reads_come_as_200_unless_true_codes_are_switched_on(
    path: str, status: int, true_code: int, message: str
) -> None:
    async with started(DONE) as (inngest, client):
        odd = await client.get(path)
        assert (odd.status_code, odd.json()) == (200, {"error": message, "data": None, "status": status})
        inngest.traps.errors_as_200 = False
        assert (await client.get(path)).status_code == true_code


async def test_an_unknown_event_simply_has_no_runs() -> None:
    async with started(DONE) as (_, client):
        assert (await client.get(f"/v1/events/{UNKNOWN}/runs")).json()["data"] == []


async def test_a_run_shows_its_raw_output_once_it_has_ended() -> None:
    async with started(DONE, ORDER) as (inngest, client):
        event_id = await send(inngest, client)
        run = inngest.runs()[0]
        shown = (await client.get(f"/v1/runs/{run.run_id}")).json()["data"]
        assert (shown["status"], shown["output"], shown["event_id"]) == ("Completed", "ok", event_id)
        assert shown["function_id"] == inngest.functions()[0].uuid
        assert shown["ended_at"].endswith("Z")
        v2 = (await client.get(f"/v2/runs/{run.run_id}?includeOutput=true")).json()["data"]
        assert (v2["status"], v2["output"], v2["function"]["id"]) == ("COMPLETED", {"data": "ok"}, "sync")
        assert (await client.get(f"/v2/runs/{UNKNOWN}")).status_code == 404


async def test_a_rerun_is_another_run_of_the_same_event_that_names_the_first() -> None:
    async with started(DONE, ORDER) as (inngest, client):
        event_id = await send(inngest, client)
        first = inngest.runs()[0]
        again = (await client.post(f"/v2/runs/{first.run_id}/rerun")).json()["data"]["runId"]
        await inngest.settled(5)
        shown = (await client.get(f"/v1/runs/{again}")).json()["data"]
        assert (shown["event_id"], shown["original_run_id"], shown["status"]) == (event_id, first.run_id, "Completed")
        assert "original_run_id" not in (await client.get(f"/v1/runs/{first.run_id}")).json()["data"]
        listed = (await client.get(f"/v1/events/{event_id}/runs?late=1")).json()["data"]
        assert {run["run_id"] for run in listed} == {first.run_id, again}
        assert first.run_id[:10] <= again[:10]  # made later, if not within one millisecond
        assert (await client.post(f"/v2/runs/{UNKNOWN}/rerun")).status_code == 404


async def test_the_list_may_say_scheduled_for_ever_while_the_run_itself_is_right() -> None:
    async with started(DONE, ORDER, traps=Traps(event_runs_stuck_scheduled=1.0)) as (inngest, client):
        event_id = await send(inngest, client)
        listed = (await client.get(f"/v1/events/{event_id}/runs")).json()["data"][0]
        assert (listed["status"], listed["output"]) == ("Scheduled", "ok")
        assert (await client.get(f"/v1/runs/{listed['run_id']}")).json()["data"]["status"] == "Completed"


async def test_a_run_between_two_tries_is_listed_as_failed_without_an_end() -> None:
    app = ScriptedApp({"commerce-sync": lambda body: (500, {"name": "Error", "message": "no"})})
    async with started(app, ORDER, retry_delay=60) as (_, client):
        event_id = (await client.post("/e/k", json={"name": "shop/order"})).json()["ids"][0]
        await asyncio.sleep(0.05)
        listed = (await client.get(f"/v1/events/{event_id}/runs")).json()["data"][0]
        assert (listed["status"], listed["ended_at"]) == ("Failed", None)
        shown = (await client.get(f"/v1/runs/{listed['run_id']}")).json()["data"]
        assert (shown["status"], shown["ended_at"]) == ("Running", None)


async def test_reads_are_rate_limited_as_often_as_the_trap_says() -> None:
    async with started(DONE, traps=Traps(reads_rate_limited=2, retry_after=3)) as (_, client):
        answers = [await client.get("/v1/events"), await client.get("/v2/runs"), await client.get("/v1/events")]
        assert [answer.status_code for answer in answers] == [429, 429, 200]
        assert answers[0].headers["retry-after"] == "3"


async def test_cancelling_is_idempotent_and_tells_the_watchers() -> None:
    app = ScriptedApp({"commerce-sync": lambda body: (206, [{"op": "Sleep", "id": "s", "name": "1h"}])})
    async with started(app, ORDER) as (inngest, client):
        await client.post("/e/k", json={"name": "shop/order"})
        await asyncio.sleep(0.05)
        run = inngest.runs()[0]
        answers = [await client.delete(f"/v1/runs/{run.run_id}") for _ in "ab"]
        assert [(each.status_code, each.content) for each in answers] == [(200, b""), (200, b"")]
        assert (run.status, run.output) == (RunStatus.CANCELLED, {})
        ends = [event for event in inngest.events() if event.name.startswith("inngest/")]
        assert [(event.name, event.id == run.run_id) for event in ends] == [
            ("inngest/function.finished", False),
            ("inngest/function.cancelled", True),
        ]
        assert all(
            event.data is not None and event.data["_inngest"] == {"status": "Cancelled"} and "result" not in event.data
            for event in ends
        )
        assert (await client.delete(f"/v1/runs/{UNKNOWN}")).status_code == 404


async def test_the_list_of_events_is_newest_first_with_limit_name_and_cursor() -> None:
    async with started(DONE, ORDER) as (inngest, client):
        for name in ("shop/order", "other/a", "other/b"):
            await client.post("/e/k", json={"name": name})
            await asyncio.sleep(0.002)  # ids sort by millisecond
        await inngest.settled(5)

        async def names(query: str) -> list[str]:
            return [event["name"] for event in (await client.get(f"/v1/events?{query}")).json()["data"]]

        assert await names("") == ["other/b", "other/a", "shop/order"]  # none of the server's own
        assert await names("limit=1") == ["other/b"]
        assert await names("name=other/a") == ["other/a"]
        assert await names("name=inngest/function.finished") == []
        newest = (await client.get("/v1/events?limit=1")).json()["data"][0]["internal_id"]
        assert await names(f"cursor={newest}") == ["other/a", "shop/order"]
        assert await names("received_after=2999-01-01T00:00:00Z") == []
