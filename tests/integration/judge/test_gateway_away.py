"""What runs did otherwise while a gateway was not there is no difference, once that is known; all else is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shadow.catalogue.model import Side
from shadow.judge.again import Again, judge_again
from shadow.judge.hearing import Hearing
from shadow.judge.loop import JudgeLoop, Round
from shadow.judge.rulebook import Rulebook
from shadow.model.ids import new_id
from shadow.store.upkeep import Upkeep
from tests.integration.judge.world import DEADLINE, Told, World

AGO = timedelta(minutes=5)
"""How long ago the event of most of these pairs came."""
WHY = "gateway_away: a gateway was cut off and not there for 3.0 s while the legacy's run was under way"


@pytest.fixture
def judge(world: World) -> JudgeLoop:
    """One to which the database has answered for an hour."""
    judge = JudgeLoop(world.database, world.catalogue)
    judge._hearing._since -= 3600
    return judge


async def gateway(
    world: World, since: datetime, seen_at: datetime, closed_at: datetime | None = None, left_at: datetime | None = None
) -> None:
    async with world.connection() as connection:
        await connection.execute(
            "INSERT INTO gateways (id, since, seen_at, closed_at, left_at) VALUES (%s, %s, %s, %s, %s)",
            (new_id(), since, seen_at, closed_at, left_at),
        )


async def cut_off(world: World, told: Told, *, after: float) -> None:
    """A gateway was cut off so many seconds after the event, and another took its place three seconds later. A third
    goes on."""
    hour, at = timedelta(hours=1), told.accepted_at + timedelta(seconds=after)
    now = datetime.now(UTC)
    await gateway(world, told.accepted_at - hour, at)
    await gateway(world, at + timedelta(seconds=3), now)
    await gateway(world, told.accepted_at - hour, now)


async def differing(world: World, *, ago: timedelta = AGO) -> Told:
    """A pair whose runs went on for 10 s and returned something else."""
    told = await world.event(accepted_at=datetime.now(UTC) - ago)
    await told.both(1, candidate=2, after=10)
    return told


async def verdicts(world: World) -> list[tuple[object, ...]]:
    return await world.rows("SELECT verdict, reason, difference_count FROM pairs ORDER BY id")


@pytest.mark.parametrize(("after", "expected"), [
    (-10, ("mismatch", None, 1)),
    (5, ("not_comparable", WHY, 0)),
    (12, ("mismatch", None, 1)),
])  # fmt: skip
async def test_runs_that_were_under_way_when_a_gateway_was_cut_off_are_not_compared(
    world: World, judge: JudgeLoop, after: float, expected: tuple[object, ...]
) -> None:
    told = await differing(world)
    await cut_off(world, told, after=after)
    assert (await judge.once()).judged == 1
    assert await verdicts(world) == [expected]


async def test_a_match_stays_one_and_what_is_missing_stays_missing(world: World, judge: JudgeLoop) -> None:
    told = await world.event(accepted_at=datetime.now(UTC) - AGO)
    await told.both(1, after=10)
    alone = await world.event(accepted_at=datetime.now(UTC) - DEADLINE)
    await alone.finished(Side.LEGACY, output=1, after=10)
    for one in (told, alone):
        await cut_off(world, one, after=5)
    async with world.connection() as connection:
        await connection.execute("UPDATE pairs SET deadline_at = now()")
    await judge.once()
    assert sorted(await verdicts(world)) == [
        ("match", None, 0),
        ("missing_candidate", "the candidate's run never came", 0),
    ]


async def test_one_that_left_in_order_excuses_nothing_while_another_is_there(world: World, judge: JudgeLoop) -> None:
    told = await differing(world)
    at = told.accepted_at + timedelta(seconds=5)
    await gateway(world, at - AGO, at, at, at)
    await gateway(world, at - AGO, datetime.now(UTC))
    await judge.once()
    assert await verdicts(world) == [("mismatch", None, 1)]


async def test_a_time_without_any_gateway_excuses_all_that_was_under_way(world: World, judge: JudgeLoop) -> None:
    told = await differing(world)
    at = told.accepted_at - timedelta(minutes=3)
    await gateway(world, at - AGO, at, at, at)
    await gateway(world, at + timedelta(seconds=220), datetime.now(UTC))
    await judge.once()
    why = "gateway_away: no gateway was there for 220.0 s while the legacy's run was under way"
    assert await verdicts(world) == [("not_comparable", why, 0)]


async def test_a_mismatch_waits_until_it_is_known_whether_its_gateway_was_there(world: World, judge: JudgeLoop) -> None:
    """It was last seen while the runs were under way, a few seconds ago."""
    told = await differing(world, ago=timedelta(seconds=16))
    at = told.accepted_at + timedelta(seconds=9)
    await gateway(world, at - AGO, at)
    assert await judge.once() == Round(claimed=1, postponed=1)
    ((state, soon),) = await world.rows("SELECT state, due_at < now() + interval '3 s' FROM pairs")
    assert (state, soon) == ("settling", True)
    async with world.connection() as connection:
        await connection.execute("UPDATE gateways SET seen_at = seen_at - interval '4 s'")  # silent for long
        await connection.execute("UPDATE pairs SET due_at = now()")
    await judge.once()
    ((verdict, reason, _number),) = await verdicts(world)
    assert (verdict, str(reason)[:41]) == ("not_comparable", "gateway_away: no gateway was there for 11")


async def test_and_is_one_when_it_was(world: World, judge: JudgeLoop) -> None:
    told = await differing(world, ago=timedelta(seconds=16))
    at = told.accepted_at + timedelta(seconds=9)
    await gateway(world, at - AGO, at)
    assert await judge.once() == Round(claimed=1, postponed=1)
    async with world.connection() as connection:
        await connection.execute("UPDATE gateways SET seen_at = now()")
        await connection.execute("UPDATE pairs SET due_at = now()")
    await judge.once()
    assert await verdicts(world) == [("mismatch", None, 1)]


async def test_just_after_the_database_was_away_silence_tells_nothing(world: World, judge: JudgeLoop) -> None:
    told = await differing(world)
    await cut_off(world, told, after=5)
    judge._hearing = Hearing()
    assert await judge.once() == Round(claimed=1, postponed=1)


async def test_a_match_waits_for_nobody(world: World, judge: JudgeLoop) -> None:
    told = await world.event(accepted_at=datetime.now(UTC) - timedelta(seconds=16))
    await told.both(1, after=10)
    at = told.accepted_at + timedelta(seconds=9)
    await gateway(world, at - AGO, at)
    assert (await judge.once()).judged == 1


async def test_who_judges_again_finds_the_same(world: World, judge: JudgeLoop) -> None:
    told = await differing(world)
    await cut_off(world, told, after=5)
    await judge.once()
    wanted = Again("order-sync", told.accepted_at - AGO, everything=True)
    page = await judge_again(world.database, Rulebook(world.catalogue), wanted, limit=10, write=True)
    assert [(one.before, one.after) for one in page.judged] == [("not_comparable", "not_comparable")]
    assert await verdicts(world) == [("not_comparable", WHY, 0)]


async def test_what_is_known_of_gateways_is_kept_as_long_as_the_evidence(world: World) -> None:
    now = datetime.now(UTC)
    for days in (10, 20):
        await gateway(world, now - timedelta(days=365), now - timedelta(days=days))
    await Upkeep(world.database).once(now)
    assert await world.rows("SELECT count(*) FROM gateways") == [(2,)]
    await Upkeep(world.database, originals=timedelta(days=2), evidence=timedelta(days=15)).once(now)
    assert await world.rows("SELECT count(*) FROM gateways WHERE seen_at > now() - interval '11 d'") == [(1,)]
    assert await world.rows("SELECT count(*) FROM gateways") == [(1,)]
