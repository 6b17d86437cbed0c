"""A run without authority starts after its twin has settled, with the rows that its twin found, and only once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from sandbox.trigger_dev import TaskContext
from shadow.catalogue.model import Origin, Side
from shadow.effects.record import SeenEffect, record_effects
from shadow.fanout.handoff import look_again
from shadow.fanout.opening import open_pairs
from shadow.fanout.queue import resend
from shadow.fanout.resending import send_again
from shadow.fanout.stored_events import load_events
from shadow.intake import run_changes
from shadow.intake.arrival import State
from shadow.model.ids import derived_id, new_id
from shadow.outcomes.outcome import LearnedBy, RunOutcome, Status
from shadow.outcomes.record import record_outcomes
from shadow.store.database import Database, Work
from shadow.world.sequencing import CHANNEL, Sequencer
from tests.integration.fanout.serving import until
from tests.integration.fanout.stage import DEFAULTS, StageSet, stage

AFTER = "defaults: {deadline: 15m, settle: 300ms, sequence: after}"
TASKS = ("sync-order", "welcome")


@pytest.fixture
async def world(database: Database) -> AsyncIterator[StageSet]:
    async with stage(database, defaults=AFTER) as ready:
        yield ready


@pytest.fixture
async def sequencer(world: StageSet) -> AsyncIterator[Sequencer]:
    """One that is asked for each round."""
    made = Sequencer(world.database, world.catalogue)
    yield made
    await made.stop()


async def states(world: StageSet, side: Side = Side.CANDIDATE) -> list[str]:
    rows = await world.rows("SELECT state FROM dispatches WHERE side = %s ORDER BY id", side.value)
    return [row[0] for row in rows]


async def run_all(world: StageSet, event: UUID, task: str, side: Side = Side.LEGACY, ago: float = 10.0) -> None:
    """The run of that side has ended so many seconds ago, and it was told just now."""
    async with world.database.connection(Work.CONTROL) as conn:
        await open_pairs(conn, world.catalogue, await load_events(conn, [event]))
        await conn.execute(
            "UPDATE runs SET state = 'finished', status = 'completed', finished_at = now() - %s WHERE id = %s",
            (timedelta(seconds=ago), derived_id(event, task, side)),
        )
        await look_again(conn, [event])


async def execute(world: StageSet, statement: str, *values: Any) -> None:
    async with world.database.connection(Work.CONTROL) as conn:
        await conn.execute(statement.encode(), values)


async def due_in(world: StageSet, event: UUID) -> float:
    """Seconds until the candidate's dispatch is looked at."""
    return float(
        await world.value(
            "SELECT extract(epoch FROM due_at - now()) FROM dispatches WHERE event_id = %s AND side = 'candidate'",
            event,
        )
    )


# -- the whole way ----------------------------------------------------------------------------------


async def test_the_candidate_starts_when_all_of_legacys_runs_have_settled(world: StageSet) -> None:
    gate = asyncio.Event()
    ended: list[datetime] = []

    async def slow(payload: Any, context: TaskContext) -> Any:
        await gate.wait()
        ended.append(datetime.now(UTC))
        return {}

    world.trigger.task("welcome", slow)
    await world.accept(id="order-1")
    sequencers = [Sequencer(world.database, world.catalogue) for _ in range(3)]
    collector = world.collector()
    await collector.start()
    for sequencer in sequencers:
        await sequencer.start()
    try:
        async with world.delivering():
            await until(lambda: len(world.trigger.runs()) == 2)
            await asyncio.sleep(1.0)
            assert world.inngest.runs() == []
            assert await states(world) == ["sequenced"]
            gate.set()
            await until(lambda: len(world.inngest.runs()) == 2)
    finally:
        for sequencer in sequencers:
            await sequencer.stop()
        await collector.stop()
    assert {run.function_id for run in world.inngest.runs()} == {"shop-sync-order", "shop-welcome"}
    started = min(run.started_at for run in world.inngest.runs() if run.started_at is not None)
    assert started - ended[0] >= timedelta(milliseconds=300)


