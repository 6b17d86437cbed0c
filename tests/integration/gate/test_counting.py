"""Counting over a real database: in order, once, up to the oldest unresolved pair, and as judged again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from shadow.catalogue import ResolvedTask, parse
from shadow.gate.counting import CountingLoop
from shadow.gate.epoch_counts import count
from shadow.gate.frontier import Frontiers, frontiers
from shadow.gate.order import UNDER_WAY
from shadow.gate.process import log_e, minimum_pairs, pairs_to_open
from shadow.gate.report import Counted
from shadow.model.ids import new_id
from shadow.store.database import Connection, Database
from tests.integration.gate.world import LATER, T0, TASK, World
from tests.integration.judge.world import CATALOGUE

NEEDED = pairs_to_open(0, 0, 0.01, 0.05)


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def test_each_verdict_counts_as_what_it_is(world: World) -> None:
    await world.pairs("mmmxcln")
    turn = await world.counted()
    assert (turn.begun, turn.counted) == (1, 7)
    epoch = await world.epoch()
    assert epoch.live == Counted(match=3, mismatch=1, missing=2, not_comparable=1)
    assert (epoch.pairs, epoch.mismatches, epoch.standing.now.place) == (6, 3, 7)
    assert (epoch.number, epoch.because, epoch.started_at) == (1, "the first pairs of the task", T0)
    ((logs, until),) = await world.rows("SELECT log_e, counted_until FROM epochs")
    assert logs["below"] == pytest.approx(log_e(6, 3, 0.01))
    assert until == T0 + timedelta(seconds=6)


async def test_a_task_that_can_not_be_counted_keeps_no_other_from_being_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def counting(connection: Connection, task: ResolvedTask, *how: Any, **limited: Any) -> int:
        if task.id == "digest":
            raise ValueError("out of shape")
        return await count(connection, task, *how, **limited)

    monkeypatch.setattr("shadow.gate.counting.count", counting)
    await world.pairs("m", task="digest")
    await world.pairs("mm")
    assert (await world.counted()).counted == 2
    assert (await world.epoch()).live == Counted(match=2)


@pytest.mark.parametrize(
    "damage",
    ["""counts = '{"live": {"nonsense": 1}}'""", """log_e = '{"budget": 0.1}'"""],
    ids=["counts", "what was asked"],
)
async def test_an_epoch_that_can_not_be_read_keeps_no_other_from_being_counted(world: World, damage: str) -> None:
    await world.pairs("m", task="digest")
    await world.pairs("mm")
    await world.loop.once(T0)  # the epochs begin
    await world.execute(f"UPDATE epochs SET {damage} WHERE task = 'digest'")
    assert (await world.counted()).counted == 2
    assert (await world.epoch()).live == Counted(match=2)


async def test_a_frontier_that_was_looked_for_long_is_kept_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the time a twentieth is spent on it at most, and never is it older than a few seconds."""
    clock, looked = SimpleNamespace(now=1000.0), list[float]()

    async def looking(*asked: Any) -> Frontiers:
        looked.append(clock.now)
        clock.now += 0.1
        return await frontiers(*asked)

    monkeypatch.setattr("shadow.gate.counting.frontiers", looking)
    monkeypatch.setattr("shadow.gate.counting.time", SimpleNamespace(monotonic=lambda: clock.now))
    for after in (0.0, 1.9, 0.2):
        clock.now += after
        await world.pairs("m")
        await world.loop.once()
    assert looked == pytest.approx([1000.0, 1002.2])


async def test_nothing_after_the_oldest_unresolved_pair_is_counted(world: World) -> None:
    """A miss is known long after the matches that came after it."""
    pairs = await world.pairs("mm.mmm")
    await world.counted()
    assert await world.said() == {"match": 2}
    await world.judged(pairs[2], "c")
    await world.counted()
    assert await world.said() == {"match": 5, "missing": 1}
    assert await world.rows("SELECT counted_place, counted FROM pairs WHERE id = %s", pairs[2]) == [(3, "missing")]


async def test_a_pair_that_is_due_to_be_judged_again_is_waited_for(world: World) -> None:
    pairs = await world.pairs("mmm")
    await world.execute("UPDATE pairs SET due_at = now() WHERE id = %s", pairs[1])
    await world.counted()
    assert await world.said() == {"match": 1}
    await world.judged(pairs[1], "x")
    await world.counted()
    assert await world.said() == {"match": 2, "mismatch": 1}


