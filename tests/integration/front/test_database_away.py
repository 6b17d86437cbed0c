"""While the database is away every door takes what comes, and the side with authority gets it all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from api.front import reports
from shadow.cutover.decision import Phase
from shadow.model.ids import Seed
from shadow.store.database import Database
from tests.integration.egress.world import outage, until
from tests.integration.front.test_other_doors import PAYOUT, github
from tests.integration.front.world import World, states, world_of


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(database, tmp_path / "spool") as world:
        yield world


async def back(world: World) -> None:
    """Wait until all that was spooled is written down."""
    replay = world.replay
    assert replay is not None
    await world.services.afterwards.finish()

    async def done() -> bool:
        return not replay.spool.standing.items and not list(replay.spool.folder.glob("*.sqlite"))

    await until(done)


def started(world: World) -> list[str]:
    """The runs of Trigger.dev."""
    return [run.id for run in world.trigger.runs()]


async def test_a_call_to_trigger_dev_gets_its_true_answer_and_is_mirrored_afterwards(
    world: World, postgres_url: str
) -> None:
    async with outage(postgres_url):
        answer = await world.trigger_call()
        again = await world.trigger_call(x_trigger_request_idempotency_key="r-1")
        repeated = await world.trigger_call(x_trigger_request_idempotency_key="r-1")
        assert (answer.status_code, again.status_code) == (200, 200)
        assert repeated.json()["id"] == again.json()["id"]  # the platform itself knows it again
        refused = await world.client.post(
            "/api/v1/tasks/hello/trigger", json={"payload": 1, "options": {"maxAttempts": "x"}}, headers=KEYS
        )
        assert refused.status_code == 400
    await back(world)
    named = {answer.json()["id"], again.json()["id"]}
    runs = await world.runs()
    assert {run for side, _state, run in runs if side == "legacy"} == named
    assert await world.count("events") == 2
    assert states(await world.dispatches()) == ["candidate deliver due"] * 2


KEYS = {"authorization": "Bearer tr_dev_producer00000000000000000"}


async def test_events_for_a_candidate_with_authority_reach_it_under_the_ids_that_were_told(
    world: World, postgres_url: str
) -> None:
    world.routing.phase = Phase.LIVE
    async with outage(postgres_url):
        answer = await world.client.post("/e/producer-key", json=[PAYOUT, {**PAYOUT, "id": "evt-1"}])
        assert answer.status_code == 200
        await world.services.afterwards.finish()
        told = answer.json()["ids"]
        assert sorted(sent(world)) == sorted(told)
    await back(world)
    assert {row[0] for row in await world.rows("SELECT upstream_id FROM events")} == set(told)
    assert await world.dispatches() == []  # nobody sends them a second time
    assert [side for side, *_rest in await world.runs()] == ["candidate", "candidate"]


async def test_what_the_candidate_has_no_authority_for_waits_for_the_database(world: World, postgres_url: str) -> None:
    async with outage(postgres_url):
        answer = await world.client.post("/e/producer-key", json=PAYOUT)
        await world.services.afterwards.finish()
        assert sent(world) == []
    await back(world)
    ((seed, position),) = await world.rows("SELECT seed, position FROM dispatches WHERE side = 'candidate'")
    assert (Seed.parse(seed) or Seed.new()).ulid(position) == answer.json()["ids"][0]


async def test_a_key_that_may_be_older_than_the_route_s_last_move_waits_too(world: World, postgres_url: str) -> None:
    """It may stand for a run of the other side, and only the database knows."""
    world.routing.phase, world.routing.steady = Phase.LIVE, False
    async with outage(postgres_url):
        await world.client.post("/e/producer-key", json=[PAYOUT, {**PAYOUT, "id": "evt-1"}])
        await world.services.afterwards.finish()
        assert len(sent(world)) == 1
        world.routing.phase = Phase.SHADOW
        assert (await world.trigger_call(idempotency_key="mine")).status_code == 503
        assert started(world) == []
    await back(world)
    assert await world.count("events") == 3


async def test_a_webhook_is_passed_on_and_its_app_s_answer_comes_back(world: World, postgres_url: str) -> None:
    async with outage(postgres_url):
        answer = await world.client.post("/webhooks/github", **github(b'{"ref":"x"}'))
        assert (answer.status_code, answer.headers["x-app"]) == (200, "1")
    await back(world)
    assert len(world.app.received) == 1
    assert states(await world.dispatches()) == ["candidate deliver due"]


async def test_a_webhook_that_its_provider_sends_again_meanwhile_is_passed_on_once(
    world: World, database: Database, tmp_path: Path, postgres_url: str
) -> None:
    """To the process that took it, to the one that follows it, and once the database is back."""
    push = github(b'{"ref":"x"}')
    async with outage(postgres_url):
        assert (await world.client.post("/webhooks/github", **push)).headers["x-app"] == "1"
        again = await world.client.post("/webhooks/github", **push)
        assert (again.status_code, again.json()["duplicate"]) == (202, True)
        replay = world.replay
        assert replay is not None
        await replay.stop()
        await replay.spool.stop()
        async with world_of(database, tmp_path / "spool") as following:
            later = await following.client.post("/webhooks/github", **push)
            assert (later.status_code, later.json()) == (202, again.json())
            assert following.app.received == []
            await following.services.afterwards.finish()
    async with world_of(database, tmp_path / "spool") as last:
        await back(last)
        assert (await last.client.post("/webhooks/github", **push)).json() == again.json()
        assert last.app.received == []
        assert states(await last.dispatches()) == ["candidate deliver due"]
        assert await last.count("events") == 1
    assert len(world.app.received) == 1


async def test_a_webhook_that_its_app_did_not_take_is_passed_on_again_when_it_comes_again(
    world: World, postgres_url: str
) -> None:
    world.app.status = 500
    async with outage(postgres_url):
        assert (await world.client.post("/webhooks/github", **github(b'{"ref":"x"}'))).status_code == 500
        world.app.status = 200
        assert (await world.client.post("/webhooks/github", **github(b'{"ref":"x"}'))).headers["x-app"] == "1"
    await back(world)
    assert len(world.app.received) == 2
    assert await world.count("events") == 1
    assert states(await world.dispatches()) == ["candidate deliver due"]


async def test_an_app_that_fails_meanwhile_gets_it_from_the_workers(world: World, postgres_url: str) -> None:
    world.app.status = 500
    async with outage(postgres_url):
        assert (await world.client.post("/webhooks/github", **github(b'{"ref":"x"}'))).status_code == 500
    await back(world)
    assert sorted(states(await world.dispatches())) == ["candidate deliver due", "legacy forward due"]


async def test_an_issued_run_starts_while_the_database_is_away(world: World, postgres_url: str) -> None:
    world.routing.phase = Phase.LIVE
    async with outage(postgres_url):
        answer = await world.trigger_call(body={"payload": {"n": 1}, "options": {"tags": ["a"]}})
        assert answer.status_code == 200, answer.text
        await world.services.afterwards.finish()
        assert len(sent(world)) == 1
    await back(world)
    assert started(world) == []
    assert await world.dispatches() == []
    assert (await world.client.get(f"/api/v3/runs/{answer.json()['id']}", headers=KEYS)).status_code == 200
    assert await world.count("run_tags") == 1


async def test_reports_are_kept_and_written_once(world: World, postgres_url: str) -> None:
    effect: dict[str, Any] = {"run": "run_1", "kind": "http", "target": "pay", "operation": "POST /x", "data": {}}
    told = {"authorization": "Bearer legacy-key"}
    async with outage(postgres_url):
        answer = await world.client.post("/shadow/effects", json=[effect, effect], headers=told)
        assert (answer.status_code, answer.json()) == (200, {"accepted": 2, "new": 2}), answer.text
        bad = await world.client.post("/shadow/effects", json=[{"run": 1}], headers=told)
        assert bad.status_code == 422
    await back(world)
    assert await world.count("effects") == 2


async def test_a_report_whose_commit_went_unanswered_is_written_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []

    def loses(point: str) -> None:
        if point == "effects.stored" and not lost:
            lost.append(point)
            raise psycopg.OperationalError("the connection broke before the commit was answered")

    monkeypatch.setattr(reports, "reach", loses)
    effect = {"run": "run_1", "kind": "http", "target": "pay", "operation": "POST /x", "data": {}}
    told = {"authorization": "Bearer legacy-key"}
    answer = await world.client.post("/shadow/effects", json=[effect, effect], headers=told)
    assert (answer.status_code, len(lost)) == (200, 1)
    await back(world)
    assert await world.count("effects") == 2


def sent(world: World) -> list[str]:
    """The ids of the producers' events that Inngest has."""
    return [event.internal_id for event in world.inngest.events() if not event.name.startswith("inngest/")]


async def test_a_request_that_is_sent_again_meanwhile_is_answered_with_the_same_ids_and_starts_nothing(
    world: World, postgres_url: str
) -> None:
    """The SDK marks it by a seed alone, of which Inngest is not told: it would take the events for others."""
    world.routing.phase = Phase.LIVE
    again = {"x-inngest-event-id-seed": Seed.new().header()}
    async with outage(postgres_url):
        first = await world.client.post("/e/producer-key", json=[PAYOUT, PAYOUT], headers=again)
        second = await world.client.post("/e/producer-key", json=[PAYOUT, PAYOUT], headers=again)
        await world.services.afterwards.finish()
        assert second.json()["ids"] == first.json()["ids"]
        assert sorted(sent(world)) == sorted(first.json()["ids"])
    await back(world)
    assert await world.count("events") == 2