async def test_a_twin_that_ends_wakes_the_sequencer_though_its_pair_waits_on(world: StageSet) -> None:
    (event,) = await world.accept(id="order-1")
    async with world.database.connection(Work.CONTROL) as conn:
        await open_pairs(conn, world.catalogue, await load_events(conn, [event]))
    ended = RunOutcome(
        platform="trigger",
        platform_run_id="run_1",
        status=Status.COMPLETED,
        learned_by=LearnedBy.REPORT,
        task="welcome",
        asked_for=derived_id(event, "welcome", Side.LEGACY),
    )
    async with world.database.direct() as listening:
        await listening.execute(f"LISTEN {CHANNEL}")
        async with world.database.connection(Work.OUTCOMES) as conn:
            assert await record_outcomes(conn, world.catalogue, [ended]) == 1
        assert await world.value("SELECT state FROM pairs WHERE id = %s", derived_id(event, "welcome")) == "waiting"
        assert [notice.channel async for notice in listening.notifies(timeout=1, stop_after=1)] == [CHANNEL]


async def test_a_call_at_the_trigger_door_is_held_for_legacys_word_and_then_for_its_end(world: StageSet) -> None:
    event = await world.call({"requestId": "r-1"}, "key-1")
    assert await states(world) == ["held"]
    sequencer = Sequencer(world.database, world.catalogue)
    collector = world.collector()
    await collector.start()
    try:
        async with world.delivering():
            await until(lambda: len(world.trigger.runs()) == 1)

            async def sequenced() -> bool:
                return await states(world) == ["sequenced"]

            await until(sequenced)
            await sequencer.start()
            await until(lambda: len(world.inngest.runs()) == 1)
    finally:
        await sequencer.stop()
        await collector.stop()
    assert (await world.run(event, "pay-out", Side.CANDIDATE))["authority"] == "none"


# -- one step after another -------------------------------------------------------------------------


async def test_a_sequenced_dispatch_rests_until_its_patience_ends(world: StageSet, sequencer: Sequencer) -> None:
    (event,) = await world.accept()
    assert await states(world) == ["sequenced"]
    assert await states(world, Side.LEGACY) == ["due", "due"]
    assert 890 < await due_in(world, event) <= 900
    assert (await sequencer.once()).claimed == 0


async def test_patience_counts_from_a_delayed_start(world: StageSet) -> None:
    (event,) = await world.accept(scheduled_at=datetime.now(UTC) + timedelta(hours=3))
    assert 3 * 3600 + 890 < await due_in(world, event) <= 3 * 3600 + 900


async def test_one_end_of_two_is_not_enough(world: StageSet, sequencer: Sequencer) -> None:
    (event,) = await world.accept()
    await run_all(world, event, "welcome")
    done = await sequencer.once()
    assert (done.claimed, done.released) == (1, 0)
    assert await states(world) == ["sequenced"]
    assert 880 < await due_in(world, event) <= 900


async def test_it_waits_on_for_as_long_as_effects_may_be_late(world: StageSet, sequencer: Sequencer) -> None:
    (event,) = await world.accept()
    for task in TASKS:
        await run_all(world, event, task)
    effect = SeenEffect(None, "http", "mail", "POST /send", b"{}", run_id=derived_id(event, "welcome", Side.LEGACY))
    async with world.database.connection(Work.CONTROL) as conn:
        await record_effects(conn, Side.LEGACY, [effect])
    done = await sequencer.once()
    assert done.released == 0
    assert done.rest is not None
    assert timedelta(0) < done.rest <= timedelta(milliseconds=300)
    await asyncio.sleep(0.35)
    assert (await sequencer.once()).released == 1


async def test_a_reported_effect_is_as_good_as_any(world: StageSet, sequencer: Sequencer) -> None:
    (event,) = await world.accept()
    for task in TASKS:
        await run_all(world, event, task)
    await execute(
        world, "UPDATE runs SET platform_run_id = 'run_1' WHERE id = %s", derived_id(event, "welcome", Side.LEGACY)
    )
    async with world.database.connection(Work.CONTROL) as conn:
        await record_effects(conn, Side.LEGACY, [SeenEffect("run_1", "http", "mail", "POST /send", b"{}")])
    assert (await sequencer.once()).released == 0


async def test_settled_it_is_let_go_and_its_pairs_have_their_whole_time_from_now(
    world: StageSet, sequencer: Sequencer
) -> None:
    (event,) = await world.accept()
    for task in TASKS:
        await run_all(world, event, task)
    before = await world.rows("SELECT deadline_at - now() FROM pairs")
    assert all(row[0] > timedelta(minutes=29) for row in before)
    assert (await sequencer.once()).released == 1
    assert await states(world) == ["due"]
    after = await world.rows("SELECT deadline_at - now(), due_at = deadline_at FROM pairs")
    assert len(after) == 2
    assert all(timedelta(minutes=14) < row[0] <= timedelta(minutes=15) and row[1] for row in after)
    assert await world.rows("SELECT world FROM runs WHERE world IS NOT NULL") == []


