"""What happens to sent events: keys, ids, dedupe, delay, dropping, and the traps of sending."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.inngest import RunStatus, Traps

from .apps import ScriptedApp, on, started

ORDER = {"id": "sync", "triggers": on("shop/order")}


def completing(*names: str) -> ScriptedApp:
    return ScriptedApp({f"commerce-{name}": lambda body: (200, body["event"]["data"]) for name in names})


async def test_any_key_is_taken_where_none_is_configured_and_only_those_where_some_are() -> None:
    async with started(completing()) as (_, client):
        assert (await client.post("/e/whatever", json={"name": "x"})).status_code == 200
    async with started(completing(), event_keys=frozenset({"good"})) as (inngest, client):
        refused = await client.post("/e/bad", json={"name": "x"})
        assert refused.status_code == 401
        assert refused.json() == {"status": 401, "message": "", "error": "Event key not found"}
        assert refused.headers["x-inngest-server-kind"] == "cloud"
        assert (await client.post("/e/good", json={"name": "x"})).status_code == 200
        assert len(inngest.events()) == 1


async def test_nothing_sent_is_answered_with_one_empty_id() -> None:
    async with started(completing()) as (_, client):
        for body in (b"", b"[]"):
            assert (await client.post("/e/k", content=body)).json() == {"ids": [""], "status": 200}


async def test_the_same_seed_gives_the_same_id_and_one_run_but_two_events() -> None:
    seed = {"x-inngest-event-id-seed": "1795482488675,AAECAwQFBgcICQ=="}
    async with started(completing("sync"), ORDER) as (inngest, client):
        answers = [(await client.post("/e/k", json=[{"name": "shop/order"}], headers=seed)).json() for _ in "ab"]
        assert answers[0] == answers[1] == {"ids": ["01M85HH3V3000G40R40M30E20A"], "status": 200}
        await inngest.settled(5)
        assert len([event for event in inngest.events() if event.name == "shop/order"]) == 2
        assert len(inngest.runs()) == 1


async def test_a_malformed_seed_gives_random_ids() -> None:
    async with started(completing()) as (_, client):
        ids = [
            (await client.post("/e/k", json={"name": "x"}, headers={"x-inngest-event-id-seed": "1,x"})).json()["ids"][0]
            for _ in range(2)
        ]
        assert ids[0] != ids[1]


async def test_dedupe_is_per_function_and_lasts_a_day() -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    functions = (ORDER, {"id": "refund", "triggers": on("shop/refund")})
    async with started(completing("sync", "refund"), *functions, clock=lambda: now) as (inngest, client):
        for name in ("shop/order", "shop/order", "shop/refund"):
            reply = await client.post("/e/k", json={"name": name, "id": "o-1", "ts": 1_795_000_000_000})
            assert reply.json()["status"] == 200
        await inngest.settled(5)
        assert sorted(run.function_id for run in inngest.runs()) == ["commerce-refund", "commerce-sync"]
        duplicate = inngest.events()[1]
        listed = await client.get(f"/v1/events/{duplicate.internal_id}/runs")
        assert listed.json()["data"] == []  # a fresh id, but no run
        now += timedelta(hours=24)
        await client.post("/e/k", json={"name": "shop/order", "id": "o-1", "ts": 1_795_000_000_000})
        assert len(inngest.runs()) == 3


async def test_an_event_of_the_future_has_its_run_listed_at_once_and_started_then() -> None:
    async with started(completing("sync"), ORDER) as (inngest, client):
        due = int((datetime.now(UTC).timestamp() + 0.15) * 1000)
        sent = (await client.post("/e/k", json={"name": "shop/order", "ts": due})).json()["ids"][0]
        listed = (await client.get(f"/v1/events/{sent}/runs")).json()["data"][0]
        assert (listed["status"], listed["ended_at"]) == ("Scheduled", None)
        await inngest.settled(5)
        run = inngest.runs()[0]
        assert run.started_at is not None
        assert run.started_at.timestamp() * 1000 >= due - 1


@pytest.mark.parametrize(
    "flow",
    [
        {"rateLimit": {"limit": 1, "period": "1h", "key": "event.data.tenant"}},
        {"idempotency": "event.data.tenant"},
        # idempotency overrides the rate limit
        {"idempotency": "event.data.tenant", "rateLimit": {"limit": 9, "period": "1h"}},
    ],
)
async def test_a_rate_limited_function_drops_the_run_and_keeps_the_event(flow: dict[str, object]) -> None:
    async with started(completing("sync"), {**ORDER, **flow}) as (inngest, client):
        ids = [
            (await client.post("/e/k", json={"name": "shop/order", "data": {"tenant": tenant}})).json()["ids"][0]
            for tenant in ("acme", "acme", "other")
        ]
        await inngest.settled(5)
        listed = [(await client.get(f"/v1/events/{each}/runs")).json()["data"] for each in ids]
        assert [len(each) for each in listed] == [1, 0, 1]
        assert (await client.get(f"/v1/events/{ids[1]}")).json()["data"]["data"] == {"tenant": "acme"}


async def test_a_trigger_may_filter_by_expression_and_by_wildcard() -> None:
    functions = (
        {"id": "big", "triggers": on("shop/order", expression="event.data.total > 100")},
        {"id": "all", "triggers": on("shop/*")},
    )
    async with started(completing("big", "all"), *functions) as (inngest, client):
        for total in (50, 150):
            await client.post("/e/k", json={"name": "shop/order", "data": {"total": total}})
        await inngest.settled(5)
        assert sorted(run.function_id for run in inngest.runs()) == ["commerce-all", "commerce-all", "commerce-big"]


async def test_an_event_cancels_the_runs_that_asked_for_it() -> None:
    cancel = [{"event": "shop/cancelled", "if": "event.data.id == async.data.id"}]
    app = ScriptedApp({"commerce-sync": lambda body: (206, [{"op": "Sleep", "id": "s", "name": "1h"}])})
    async with started(app, {**ORDER, "cancel": cancel}) as (inngest, client):
        for order in ("a", "b"):
            await client.post("/e/k", json={"name": "shop/order", "data": {"id": order}})
        await asyncio.sleep(0.05)
        await client.post("/e/k", json={"name": "shop/cancelled", "data": {"id": "a"}})
        assert [run.status for run in inngest.runs()] == [RunStatus.CANCELLED, RunStatus.RUNNING]


async def test_a_function_can_be_invoked_by_its_slug() -> None:
    async with started(completing("sync"), ORDER) as (inngest, client):
        reply = await client.post("/invoke/commerce-sync", json={"data": {"id": 1}})
        await inngest.settled(5)
        run = inngest.runs()[0]
        assert reply.json() == {"id": run.event_id, "status": 200}
        assert run.output["id"] == 1
        assert (await client.post("/invoke/commerce-sync", content=b"?")).status_code == 400


async def test_racing_duplicates_leave_the_run_to_the_later_event() -> None:
    traps = Traps(racing_duplicates=0.1)
    async with started(completing("sync"), ORDER, traps=traps) as (inngest, client):
        first, second = [
            (await client.post("/e/k", json={"name": "shop/order", "id": "o-1"})).json()["ids"][0] for _ in "ab"
        ]
        await inngest.settled(5)
        lists = [(await client.get(f"/v1/events/{each}/runs")).json()["data"] for each in (first, second)]
        assert [len(each) for each in lists] == [0, 1]
        assert len(inngest.runs()) == 1


@pytest.mark.parametrize(
    ("traps", "status", "accepted"),
    [
        (Traps(sends_rate_limited=1, retry_after=7), 429, 0),
        (Traps(sends_unavailable=1), 503, 0),
        (Traps(answers_lost=1), 502, 1),  # the sender cannot know that it was accepted
    ],
)
async def test_a_trap_of_sending_strikes_once(traps: Traps, status: int, accepted: int) -> None:
    async with started(completing(), traps=traps) as (inngest, client):
        struck = await client.post("/e/k", json={"name": "x"})
        assert struck.status_code == status
        assert len(inngest.events()) == accepted
        assert struck.headers.get("retry-after") == ("7" if status == 429 else None)
        assert (await client.post("/e/k", json={"name": "x"})).status_code == 200
