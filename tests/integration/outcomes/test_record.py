"""Each outcome finds the run that it is of, whoever tells it, in whatever order and however often."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from shadow.catalogue.model import Side
from shadow.fanout.handoff import Started, record_started
from shadow.fanout.queue import Queue, Taken
from shadow.model.ids import derived_id, new_id
from shadow.outcomes.outcome import LearnedBy, RunOutcome, Status
from shadow.outcomes.record import record_outcomes
from shadow.store import codec
from shadow.store.database import Work
from tests.integration.fanout.stage import StageSet

AT = datetime(2026, 11, 24, 1, 37, tzinfo=UTC)

CANDIDATE = RunOutcome(
    platform="inngest",
    platform_run_id="01M85K61QN6H3MZD9HM6VTVMW7",
    status=Status.COMPLETED,
    learned_by=LearnedBy.WATCHER,
    function="shop-welcome",
    event_id="order-1",
    event_name="order/created",
    output=b'{"ok":true}',
    finished_at=AT,
)
LEGACY = RunOutcome(
    platform="trigger",
    platform_run_id="run_1",
    status=Status.COMPLETED,
    learned_by=LearnedBy.REPORT,
    task="welcome",
    output=b"1",
)


async def record(world: StageSet, *outcomes: RunOutcome) -> int:
    async with world.database.connection(Work.OUTCOMES) as conn:
        return await record_outcomes(conn, world.catalogue, outcomes)


async def opened(world: StageSet, id: str | None = "order-1", **more: Any) -> UUID:
    """An event whose runs and pairs are written down."""
    (event,) = await world.accept(id=id, **more)
    for side, platform in ((Side.LEGACY, "trigger"), (Side.CANDIDATE, "inngest")):
        await Queue(world.database, world.catalogue, side).claim(platform, 10, world.catalogue.tasks["welcome"].settle)
    async with world.database.connection(Work.CONTROL) as conn:
        await conn.execute("UPDATE pairs SET due_at = deadline_at")
    return event


async def due(world: StageSet, event: UUID, task: str = "welcome") -> bool:
    return bool(await world.value("SELECT due_at <= now() FROM pairs WHERE id = %s", derived_id(event, task)))


async def state(world: StageSet, event: UUID, task: str = "welcome") -> str:
    return str(await world.value("SELECT state FROM pairs WHERE id = %s", derived_id(event, task)))


async def test_a_candidate_run_is_found_by_event_and_function(world: StageSet) -> None:
    event = await opened(world)
    assert await record(world, CANDIDATE) == 1
    run = await world.run(event, "welcome", Side.CANDIDATE)
    assert (run["state"], run["status"], run["platform_run_id"]) == (
        "finished",
        "completed",
        CANDIDATE.platform_run_id,
    )
    assert await state(world, event) == "waiting"
    assert await state(world, event, "sync-order") == "open"
    assert (await world.run(event, "sync-order", Side.CANDIDATE))["state"] == "expected"


async def test_it_is_harmless_to_repeat(world: StageSet) -> None:
    event = await opened(world)
    await record(world, CANDIDATE, CANDIDATE)
    async with world.database.connection(Work.CONTROL) as conn:
        await conn.execute("UPDATE pairs SET due_at = NULL, state = 'judged'")
    await record(world, CANDIDATE)
    assert await world.value("SELECT count(*) FROM runs") == 4
    assert not await due(world, event), "nothing was learned, so the judge is left alone"


async def test_the_first_outcome_stands_and_a_later_one_fills_in_what_was_left_open(world: StageSet) -> None:
    event = await opened(world)
    await record(world, replace(CANDIDATE, output=None))
    await record(world, replace(CANDIDATE, attempts=2, version="v7", learned_by=LearnedBy.POLL))
    await record(world, replace(CANDIDATE, status=Status.FAILED, error_message="no"))
    run = await world.run(event, "welcome", Side.CANDIDATE)
    assert (run["status"], run["learned_by"], run["attempts"], run["error_name"]) == ("completed", "watcher", 2, None)
    stored = await world.value("SELECT content FROM bodies WHERE part = 'output'")
    assert codec.decode(stored) == b'{"ok":true}'


async def test_a_second_run_for_the_same_event_is_kept_apart_and_has_the_pair_looked_at(world: StageSet) -> None:
    event = await opened(world)
    second = replace(CANDIDATE, platform_run_id="01M85K7S5Q3TAT1D7JB9J3S8QF", output=b"2")
    await record(world, CANDIDATE)
    async with world.database.connection(Work.CONTROL) as conn:
        await conn.execute("UPDATE pairs SET due_at = NULL, state = 'judged'")
    await record(world, second)
    assert (await world.run(event, "welcome", Side.CANDIDATE))["platform_run_id"] == CANDIDATE.platform_run_id
    extra = await world.rows(
        "SELECT event_id, pair_id, state, authority FROM runs WHERE platform_run_id = %s", second.platform_run_id
    )
    assert extra == [(event, derived_id(event, "welcome"), "finished", "none")]
    assert await due(world, event)
    assert not await due(world, event, "sync-order")


@pytest.mark.parametrize(
    "told",
    [
        datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-5))),  # no datetime in UTC
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))),
        datetime(2099, 1, 1, tzinfo=UTC),  # it has not ended before it will
    ],
)
async def test_a_run_ended_at_the_latest_now_whatever_its_platform_says(world: StageSet, told: datetime) -> None:
    event = await opened(world)
    before = datetime.now(UTC)
    await record(world, replace(CANDIDATE, started_at=told, finished_at=told))
    run = derived_id(event, "welcome", Side.CANDIDATE)
    finished_at = await world.value("SELECT finished_at FROM runs WHERE id = %s", run)
    assert before - timedelta(seconds=5) <= finished_at <= datetime.now(UTC) + timedelta(seconds=5)


async def test_a_run_that_nothing_asked_for_is_unsolicited(world: StageSet) -> None:
    cron = replace(CANDIDATE, event_id="2026-11-24T01:38:00Z", event_name="inngest/scheduled.timer")
    assert await record(world, cron) == 1
    assert await record(world, cron) == 1
    assert await world.rows("SELECT event_id, pair_id, task, state FROM runs") == [(None, None, "welcome", "finished")]


async def test_runs_of_functions_that_the_catalogue_does_not_name_are_left_out(world: StageSet) -> None:
    assert await record(world, replace(CANDIDATE, function="shop-something-else")) == 0
    assert await world.value("SELECT count(*) FROM runs") == 0


async def test_an_event_of_another_name_with_the_same_id_is_another_event(world: StageSet) -> None:
    event = await opened(world)
    await record(world, replace(CANDIDATE, event_name="order/updated"))
    assert (await world.run(event, "welcome", Side.CANDIDATE))["state"] == "expected"


async def test_a_legacy_run_is_found_by_the_platforms_id(world: StageSet) -> None:
    event = await opened(world)
    async with world.database.connection(Work.LEGACY) as conn:
        started = Started(None, event, Side.LEGACY, "welcome", "trigger", "run_1")
        await record_started(conn, world.catalogue, [started])
    await record(world, LEGACY)
    run = await world.run(event, "welcome", Side.LEGACY)
    assert (run["state"], run["poll_at"]) == ("finished", None)


async def test_a_legacy_run_is_found_by_its_key_before_its_id_is_known(world: StageSet) -> None:
    (event,) = await world.accept(id="order-1")
    queue = Queue(world.database, world.catalogue, Side.LEGACY)
    claimed = await queue.claim("trigger", 10, world.catalogue.tasks["welcome"].deadline)
    (welcome,) = [item for item in claimed if item.task == "welcome"]
    await record(world, replace(LEGACY, idempotency_key=welcome.delivery.key))
    assert (await world.run(event, "welcome", Side.LEGACY))["state"] == "finished"
    await queue.write_back([(welcome, Taken("run_1"))])
    run = await world.run(event, "welcome", Side.LEGACY)
    assert (run["state"], run["platform_run_id"], run["poll_at"]) == ("finished", "run_1", None)


async def test_an_outcome_that_outruns_its_answer_is_adopted(world: StageSet) -> None:
    """The worker reports the end of the run before the platform's answer that started it is written down."""
    event = await opened(world)
    await record(world, LEGACY)
    assert await world.value(
        "SELECT event_id IS NULL FROM runs WHERE platform_run_id = 'run_1' OR id IN"
        " (SELECT run_id FROM run_aliases WHERE alias = 'run_1')"
    )
    async with world.database.connection(Work.LEGACY) as conn:
        started = Started(None, event, Side.LEGACY, "welcome", "trigger", "run_1")
        await record_started(conn, world.catalogue, [started])
    run = await world.run(event, "welcome", Side.LEGACY)
    assert (run["state"], run["status"], run["platform_run_id"]) == ("finished", "completed", "run_1")
    assert await world.value("SELECT count(*) FROM runs") == 4
    assert await world.value("SELECT id FROM bodies WHERE part = 'output'") == derived_id(event, "welcome", Side.LEGACY)
    assert await due(world, event)