async def test_a_pair_that_the_judge_holds_is_looked_at_anew(world: StageSet, sequencer: Sequencer) -> None:
    (event,) = await world.accept()
    for task in TASKS:
        await run_all(world, event, task)
    await execute(world, "UPDATE pairs SET due_at = now() + interval '2 minutes' WHERE task = 'welcome'")
    await sequencer.once()
    rows = await world.rows("SELECT task, due_at <= now() FROM pairs ORDER BY task")
    assert rows == [("sync-order", False), ("welcome", True)]


async def test_when_patience_is_over_it_goes_late_and_says_so(world: StageSet, sequencer: Sequencer) -> None:
    (event,) = await world.accept()
    await run_all(world, event, "welcome")
    await execute(world, "UPDATE events SET accepted_at = now() - interval '15 minutes 1 second' WHERE id = %s", event)
    await execute(world, "UPDATE dispatches SET due_at = now() WHERE state = 'sequenced'")
    assert (await sequencer.once()).released == 1
    worlds = await world.rows("SELECT side, world FROM runs ORDER BY side, task")
    assert worlds == [("candidate", "late"), ("candidate", "late"), ("legacy", None), ("legacy", None)]


async def test_late_it_goes_even_if_legacy_never_got_the_event(world: StageSet, sequencer: Sequencer) -> None:
    (event,) = await world.accept()
    await execute(world, "UPDATE events SET accepted_at = now() - interval '1 hour' WHERE id = %s", event)
    await execute(world, "UPDATE dispatches SET due_at = now() WHERE state = 'sequenced'")
    assert (await sequencer.once()).released == 1
    assert await world.value("SELECT count(*) FROM pairs WHERE deadline_at > now() + interval '14 minutes'") == 2


async def test_an_end_that_is_told_while_it_is_looked_at_is_not_forgotten(
    world: StageSet, sequencer: Sequencer
) -> None:
    (event,) = await world.accept()
    await run_all(world, event, "welcome")
    known = sequencer._known

    async def meanwhile(claimed: Any) -> Any:
        found = await known(claimed)
        await run_all(world, event, "sync-order")
        return found

    sequencer._known = meanwhile  # type: ignore[method-assign]
    assert (await sequencer.once()).released == 0
    sequencer._known = known  # type: ignore[method-assign]
    assert await due_in(world, event) <= 0
    assert (await sequencer.once()).released == 1


async def test_a_process_that_dies_while_it_looks_leaves_its_work_to_another(
    world: StageSet, sequencer: Sequencer
) -> None:
    (event,) = await world.accept()
    for task in TASKS:
        await run_all(world, event, task)
    assert await sequencer._claim(new_id()) is not None  # and here it is killed
    assert (await sequencer.once()).claimed == 0
    await execute(world, "UPDATE dispatches SET due_at = now() WHERE lease IS NOT NULL")
    assert (await sequencer.once()).released == 1


async def test_what_was_let_go_by_another_is_not_let_go_again(world: StageSet, sequencer: Sequencer) -> None:
    (event,) = await world.accept()
    for task in TASKS:
        await run_all(world, event, task)
    lease = new_id()
    claims = await sequencer._claim(lease)
    assert claims is not None
    await execute(world, "UPDATE dispatches SET due_at = now() WHERE lease IS NOT NULL")
    other = Sequencer(world.database, world.catalogue)
    assert (await other.once()).released == 1
    await other.stop()
    made = await sequencer._made_ready(claims.waiting[0], True, claims.now)
    assert made is not None
    assert await sequencer._release([made], claims, lease) == 0
    assert await world.rows("SELECT world FROM runs WHERE world IS NOT NULL") == []


async def test_an_event_at_the_end_of_time_does_not_hold_up_the_others(world: StageSet, sequencer: Sequencer) -> None:
    (poison,) = await world.accept()
    (event,) = await world.accept()
    for task in TASKS:
        await run_all(world, event, task)
    await execute(
        world,
        "UPDATE events SET scheduled_at = %s WHERE id = %s",
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        poison,
    )
    await execute(world, "UPDATE dispatches SET due_at = now() WHERE state = 'sequenced'")
    assert (await sequencer.once()).released == 2