async def test_a_delayed_event_counts_from_its_scheduled_start(world: World) -> None:
    """So the order is known when it is accepted."""
    (delayed,) = await world.pairs(".", T0 + timedelta(seconds=10), accepted=T0)
    await world.pairs("m" * 20)
    await world.counted()
    assert await world.said() == {"match": 10}
    await world.judged(delayed, "c")
    await world.counted()
    assert await world.said() == {"match": 20, "missing": 1}


async def test_what_was_accepted_just_now_waits_for_commits_under_way(world: World) -> None:
    await world.pairs("mmm")
    await world.counted(T0 + UNDER_WAY + timedelta(seconds=1.5))
    assert await world.said() == {"match": 2}


@pytest.mark.parametrize(("state", "counted"), [("due", 2), ("held", 2), ("sequenced", 2), ("dead", 5)])
async def test_an_event_whose_pairs_are_not_there_yet_is_waited_for(world: World, state: str, counted: int) -> None:
    pairs = await world.pairs("mmmmm")
    ((event,),) = await world.rows("SELECT event_id FROM pairs WHERE id = %s", pairs[2])
    unopened, at = new_id(), T0 + timedelta(seconds=1.5)
    await world.execute(
        "INSERT INTO events (id, source, door, origin, name, delivery_id, accepted_at, route, phase) VALUES"
        " (%s, 'app', 'inngest', 'producer', 'order/created', 'd', %s, 'order-sync', 'shadow')",
        unopened,
        at,
    )
    for known in (unopened, event):  # that of an event whose pair is there holds nothing up
        await world.execute(
            "INSERT INTO dispatches (id, event_id, side, platform, state) VALUES (%s, %s, 'candidate', 'inngest', %s)",
            new_id(),
            known,
            state,
        )
    await world.pairs("mmm", task="digest")
    await world.counted()
    assert await world.said() == {"match": counted}
    assert await world.said("digest") == {"match": 3}


async def test_a_pair_that_was_opened_late_is_the_next(world: World) -> None:
    """Its dead letter was sent again."""
    await world.pairs("mmm", T0)
    await world.counted()
    (late,) = await world.pairs(".", T0 + timedelta(seconds=0.5))
    await world.pairs("mm", T0 + timedelta(seconds=10))
    await world.counted()
    assert await world.said() == {"match": 3}
    await world.judged(late, "m")
    await world.counted()
    assert await world.said() == {"match": 6}


async def test_it_opens_with_the_pair_that_reaches_the_threshold_and_regresses_by_later_ones(world: World) -> None:
    await world.pairs("m" * (NEEDED + 20))
    await world.counted()
    epoch = await world.epoch()
    assert minimum_pairs(0.01, 0.05) < NEEDED
    assert epoch.opened_after == NEEDED
    assert epoch.opened_at == LATER
    assert epoch.regressed_at is None
    assert await world.rows("SELECT opened_after FROM epochs") == [(NEEDED,)]
    await world.pairs("xmxmx", T0 + timedelta(days=1))
    await world.counted()
    epoch = await world.epoch()
    assert epoch.regressed_at == LATER
    assert epoch.opened_after == NEEDED
    await world.pairs("m" * 50, T0 + timedelta(days=2))
    await world.counted()
    assert (await world.epoch()).regressed_at == LATER


async def test_batches_count_as_one(world: World) -> None:
    pairs = await world.pairs("mxnm" * 10)
    loop = CountingLoop(world.database, world.catalogue, batch=7, look_seconds=0)
    turns = [await loop.once(LATER)]
    while turns[-1].more:
        turns.append(await loop.once(LATER))
    assert [turn.counted for turn in turns] == [7, 7, 7, 7, 7, 5]
    assert await world.said() == {"match": 20, "mismatch": 10, "not_comparable": 10}
    places = await world.rows("SELECT id, counted_place FROM pairs ORDER BY starts_at")
    assert places == [(pair, place + 1) for place, pair in enumerate(pairs)]


# -- judged again


async def test_new_evidence_under_the_same_rules_counts_both_ways(world: World) -> None:
    pairs = await world.pairs("mmxm")
    await world.counted()
    await world.judged(pairs[0], "x")
    await world.judged(pairs[2], "m")
    await world.judged(pairs[3], "n")
    turn = await world.counted()
    assert turn.corrected == 3
    assert await world.said() == {"match": 2, "mismatch": 1, "not_comparable": 1}
    assert await world.rows("SELECT FROM gate_corrections") == []
    assert (await world.epoch()).standing.now.place == 4


