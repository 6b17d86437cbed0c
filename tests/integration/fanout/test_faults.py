"""What can go wrong on the way: nothing is lost, and no platform runs anything twice."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from sandbox.trigger_dev import AbortTaskRunError
from shadow.catalogue.model import Side
from shadow.fanout.breaker import Circuit
from shadow.fanout.handoff import Started, record_started
from shadow.fanout.queue import Dead, Queue, Taken, resend
from shadow.model.ids import derived_id
from shadow.platforms.adapter import Delivered
from shadow.store.database import Work
from tests.integration.fanout.serving import until
from tests.integration.fanout.stage import StageSet

LEASE = timedelta(seconds=30)


async def _delivered(world: StageSet) -> None:
    async def empty() -> bool:
        return await world.queued() == 0

    await until(empty, within=20)


async def _expire(world: StageSet) -> None:
    """Time passes until the leases of a dead process have run out."""
    async with world.database.connection(Work.CONTROL) as conn:
        await conn.execute("UPDATE dispatches SET due_at = now() WHERE lease IS NOT NULL")


@pytest.mark.parametrize("manner", ["500", "close"])
async def test_an_answer_that_is_lost_starts_no_second_run_on_legacy(world: StageSet, manner: str) -> None:
    (event,) = await world.accept(id="order-1")
    world.trigger.traps.lose_responses = 2
    world.trigger.traps.lose_as = manner  # type: ignore[assignment]  # parametrised
    async with world.delivering():
        await _delivered(world)
    assert sorted(run.task for run in world.trigger.runs()) == ["sync-order", "welcome"]
    known = {(await world.run(event, task, Side.LEGACY))["platform_run_id"] for task in ("sync-order", "welcome")}
    assert known == {run.id for run in world.trigger.runs()}


async def test_not_even_when_the_run_has_failed_before_the_delivery_is_repeated(world: StageSet) -> None:
    """The platform frees the key of a failed run, so that the key alone would not help."""

    async def aborts(payload: object, context: object) -> None:
        raise AbortTaskRunError("no such digest")

    world.trigger.task("slow-down", aborts)
    (event,) = await world.accept("digest/due", id="digest-1")
    world.trigger.traps.lose_responses = 1
    async with world.delivering():
        await _delivered(world)
    await world.trigger.settled()
    assert [run.status for run in world.trigger.runs()] == ["FAILED"]
    assert (await world.run(event, "slow-down", Side.LEGACY))["platform_run_id"] == world.trigger.runs()[0].id


async def test_an_answer_that_is_lost_starts_no_second_run_on_the_candidate(world: StageSet) -> None:
    await world.accept(count=5)
    await world.accept(id="order-9")
    world.inngest.traps.answers_lost = 2
    async with world.delivering():
        await _delivered(world)
    await world.inngest.settled(5)
    assert len(world.inngest.runs()) == 12


async def test_rate_limits_are_waited_for_and_cost_no_attempt(world: StageSet) -> None:
    await world.accept()
    world.inngest.traps.sends_rate_limited = 2
    world.inngest.traps.retry_after = 1
    async with world.delivering(Side.CANDIDATE):
        await until(lambda: len(world.inngest.runs()) == 2)
    assert world.inngest.traps.sends_rate_limited == 0
    assert await world.value("SELECT count(*) FROM dispatches WHERE side = 'candidate'") == 0


async def test_one_bad_event_does_not_keep_its_batch_from_going(world: StageSet) -> None:
    good = await world.accept(count=3)
    (bad,) = await world.accept("order/created", data=None, count=1)
    async with world.database.connection(Work.CONTROL) as conn:
        await conn.execute("UPDATE events SET name = 'inngest/forged' WHERE id = %s", (bad,))
        # as if all had come in one commit
        await conn.execute(
            "UPDATE dispatches AS d SET seed = first.seed, position = first.position + 3"
            " FROM dispatches AS first WHERE first.event_id = %s AND first.side = 'candidate'"
            " AND d.event_id = %s AND d.side = 'candidate'",
            (good[0], bad),
        )
    async with world.delivering(Side.CANDIDATE):
        await until(lambda: len(world.inngest.runs()) >= 6)

        async def dead() -> bool:
            return bool(await world.value("SELECT count(*) FROM dispatches WHERE state = 'dead'"))

        await until(dead)
    await world.inngest.settled(5)
    assert len(world.inngest.runs()) == 6
    told = {row[0] for row in await world.rows("SELECT upstream_id FROM events WHERE id = ANY(%s)", good)}
    assert {run.event_id for run in world.inngest.runs()} == told
    ((error, event),) = await world.rows("SELECT error, event_id FROM dispatches WHERE state = 'dead'")
    assert event == bad
    assert "reserved" in error


_TOO_LATE = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""A start to which no deadline can be added."""