async def test_a_child_is_not_sequenced(world: StageSet) -> None:
    await world.accept(origin=Origin.CANDIDATE)
    assert await states(world) == ["due"]


async def test_together_nothing_is_sequenced(database: Database) -> None:
    async with stage(database, defaults=DEFAULTS) as together:
        await together.accept()
        assert await states(together) == ["due"]
        await together.call({}, "key-1")
        assert sorted(await states(together)) == ["due", State.HELD]


async def test_a_dead_letter_that_is_sent_again_waits_for_its_twin_too(world: StageSet, sequencer: Sequencer) -> None:
    (event,) = await world.accept()
    await execute(world, "UPDATE dispatches SET state = 'dead'")
    dead = [row[0] for row in await world.rows("SELECT id FROM dispatches")]
    async with world.database.connection(Work.CONTROL) as conn:
        assert sorted(await resend(conn, world.catalogue, dead)) == sorted(dead)
    assert (await states(world), await states(world, Side.LEGACY)) == (["sequenced"], ["due", "due"])
    await sequencer.once()
    assert await states(world) == ["sequenced"]
    for task in TASKS:
        await run_all(world, event, task)
    assert (await sequencer.once()).released == 1


async def test_a_run_that_the_producer_cancels_has_no_twin_yet_to_cancel(world: StageSet) -> None:
    async def forever(payload: Any, context: TaskContext) -> Any:
        await asyncio.Event().wait()

    world.trigger.task("pay-out", forever)
    event = await world.call({"requestId": "r-1"}, "key-1")
    async with world.delivering():
        await until(lambda: len(world.trigger.runs()) == 1)

        async def sequenced() -> bool:
            return await states(world) == ["sequenced"]

        await until(sequenced)
    run = (await world.run(event, "pay-out", Side.LEGACY))["platform_run_id"]
    async with world.database.connection(Work.CONTROL) as conn:
        expected = await run_changes.expect_cancelled(conn, world.catalogue, "trigger", run, timedelta(seconds=30))
        assert expected is not None
    assert sorted(await states(world)) == ["due", "sequenced"]
    async with world.database.connection(Work.CONTROL) as conn:
        await run_changes.cancelled(conn, expected)
    assert await states(world) == []
    assert str(await world.value("SELECT incomparable FROM pairs")).startswith("changed_by_producer")


async def test_a_run_that_the_producer_moves_is_waited_for_from_its_new_start(world: StageSet) -> None:
    event = await world.call({"requestId": "r-1"}, "key-1", scheduled_at=datetime.now(UTC) + timedelta(hours=1))
    async with world.delivering():
        await until(lambda: len(world.trigger.runs()) == 1)

        async def sequenced() -> bool:
            return await states(world) == ["sequenced"]

        await until(sequenced)
    run = (await world.run(event, "pay-out", Side.LEGACY))["platform_run_id"]
    moved = datetime.now(UTC) + timedelta(hours=5)
    async with world.database.connection(Work.CONTROL) as conn:
        expected = await run_changes.expect_rescheduled(conn, "trigger", run)
        assert expected is not None
        await run_changes.rescheduled(conn, world.catalogue, expected, moved, datetime.now(UTC))
    assert await world.value("SELECT incomparable FROM pairs") is None, "the twin starts at the new time too"
    sequencer = Sequencer(world.database, world.catalogue)
    assert (await sequencer.once()).released == 0
    await sequencer.stop()
    patience = timedelta(minutes=15).total_seconds()
    assert 5 * 3600 + patience - 60 < await due_in(world, event) <= 5 * 3600 + patience
    left = await world.value("SELECT extract(epoch FROM deadline_at - now()) FROM pairs")
    assert 5 * 3600 + 2 * patience - 60 < float(left) <= 5 * 3600 + 2 * patience


