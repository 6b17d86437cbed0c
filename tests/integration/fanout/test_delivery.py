"""Events reach both platforms: once, with the right ids, and written down as they go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson

from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Phase
from shadow.intake import run_changes
from shadow.model.ids import derived_id
from shadow.store.database import Work
from tests.integration.fanout.serving import until
from tests.integration.fanout.stage import StageSet


async def _delivered(world: StageSet) -> None:
    async def empty() -> bool:
        return await world.queued() == 0

    await until(empty)


async def test_an_event_starts_every_task_on_both_sides(world: StageSet) -> None:
    (event,) = await world.accept(id="order-1")
    async with world.delivering():
        await _delivered(world)
    await world.trigger.settled()
    await world.inngest.settled(5)
    assert sorted(run.task for run in world.trigger.runs()) == ["sync-order", "welcome"]
    assert sorted(run.function_id for run in world.inngest.runs()) == ["shop-sync-order", "shop-welcome"]
    legacy = await world.run(event, "welcome", Side.LEGACY)
    candidate = await world.run(event, "welcome", Side.CANDIDATE)
    assert (legacy["state"], candidate["state"]) == ("sent", "sent")
    assert (legacy["authority"], candidate["authority"]) == ("real", "none")
    assert legacy["platform_run_id"] in {run.id for run in world.trigger.runs()}


async def test_legacy_gets_the_mapped_payload_and_options_under_a_key_that_can_be_derived_again(
    world: StageSet,
) -> None:
    await world.accept(data={"orderId": 7, "tenantId": "acme", "note": "…"}, id="order-7")
    async with world.delivering(Side.LEGACY):
        await until(lambda: len(world.trigger.runs()) == 2)
    run = next(run for run in world.trigger.runs() if run.task == "sync-order")
    assert run.payload == {"order": 7, "tenant": "acme"}
    assert run.tags == ("mirrored",)
    assert run.idempotency_key is not None
    assert len(run.idempotency_key) == 64


async def test_the_candidate_gets_the_event_as_its_producer_sent_it(world: StageSet) -> None:
    at = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
    request = orjson.dumps({"name": "order/created", "data": {}, "user": {"id": "u1"}, "v": "2"})
    await world.accept(data={"orderId": 1}, id="order-1", occurred_at=at, request=request)
    async with world.delivering(Side.CANDIDATE):
        await until(lambda: len(world.inngest.runs()) == 2)
    event = next(event for event in world.inngest.events() if event.name == "order/created")
    assert (event.id, event.data, event.user, event.v) == ("order-1", {"orderId": 1}, {"id": "u1"}, "2")
    assert event.ts == int(at.timestamp() * 1000)


async def test_upstream_ids_are_those_that_producers_were_told(world: StageSet) -> None:
    events = await world.accept(count=40)
    async with world.delivering():
        await _delivered(world)
    told = {row[0] for row in await world.rows("SELECT upstream_id FROM events")}
    sent = [event for event in world.inngest.events() if event.name == "order/created"]
    assert {event.internal_id for event in sent} == told
    assert len(told) == len(events) == 40


async def test_a_pair_is_opened_and_counted_once_however_many_loops_there_are(world: StageSet) -> None:
    (event,) = await world.accept(tenant="acme")
    await world.accept(tenant=None)
    async with world.delivering(*Side, *Side):
        await _delivered(world)
    assert await world.value("SELECT count(*) FROM pairs") == 4
    tallies = await world.rows("SELECT task, tenant, opened FROM tallies ORDER BY 1, 2")
    assert tallies == [("sync-order", "", 1), ("sync-order", "acme", 1), ("welcome", "", 1), ("welcome", "acme", 1)]
    pair = await world.rows(
        "SELECT legacy_run, candidate_run, state, due_at = deadline_at, pairs.tenant, starts_at = accepted_at"
        " FROM pairs JOIN events ON events.id = event_id WHERE pairs.id = %s",
        derived_id(event, "welcome"),
    )
    runs = (derived_id(event, "welcome", Side.LEGACY), derived_id(event, "welcome", Side.CANDIDATE))
    assert pair == [(*runs, "open", True, "acme", True)]


async def test_an_event_that_only_legacy_gets_opens_no_pair(world: StageSet) -> None:
    (event,) = await world.accept(phase=Phase.LEGACY)
    async with world.delivering():
        await _delivered(world)
    assert await world.value("SELECT count(*) FROM pairs") == 0
    assert (await world.run(event, "welcome", Side.LEGACY))["pair_id"] is None
    assert world.inngest.runs() == []


async def test_a_workers_event_runs_on_its_own_side_and_without_authority_has_none(world: StageSet) -> None:
    (event,) = await world.accept(origin=Origin.CANDIDATE)
    async with world.delivering():
        await _delivered(world)
    assert world.trigger.runs() == []
    assert await world.value("SELECT count(*) FROM pairs") == 0
    assert (await world.run(event, "welcome", Side.CANDIDATE))["authority"] == "none"


async def test_a_delayed_event_is_delayed_by_both_platforms_and_its_deadline_counts_from_then(
    world: StageSet,
) -> None:
    start = datetime.now(UTC) + timedelta(days=5)
    (event,) = await world.accept(scheduled_at=start)
    async with world.delivering():
        await _delivered(world)
    assert {run.status for run in world.trigger.runs()} == {"DELAYED"}
    assert {event.ts for event in world.inngest.events()} == {int(start.timestamp() * 1000)}
    pair = await world.rows("SELECT deadline_at, starts_at FROM pairs WHERE id = %s", derived_id(event, "welcome"))
    assert pair == [(start + timedelta(minutes=15), start)]
    assert (await world.run(event, "welcome", Side.LEGACY))["poll_at"] > start


async def test_a_start_that_was_moved_in_time_is_the_candidates_too(world: StageSet) -> None:
    event = await world.call({"n": 1}, "payout-1")
    async with world.delivering(Side.LEGACY):

        async def taken() -> bool:
            return bool(await world.value("SELECT count(*) FROM runs WHERE state = 'sent'"))

        await until(taken)
    (run,) = world.trigger.runs()
    moved = datetime.now(UTC) + timedelta(days=5)
    async with world.database.connection(Work.CONTROL) as conn:
        expected = await run_changes.expect_rescheduled(conn, "trigger", run.id)
        assert expected is not None
        await run_changes.rescheduled(conn, world.catalogue, expected, moved, datetime.now(UTC))
    async with world.delivering(Side.CANDIDATE):
        await _delivered(world)
    assert {event.ts for event in world.inngest.events()} == {int(moved.timestamp() * 1000)}
    assert await world.rows("SELECT incomparable, starts_at FROM pairs") == [(None, moved)]
    assert (await world.run(event, "pay-out", Side.CANDIDATE))["poll_at"] > moved


async def test_one_tenants_rate_is_kept_and_others_do_not_wait_for_it(world: StageSet) -> None:
    await world.accept("digest/due", tenant="busy", count=8)
    await world.accept("digest/due", tenant="quiet")
    async with world.delivering(Side.LEGACY):
        await until(lambda: len(world.trigger.runs()) >= 5)
        early = [run.payload["tenantId"] for run in world.trigger.runs()]
        assert early.count("busy") == 4
        assert early.count("quiet") == 1
        await until(lambda: len(world.trigger.runs()) == 9)
    first, last = world.trigger.runs()[0].created_at, world.trigger.runs()[-1].created_at
    assert timedelta(seconds=0.8) < last - first
    assert await world.value("SELECT count(*) FROM dispatches WHERE side = 'legacy'") == 0