async def test_an_opening_that_rested_on_what_was_a_mismatch_after_all_is_taken_back(world: World) -> None:
    pairs = await world.pairs("m" * NEEDED)
    await world.counted()
    assert (await world.epoch()).opened_after == NEEDED
    await world.judged(pairs[5], "x")
    await world.counted()
    epoch = await world.epoch()
    assert (epoch.opened_at, epoch.opened_after) == (None, None)
    await world.judged(pairs[5], "m")
    await world.counted()
    assert (await world.epoch()).opened_after == NEEDED


async def test_what_other_rules_say_of_a_counted_pair_never_counts(world: World) -> None:
    pairs = await world.pairs("mm")
    await world.counted()
    await world.judged(pairs[0], "x", rules="r1-other")
    assert (await world.counted()).corrected == 0
    assert await world.said() == {"match": 2}
    assert await world.rows("SELECT FROM gate_corrections") == []


async def test_a_pair_judged_with_other_rules_is_left_out_and_stays_so(world: World) -> None:
    pairs = await world.pairs("xx", rules="r1-before")
    await world.counted()
    await world.judged(pairs[0], "m")
    await world.counted()
    epoch = await world.epoch()
    assert (epoch.live, epoch.left_out) == (Counted(), {"other_rules": 2})


async def test_a_pair_that_was_not_counted_yet_needs_no_correction(world: World) -> None:
    pairs = await world.pairs(".m")
    await world.counted()
    await world.judged(pairs[1], "x")
    assert await world.rows("SELECT FROM gate_corrections") == []
    await world.judged(pairs[0], "m")
    await world.counted()
    assert await world.said() == {"match": 1, "mismatch": 1}


async def test_corrections_of_pairs_that_are_gone_go_too(world: World) -> None:
    await world.pairs("m")
    await world.counted()
    await world.execute("INSERT INTO gate_corrections VALUES (%s)", new_id())
    await world.counted()
    assert await world.rows("SELECT FROM gate_corrections") == []
    assert await world.said() == {"match": 1}


# -- allowances


async def allow(world: World, pair: UUID, *, made: timedelta, ended: timedelta | None = None) -> None:
    """The pair differs in one thing, which was allowed some time after T0."""
    await world.execute(
        "INSERT INTO differences (pair_id, ordinal, signature, kind, path, severity, sentence)"
        " VALUES (%s, 0, 's1', 'output', '$', 'major', 'it differs') ON CONFLICT DO NOTHING",
        pair,
    )
    await world.execute(
        "INSERT INTO allowances (id, signature, task, max_severity, acknowledged_critical, reason, actor, made_at,"
        " expires_at, ended_at) VALUES (%s, 's1', %s, 'major', false, 'agreed', 'ann', %s, %s, %s)",
        new_id(),
        TASK,
        T0 + made,
        LATER,
        None if ended is None else T0 + ended,
    )


async def test_what_was_allowed_before_the_event_was_accepted_is_no_mismatch(world: World) -> None:
    (pair,) = await world.pairs("a")
    await allow(world, pair, made=-timedelta(seconds=1))
    await world.counted()
    assert await world.said() == {"allowed": 1}
    assert (await world.epoch()).mismatches == 0


async def test_what_was_allowed_after_it_was_seen_stays_a_mismatch(world: World) -> None:
    """A criterion that is chosen by its result would make the test worthless."""
    (pair,) = await world.pairs("a")
    await allow(world, pair, made=timedelta(seconds=1))
    await world.counted()
    assert await world.said() == {"mismatch": 1}


async def test_an_allowance_that_is_renewed_was_there_before(world: World) -> None:
    (pair,) = await world.pairs("a")
    await allow(world, pair, made=-timedelta(days=1), ended=timedelta(days=1))
    await allow(world, pair, made=timedelta(hours=1))
    await world.counted()
    assert await world.said() == {"allowed": 1}


async def test_an_allowance_that_had_ended_before_was_not(world: World) -> None:
    (pair,) = await world.pairs("a")
    await allow(world, pair, made=-timedelta(days=2), ended=-timedelta(days=1))
    await allow(world, pair, made=timedelta(hours=1))
    await world.counted()
    assert await world.said() == {"mismatch": 1}


# -- replays, versions, purposes


async def test_a_replay_counts_once_for_its_event_and_apart(world: World) -> None:
    originals = await world.pairs("xx.", T0 - timedelta(days=1), rules="r1-before")
    await world.pairs("m")
    await world.execute("UPDATE pairs SET counted = 'other_rules' WHERE id = ANY(%s)", originals)  # of an epoch before
    again = T0 + timedelta(hours=1)
    await world.pairs("mx", again, purpose="replay", replays=originals[:2])
    await world.pairs("xm", again + timedelta(hours=1), purpose="replay", replays=originals[:2])
    await world.counted()
    epoch = await world.epoch()
    assert (epoch.live, epoch.replayed) == (Counted(match=1), Counted(match=1, mismatch=1))
    assert epoch.left_out == {"repeated": 2}
    assert (epoch.pairs, epoch.mismatches) == (3, 1)