async def test_a_call_that_is_mapped_late_waits_for_its_twin_too(world: StageSet) -> None:
    event = await world.call({"requestId": "r-1"}, "key-1")
    await execute(world, "UPDATE events SET mapping_error = 'candidate.data: no amount' WHERE id = %s", event)
    await execute(world, "UPDATE dispatches SET state = 'dead' WHERE side = 'candidate'")
    async with world.delivering(Side.LEGACY):
        await until(lambda: len(world.trigger.runs()) == 1)

        async def taken() -> bool:
            return not await states(world, Side.LEGACY)

        await until(taken)
    dead = await world.value("SELECT id FROM dispatches")
    assert await send_again(world.database, world.catalogue, [dead]) == ([dead], {})
    assert await states(world) == ["sequenced"]
    sequencer = Sequencer(world.database, world.catalogue)
    assert (await sequencer.once()).released == 0
    await run_all(world, event, "pay-out")
    assert (await sequencer.once()).released == 1
    await sequencer.stop()


# -- rows -------------------------------------------------------------------------------------------

WITH_ROWS = """defaults:
  deadline: 15m
  settle: 300ms
  sequence: after
  world: [{{table: customers, key: {{id: $.tenantId}}, changed_at: changed_at}}]
databases:
  shop:
    legacy: {{dsn: "{legacy}"}}
    candidate: {{dsn: "{candidate}"}}
"""


@pytest.fixture
def shops(postgres_url: str) -> tuple[str, str]:
    """The URLs of both sides' databases: legacy's has a customer."""
    urls = []
    for name in ("sequencing_legacy", "sequencing_candidate"):
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {name}".encode())
        urls.append(postgres_url.replace("/postgres?", f"/{name}?"))
        with psycopg.connect(urls[-1], autocommit=True) as connection:
            connection.execute("CREATE TABLE customers (id text PRIMARY KEY, name text, changed_at timestamptz)")
    with psycopg.connect(urls[0], autocommit=True) as connection:
        connection.execute("INSERT INTO customers VALUES ('acme', 'Acme', '2020-01-01')")
    return urls[0], urls[1]


def customers(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT id, name FROM customers").fetchall()


async def test_the_rows_are_there_before_the_run_is(database: Database, shops: tuple[str, str]) -> None:
    defaults = WITH_ROWS.format(legacy=shops[0], candidate=shops[1])
    async with stage(database, defaults=defaults) as world:
        sequencer = Sequencer(world.database, world.catalogue)
        (event,) = await world.accept()
        for task in TASKS:
            await run_all(world, event, task)
        assert customers(shops[1]) == []
        assert (await sequencer.once()).released == 1
        await sequencer.stop()
        assert customers(shops[1]) == [("acme", "Acme")]
        worlds = await world.rows("SELECT world FROM runs WHERE side = 'candidate'")
        assert worlds == [("copied",), ("copied",)]


async def test_stale_rows_do_not_keep_the_run_from_starting(database: Database, shops: tuple[str, str]) -> None:
    defaults = WITH_ROWS.format(legacy=shops[0], candidate=shops[1])
    async with stage(database, defaults=defaults) as world:
        sequencer = Sequencer(world.database, world.catalogue)
        (event,) = await world.accept()
        with psycopg.connect(shops[0], autocommit=True) as connection:
            connection.execute("UPDATE customers SET changed_at = clock_timestamp()")
        for task in TASKS:
            await run_all(world, event, task)
        assert (await sequencer.once()).released == 1
        await sequencer.stop()
        assert customers(shops[1]) == []
        for (said,) in await world.rows("SELECT world FROM runs WHERE side = 'candidate'"):
            assert said.startswith("stale_world: customers changed ")


async def test_a_database_that_is_away_is_waited_for_until_patience_is_over(
    database: Database, shops: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadow.world.copying._WAIT_SECONDS", 0.3)
    defaults = WITH_ROWS.format(legacy=shops[0], candidate="postgresql://nobody@127.0.0.1:9/shop")
    async with stage(database, defaults=defaults) as world:
        sequencer = Sequencer(world.database, world.catalogue)
        (event,) = await world.accept()
        for task in TASKS:
            await run_all(world, event, task)
        done = await sequencer.once()
        assert (done.claimed, done.released) == (1, 0)
        assert done.rest is not None
        await execute(world, "UPDATE events SET accepted_at = now() - interval '1 hour' WHERE id = %s", event)
        await execute(world, "UPDATE dispatches SET due_at = now() WHERE state = 'sequenced'")
        assert (await sequencer.once()).released == 1
        await sequencer.stop()
        for (said,) in await world.rows("SELECT world FROM runs WHERE side = 'candidate'"):
            assert said == "not_copied: a database could not be reached"