async def test_what_cannot_be_claimed_is_a_dead_letter_and_does_not_stop_its_lane(world: StageSet) -> None:
    before = await world.accept(count=2)
    (poison,) = await world.accept("digest/due")
    long = secrets.token_hex(6000)  # longer than an index takes, and not to be compressed
    (wide,) = await world.accept("digest/due")
    after = await world.accept(count=2)
    async with world.database.connection(Work.CONTROL) as conn:
        await conn.execute("UPDATE events SET scheduled_at = %s WHERE id = %s", (_TOO_LATE, poison))
        await conn.execute("UPDATE events SET tenant = %s WHERE id = %s", (long, wide))
    queue = Queue(world.database, world.catalogue, Side.LEGACY)
    claimed = await queue.claim("trigger", 50, LEASE)
    assert {item.event.id for item in claimed} == {*before, *after}
    assert len(claimed) == 8
    dead = dict(await world.rows("SELECT event_id, error FROM dispatches WHERE side = 'legacy' AND state = 'dead'"))
    assert dead.keys() == {poison, wide}
    assert dead[poison].startswith("could not be claimed: OverflowError: ")
    assert dead[wide].startswith("could not be claimed: ProgramLimitExceeded: ")
    assert long[:50] not in dead[wide]
    assert await queue.claim("trigger", 50, LEASE) == []
    # no run or pair is left behind of what was not claimed
    assert await world.value("SELECT count(*) FROM runs WHERE event_id IN (%s, %s)", poison, wide) == 0


async def test_a_key_too_long_to_be_searched_is_delivered_all_the_same(world: StageSet) -> None:
    """It reaches the platform as it is; only the run can't be looked up by it."""
    (event,) = await world.accept("digest/due")
    long = secrets.token_hex(1000)
    async with world.database.connection(Work.CONTROL) as conn:
        await conn.execute("UPDATE dispatches SET idempotency_key = %s WHERE side = 'legacy'", (long,))
    async with world.delivering(Side.LEGACY):

        async def sent() -> bool:
            return not await world.value("SELECT count(*) FROM dispatches WHERE side = 'legacy'")

        await until(sent)
    (run,) = world.trigger.runs()
    assert run.idempotency_key == long
    ours = await world.value("SELECT id FROM runs WHERE event_id = %s AND side = 'legacy'", event)
    assert await world.rows("SELECT alias, run_id FROM run_aliases") == [(run.id, ours)]


async def test_a_database_that_is_not_as_it_must_be_makes_no_dead_letters(world: StageSet) -> None:
    await world.accept()
    async with world.database.connection(Work.CONTROL) as conn:
        await conn.execute("ALTER TABLE pairs RENAME TO pairs_elsewhere")
    try:
        with pytest.raises(psycopg.errors.UndefinedTable):
            await Queue(world.database, world.catalogue, Side.LEGACY).claim("trigger", 50, LEASE)
    finally:
        async with world.database.connection(Work.CONTROL) as conn:
            await conn.execute("ALTER TABLE pairs_elsewhere RENAME TO pairs")
    assert await world.value("SELECT count(*) FROM dispatches WHERE state = 'dead'") == 0


async def test_a_dead_letter_is_sent_again_under_the_same_key(world: StageSet) -> None:
    (event,) = await world.accept(id="order-1")
    queue = Queue(world.database, world.catalogue, Side.LEGACY)
    claimed = await queue.claim("trigger", 10, LEASE)
    # It is given up although the platform had taken it: the worst that can happen.
    for item in claimed:
        (result,) = await world.adapters["trigger"].deliver([item.delivery])
        assert isinstance(result, Delivered)
    await queue.write_back([(item, Dead("given up")) for item in claimed])
    async with world.delivering(Side.LEGACY):
        await asyncio.sleep(0.2)
        assert await world.value("SELECT count(*) FROM dispatches WHERE state = 'dead'") == 2
        async with world.database.connection(Work.CONTROL) as conn:
            again = await resend(conn, world.catalogue, [item.id for item in claimed])
        assert sorted(again) == sorted(item.id for item in claimed)

        async def sent() -> bool:
            return bool((await world.run(event, "welcome", Side.LEGACY))["state"] == "sent")

        await until(sent)
    assert len(world.trigger.runs()) == 2


async def test_a_process_that_dies_after_delivering_leaves_its_work_to_another(world: StageSet) -> None:
    (event,) = await world.accept(id="order-1")
    for side, platform in ((Side.LEGACY, "trigger"), (Side.CANDIDATE, "inngest")):
        claimed = await Queue(world.database, world.catalogue, side).claim(platform, 10, LEASE)
        adapter = world.adapters[platform]
        for group in adapter.groups([item.delivery for item in claimed]):
            await adapter.deliver(group)
        # and here it is killed: nothing of it was written back
    await _expire(world)
    async with world.delivering():
        await _delivered(world)
    await world.inngest.settled(5)
    assert len(world.trigger.runs()) == 2
    assert len(world.inngest.runs()) == 2
    assert (await world.run(event, "welcome", Side.LEGACY))["state"] == "sent"