async def test_a_run_that_was_known_by_its_calls_before_its_answer_goes_on_being_asked_for(world: StageSet) -> None:
    """A worker calls a target before the answer that started its run is written down: it is under way, not over."""
    event = await opened(world)
    early = new_id()
    async with world.database.connection(Work.LEGACY) as conn:
        await conn.execute(
            "INSERT INTO runs (id, task, side, platform, platform_run_id, authority, state)"
            " VALUES (%s, 'welcome', 'legacy', 'trigger', 'run_1', 'real', 'sent')",
            (early,),
        )
        await conn.execute("INSERT INTO run_aliases VALUES ('trigger', 'run_1', %s)", (early,))
        started = Started(None, event, Side.LEGACY, "welcome", "trigger", "run_1")
        await record_started(conn, world.catalogue, [started])
    run = await world.run(event, "welcome", Side.LEGACY)
    assert (run["state"], run["platform_run_id"]) == ("sent", "run_1")
    assert run["poll_at"] is not None
    assert await world.value("SELECT count(*) FROM runs WHERE id = %s", early) == 0
    await record(world, LEGACY)
    assert (await world.run(event, "welcome", Side.LEGACY))["state"] == "finished"


async def test_an_event_that_was_given_an_older_events_run_is_no_evidence(world: StageSet) -> None:
    first, second = await opened(world), await opened(world, id="order-2")
    async with world.database.connection(Work.LEGACY) as conn:
        for event in (first, second):
            started = Started(None, event, Side.LEGACY, "welcome", "trigger", "run_1")
            await record_started(conn, world.catalogue, [started])
    reasons = [
        await world.value("SELECT incomparable FROM pairs WHERE id = %s", derived_id(event, "welcome"))
        for event in (first, second)
    ]
    assert reasons[0] is None
    assert reasons[1].startswith("run_shared")


async def test_text_that_the_database_cannot_keep_does_not_lose_the_outcome(world: StageSet) -> None:
    event = await opened(world)
    await record(world, replace(CANDIDATE, status=Status.FAILED, error_message="bad \x00 and \ud800 text"))
    assert (await world.run(event, "welcome", Side.CANDIDATE))["status"] == "failed"