async def test_a_live_pair_and_its_replay_never_both_count(world: World) -> None:
    originals = await world.pairs("mx")
    await world.counted()
    await world.pairs("mm", T0 + timedelta(hours=1), purpose="replay", replays=originals)
    await world.counted()
    epoch = await world.epoch()
    assert (epoch.live, epoch.replayed, epoch.left_out) == (Counted(match=1, mismatch=1), Counted(), {"repeated": 2})


async def test_legacy_against_legacy_counts_never(world: World) -> None:
    originals = await world.pairs("m")
    await world.pairs("x", T0 + timedelta(hours=1), purpose="legacy_twice", replays=originals)
    await world.counted()
    epoch = await world.epoch()
    assert (epoch.pairs, epoch.mismatches, epoch.left_out) == (1, 0, {"other_purpose": 1})


async def test_runs_known_to_be_of_another_version_do_not_count(world: World) -> None:
    await world.execute(
        "INSERT INTO versions_seen (task, side, version, first_seen_at, last_seen_at) VALUES"
        " (%s, 'candidate', 'v2', %s, %s)",
        TASK,
        T0 - timedelta(days=1),
        T0,
    )
    await world.pairs("m", versions=(None, "v2"))
    await world.pairs("xx", T0 + timedelta(minutes=1), versions=(None, "v1"))
    await world.pairs("m", T0 + timedelta(minutes=2), versions=("20260501.1", None))
    await world.counted()
    epoch = await world.epoch()
    assert (epoch.candidate_version, epoch.live) == ("v2", Counted(match=2))
    assert epoch.left_out == {"other_version": 2}


# -- several at once, and killed


async def test_any_number_of_loops_count_every_pair_once(world: World) -> None:
    await world.pairs("mmmx" * 40)
    await world.pairs("mmmn" * 40, task="digest")
    loops = [CountingLoop(world.database, world.catalogue, batch=9, look_seconds=0) for _ in range(3)]
    for _ in range(40):
        await asyncio.gather(*(loop.once(LATER) for loop in loops))
    assert await world.said() == {"match": 120, "mismatch": 40}
    assert await world.said("digest") == {"match": 120, "not_comparable": 40}
    ((places, last),) = await world.rows("SELECT count(DISTINCT counted_place), max(counted_place) FROM pairs")
    assert (places, last) == (160, 160)


async def test_killed_between_any_two_statements_it_loses_and_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = await world.pairs("mxm.")
    await world.counted()
    await world.pairs("xm", T0 + timedelta(minutes=1))
    await world.judged(pairs[0], "x")
    await world.judged(pairs[3], "c")
    execute = Connection.execute
    statements = survived = 0

    class Killed(BaseException):
        pass

    async def counting(self: Connection, *args: Any, **kwargs: Any) -> Any:
        nonlocal statements
        statements += 1
        if statements > survived:
            raise Killed
        return await execute(self, *args, **kwargs)

    while True:
        statements = 0
        monkeypatch.setattr(Connection, "execute", counting)
        try:
            await world.counted()
            break
        except Killed:
            survived += 1
        finally:
            monkeypatch.setattr(Connection, "execute", execute)
        # As another process would see it: pairs and epoch say the same.
        of_pairs = await world.rows("SELECT counted, count(*)::int FROM pairs WHERE counted IS NOT NULL GROUP BY 1")
        assert dict(of_pairs) == await world.said()
    assert survived > 10
    assert await world.said() == {"match": 2, "mismatch": 3, "missing": 1}
    assert await world.rows("SELECT FROM gate_corrections") == []


async def test_a_stricter_budget_is_asked_of_what_was_counted(database: Database, world: World) -> None:
    await world.pairs("m" * NEEDED)
    await world.counted()
    text = "    category: orders\n"
    stricter = parse(CATALOGUE.replace(text, text + "    gate: {budget: 0.002}\n"), "test.yaml", {})
    loop = CountingLoop(database, stricter, look_seconds=0)
    await loop.once(LATER)
    epoch = await world.epoch()
    assert (epoch.number, epoch.opened_at) == (1, None)
    assert epoch.test is not None
    assert epoch.test.budget == 0.002