async def test_results_of_a_lost_lease_are_void(world: StageSet) -> None:
    (event,) = await world.accept(id="order-1")
    queue = Queue(world.database, world.catalogue, Side.LEGACY)
    slow = await queue.claim("trigger", 10, LEASE)
    await _expire(world)
    quick = await queue.claim("trigger", 10, LEASE)
    assert {item.id for item in quick} == {item.id for item in slow}
    await queue.write_back([(item, Dead("too late to say so")) for item in slow])
    await queue.write_back([(item, Taken("run_of_nobody")) for item in slow])
    assert (await world.run(event, "welcome", Side.LEGACY))["state"] == "expected"
    await queue.write_back([(item, Taken(f"run_{item.task}")) for item in quick])
    assert (await world.run(event, "welcome", Side.LEGACY))["platform_run_id"] == "run_welcome"
    assert await world.value("SELECT count(*) FROM dispatches WHERE side = 'legacy'") == 0


async def test_recording_that_a_run_was_started_is_harmless_to_repeat(world: StageSet) -> None:
    event = await world.call({"requestId": "w1"}, "key-1", delay=timedelta(minutes=1))
    started = Started(None, event, Side.LEGACY, "pay-out", "trigger", "run_1")
    for _ in range(3):
        async with world.database.connection(Work.ACCEPT) as conn:
            await record_started(conn, world.catalogue, [started])
    run = await world.run(event, "pay-out", Side.LEGACY)
    assert (run["state"], run["platform_run_id"]) == ("sent", "run_1")
    assert await world.rows("SELECT opened FROM tallies") == [(1,)]
    assert await world.rows("SELECT side, state FROM dispatches") == [("candidate", "due")]


async def test_the_mirrored_call_waits_until_legacy_has_its_run(world: StageSet) -> None:
    event = await world.call({"requestId": "w1"}, "key-1", delay=timedelta(minutes=1))
    async with world.delivering():
        await asyncio.sleep(0.3)
        assert world.inngest.runs() == []
        async with world.database.connection(Work.ACCEPT) as conn:
            started = Started(None, event, Side.LEGACY, "pay-out", "trigger", "run_1")
            await record_started(conn, world.catalogue, [started])
        await until(lambda: len(world.inngest.runs()) == 1)
    assert world.trigger.runs() == []


async def test_a_call_without_an_answer_is_sent_again_as_it_was_under_its_key(world: StageSet) -> None:
    await world.call({"requestId": "w1"}, "key-1")
    async with world.delivering():
        await _delivered(world)
    (run,) = world.trigger.runs()
    assert (run.payload, run.idempotency_key, run.tags) == ({"requestId": "w1"}, "key-1", ("from-producer",))
    (twin,) = world.inngest.runs()
    assert twin.function_id == "shop-pay-out"


async def test_a_candidate_that_is_down_costs_legacy_nothing_and_loses_nothing(world: StageSet) -> None:
    events = await world.accept(count=20)
    world.inngest.traps.sends_unavailable = 10_000
    candidate = world.loop(Side.CANDIDATE)
    await candidate.start()
    try:
        async with world.delivering(Side.LEGACY):
            await until(lambda: len(world.trigger.runs()) == 40)
        await until(lambda: candidate.states[0].circuit is Circuit.OPEN)
        await asyncio.sleep(0.5)
        worst = await world.value("SELECT max(attempts) FROM dispatches WHERE side = 'candidate'")
        assert worst <= 8, "an open breaker spends no attempts"
        world.inngest.traps.sends_unavailable = 0
        await until(lambda: len(world.inngest.runs()) == 40, within=30)
    finally:
        await candidate.stop()
    assert await world.queued() == 0
    assert len(events) == 20


async def _cancel(world: StageSet, event: UUID, task: str) -> None:
    async with world.database.connection(Work.CONTROL) as conn:
        await conn.execute(
            "INSERT INTO dispatches (id, event_id, side, stage, platform, task)"
            " VALUES (gen_random_uuid(), %s, 'candidate', 'cancel', 'inngest', %s)",
            (event, task),
        )
        await conn.execute("NOTIFY shadow_dispatches")


async def test_cancelling_the_twin_of_a_run_that_waits(world: StageSet) -> None:
    (event,) = await world.accept(scheduled_at=datetime.now(UTC) + timedelta(days=1))
    async with world.delivering():
        await _delivered(world)
        await _cancel(world, event, "welcome")
        await _delivered(world)
    statuses = {run.function_id: run.status for run in world.inngest.runs()}
    assert statuses["shop-welcome"] == "Cancelled"
    assert statuses["shop-sync-order"] != "Cancelled"


async def test_cancelling_the_twin_too_late_makes_the_pair_no_evidence(world: StageSet) -> None:
    (event,) = await world.accept()
    async with world.delivering():
        await _delivered(world)
        await world.inngest.settled(5)
        await _cancel(world, event, "welcome")
        await _delivered(world)
    reason = await world.value("SELECT incomparable FROM pairs WHERE id = %s", derived_id(event, "welcome"))
    assert reason.startswith("changed_by_producer")
