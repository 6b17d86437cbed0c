"""What begins an epoch, and that nothing counts in two."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg.types.json import Jsonb

from shadow.catalogue import parse
from shadow.catalogue.model import Side
from shadow.containment.version import Sighting, UnknownApp, saw_versions
from shadow.gate import epochs
from shadow.gate.beginning import NEW_RULES, Beginnings
from shadow.gate.counting import CountingLoop
from shadow.gate.deployments import by_person, deployed, newest
from shadow.gate.report import Counted
from shadow.gate.versions import GONE
from shadow.model.ids import new_id
from shadow.store.database import Database, Work
from tests.integration.gate.world import LATER, T0, TASK, World
from tests.integration.judge.world import CATALOGUE

MOMENT = timedelta(seconds=1)


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


async def saw(world: World, version: str, side: Side = Side.CANDIDATE, *, at: datetime | None = None) -> None:
    async with world.database.connection(Work.CONTROL) as connection:
        await saw_versions(connection, [Sighting(TASK, side, version, at)])


async def started(world: World) -> None:
    """The task has an epoch, in which something was counted, of version v1."""
    await saw(world, "v1", at=T0)
    await world.pairs("mm")
    await world.counted()


async def test_a_task_without_pairs_has_no_epoch(world: World) -> None:
    await saw(world, "v1")
    assert (await world.counted()).begun == 0
    assert await world.rows("SELECT FROM epochs") == []


async def test_a_version_that_is_seen_for_the_first_time_begins_one(world: World) -> None:
    await started(world)
    before = await world.epoch()
    await saw(world, "v2")
    assert (await world.counted()).begun == 1
    epoch = await world.epoch()
    assert (epoch.number, epoch.candidate_version, epoch.live) == (2, "v2", Counted())
    assert epoch.because == "candidate was seen in version v2, after v1"
    ((ended, live),) = await world.rows("SELECT ended_at, counts->'live'->'match' FROM epochs WHERE number = 1")
    assert (ended, live) == (epoch.started_at, 2)
    assert before.id != epoch.id


async def test_two_versions_at_work_in_parallel_begin_no_epoch_after_epoch(world: World) -> None:
    await started(world)
    for _ in range(5):
        await saw(world, "v1")
        await saw(world, "v2")
        await world.counted()
    assert (await world.epoch()).number == 2


async def test_a_version_that_is_back_alone_begins_one(world: World) -> None:
    await started(world)
    await saw(world, "v2")
    await world.counted()
    await saw(world, "v1", at=datetime.now(UTC) + GONE + timedelta(minutes=1))
    await world.counted()
    epoch = await world.epoch()
    assert (epoch.number, epoch.candidate_version) == (3, "v1")


async def test_only_pairs_of_events_accepted_since_count(world: World) -> None:
    await started(world)
    await world.pairs("xxx", T0 + timedelta(hours=1))
    await saw(world, "v2")
    await world.counted()
    epoch = await world.epoch()
    await world.pairs("xx", epoch.started_at - MOMENT * 2)
    await world.pairs("m", epoch.started_at)
    await world.pairs("mm", epoch.started_at + MOMENT)
    await world.counted()
    assert (await world.epoch()).live == Counted(match=3)


async def test_what_is_judged_again_after_its_epoch_has_ended_changes_nothing(world: World) -> None:
    pairs = await world.pairs("mm")
    await world.counted()
    await by_person(world.database, TASK, actor="ann", reason="another shop")
    await world.judged(pairs[0], "x")
    await world.counted()
    assert (await world.epoch()).live == Counted()
    assert await world.rows("SELECT counts->'live'->'match' FROM epochs WHERE number = 1") == [(2,)]
    assert await world.rows("SELECT FROM gate_corrections") == []


async def test_the_first_version_that_is_told_is_the_epochs_own_while_nothing_was_counted(world: World) -> None:
    await world.pairs(".m")
    await world.counted()
    await saw(world, "v1")
    await saw(world, "20260501.4", Side.LEGACY)
    await world.counted()
    epoch = await world.epoch()
    assert (epoch.number, epoch.candidate_version, epoch.legacy_version) == (1, "v1", "20260501.4")


async def test_a_first_version_after_pairs_were_counted_begins_one(world: World) -> None:
    await world.pairs("m")
    await world.counted()
    await saw(world, "v1")
    await world.counted()
    epoch = await world.epoch()
    assert (epoch.number, epoch.because) == (2, "candidate told its version for the first time: v1")


async def test_a_deploy_that_is_told_begins_one_for_every_task_of_the_app(world: World) -> None:
    await started(world)
    await world.pairs("m", task="digest")
    await world.counted()
    told = await deployed(
        world.database, world.catalogue, Side.CANDIDATE, "v2", app="shop", actor="token:ci", note="release 7"
    )
    assert told.tasks == ("digest", TASK)
    assert told.begun == ("digest", TASK)
    epoch = await world.epoch()
    assert (epoch.number, epoch.candidate_version) == (2, "v2")
    assert epoch.because == "candidate was deployed in version v2, told by token:ci"
    await saw(world, "v2")
    assert (await world.counted()).begun == 0
    again = await deployed(world.database, world.catalogue, Side.CANDIDATE, "v2", actor="token:ci")
    assert again.begun == ()
    async with world.database.connection(Work.CONTROL) as connection:
        assert [one.note for one in await newest(connection, 10)] == [None, "release 7"]


async def test_a_deploy_of_an_app_that_nobody_knows_is_refused(world: World) -> None:
    with pytest.raises(UnknownApp, match="expected an app of candidate, one of inngest, shop; found 'shopp'"):
        await deployed(world.database, world.catalogue, Side.CANDIDATE, "v2", app="shopp", actor="ann")
    assert await world.rows("SELECT FROM deployments") == []


async def test_rules_that_changed_begin_one_and_pairs_judged_with_them_count(world: World) -> None:
    await world.pairs("m")
    await world.counted()
    rules = {"type": "ignore", "scope": "output", "path": "$.at", "reason": "a time"}
    await world.execute(
        "INSERT INTO proposals (id, task, place, state, source, settings, evidence, decided_at, expires_at)"
        " VALUES (%s, %s, 'output $.at', 'accepted', 'history', %s, '{}', now(), %s)",
        new_id(),
        TASK,
        Jsonb(rules),
        LATER,
    )
    assert (await world.counted()).begun == 1
    epoch = await world.epoch()
    assert (epoch.number, epoch.because) == (2, NEW_RULES)
    await world.pairs("x", epoch.started_at)  # with the rules before
    await world.pairs("m", epoch.started_at + MOMENT, rules=epoch.rules)
    await world.counted()
    found = await world.epoch()
    assert (found.live, found.left_out) == (Counted(match=1), {"other_rules": 1})


async def test_processes_with_two_catalogues_begin_one_epoch_and_not_one_after_the_other(world: World) -> None:
    """While a new catalogue is rolled out."""
    await world.pairs("m")
    await world.counted()
    changed = parse(CATALOGUE.replace("path: $.tookMs", "path: $.lasted"), "test.yaml", {})
    other = Beginnings(world.database, changed)
    for _ in range(3):
        await other.look()
        await world.counted()
    assert (await world.epoch()).number == 2


async def test_a_person_begins_one(world: World) -> None:
    await started(world)
    epoch = await by_person(world.database, TASK, actor="ann", reason="the shop's catalogue was changed")
    assert epoch is not None
    assert (epoch.number, epoch.candidate_version) == (2, "v1")
    assert epoch.because == "ann: the shop's catalogue was changed"
    assert await by_person(world.database, "digest", actor="ann", reason="no pairs yet") is None
    with pytest.raises(ValueError, match="expected a reason"):
        await by_person(world.database, TASK, actor="ann", reason=" ")


async def test_whoever_notices_at_once_begins_one_together(world: World) -> None:
    await started(world)
    await saw(world, "v2")
    loops = [CountingLoop(world.database, world.catalogue, look_seconds=0) for _ in range(4)]
    turns = await asyncio.gather(*(loop.once(LATER) for loop in loops))
    assert sum(turn.begun for turn in turns) == 1
    assert (await world.epoch()).number == 2
    async with world.database.connection(Work.CONTROL) as connection:
        found = await epochs.of_task(connection, TASK, 10)
    assert [epoch.number for epoch in found] == [2, 1]


async def test_persons_at_once_begin_one_each(world: World) -> None:
    await started(world)
    await asyncio.gather(*(by_person(world.database, TASK, actor=name, reason="so") for name in ("ann", "bob", "eve")))
    numbers = await world.rows("SELECT number, ended_at IS NULL FROM epochs ORDER BY number")
    assert numbers == [(1, False), (2, False), (3, False), (4, True)]


def test_the_pure_parts_read_no_clock() -> None:
    folder = Path(epochs.__file__).parent
    for name in ("process", "order", "standing", "stands"):
        text = (folder / f"{name}.py").read_text()
        assert "now(" not in text
        assert "await" not in text
