"""The gates' loop: what gates say is kept, and what changes is told once, whoever evaluates."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shadow.containment.record import declare, withdraw
from shadow.gate.evaluating import GateLoop, evaluated
from shadow.gate.looking import look
from shadow.gate.stored import changed_at, stored_reports
from tests.integration.gate.standing import TASK, epoch, ready
from tests.integration.judge.world import World

START = timedelta(minutes=1)


@pytest.fixture
def loop(world: World) -> GateLoop:
    """A loop that is not started: tests take its steps."""
    return GateLoop(world.database, world.catalogue)


async def notices(world: World) -> list[tuple[str, str, Any]]:
    return await world.rows("SELECT kind, task, facts -> 'blockers' FROM notices ORDER BY id")


async def test_what_a_gate_says_is_kept(world: World, loop: GateLoop) -> None:
    await ready(world)
    now = datetime.now(UTC)
    reports = await loop.once(now)
    async with world.connection() as connection:
        assert await stored_reports(connection) == reports
        assert await stored_reports(connection, ["digest"]) == {}
        assert await changed_at(connection, [TASK]) == {TASK: now}
    assert await notices(world) == [("gate_opened", TASK, [])]


async def test_tasks_in_legacy_without_an_epoch_are_not_evaluated(world: World, loop: GateLoop) -> None:
    assert await loop.once() == {}
    async with world.connection() as connection:
        await connection.execute(
            "INSERT INTO phases (task, phase, previous, effective_at, version) VALUES ('digest', 'shadow', 'legacy',"
            " now() - interval '1 minute', 1)"
        )
    assert set(await loop.once()) == {"digest"}
    assert await notices(world) == []


async def test_changes_are_told_once_and_dated(world: World, loop: GateLoop) -> None:
    await ready(world)
    now = datetime.now(UTC)
    await loop.once(now)
    await loop.once(now + START)
    await withdraw(world.database, TASK, actor="bob", reason="it writes after all")
    await loop.once(now + 2 * START)
    await loop.once(now + 3 * START)
    await declare(world.database, TASK, actor="bob", reason="no, it does not")
    await loop.once(now + 4 * START)
    assert await notices(world) == [
        ("gate_opened", TASK, []),
        ("gate_closed", TASK, ["leaks", "containment"]),
        ("gate_opened", TASK, []),
    ]
    async with world.connection() as connection:
        assert await changed_at(connection, [TASK]) == {TASK: now + 4 * START}


async def test_a_regression_is_told_in_place_of_the_closing(world: World, loop: GateLoop) -> None:
    await ready(world)
    now = datetime.now(UTC)
    await loop.once(now)
    async with world.connection() as connection:
        await connection.execute("DELETE FROM epochs")
        await connection.execute("DELETE FROM tallies")
    await epoch(world, matches=400, mismatches=30)
    await loop.once(now + START)
    await loop.once(now + 2 * START)
    assert [(kind, "regression" in blockers) for kind, _task, blockers in await notices(world)] == [
        ("gate_opened", False),
        ("gate_regressed", True),
    ]


async def test_two_processes_that_see_the_same_change_tell_it_once(world: World) -> None:
    await ready(world)
    now = datetime.now(UTC)
    one = await look(world.database, world.catalogue, [TASK], now)
    other = await look(world.database, world.catalogue, [TASK], now + timedelta(milliseconds=3))
    await asyncio.gather(
        *(evaluated(world.database, world.catalogue, reports.values()) for reports in (one, other, one))
    )
    assert len(await notices(world)) == 1


async def test_an_older_evaluation_changes_nothing(world: World) -> None:
    await ready(world)
    now = datetime.now(UTC)
    open_ = await look(world.database, world.catalogue, [TASK], now)
    await withdraw(world.database, TASK, actor="bob", reason="it writes after all")
    shut = await look(world.database, world.catalogue, [TASK], now + START)
    await evaluated(world.database, world.catalogue, shut.values())
    await evaluated(world.database, world.catalogue, open_.values())
    async with world.connection() as connection:
        assert not (await stored_reports(connection))[TASK].open
    assert await notices(world) == []


async def test_where_another_process_has_just_evaluated_nothing_is_done(world: World, loop: GateLoop) -> None:
    await ready(world)
    now = datetime.now(UTC)
    assert await loop.once(now)
    assert await GateLoop(world.database, world.catalogue).once(now + timedelta(seconds=1)) == {}
    assert await GateLoop(world.database, world.catalogue).once(now + timedelta(seconds=6))


async def test_the_loop_runs_until_it_is_stopped(world: World) -> None:
    await ready(world)
    loop = GateLoop(world.database, world.catalogue, every=0.05)
    await loop.start()
    try:
        async with asyncio.timeout(30):
            while not await notices(world):  # noqa: ASYNC110  # another connection's rows are not awaited
                await asyncio.sleep(0.02)
    finally:
        await loop.stop()


@pytest.mark.parametrize(
    "broken",
    [
        """UPDATE epochs SET counts = '{"live": {"nonsense": 1}}' WHERE task = 'digest'""",
        """INSERT INTO gates VALUES ('digest', true, '{"no": "report"}', now() - interval '1 hour', now())""",
    ],
    ids=["its evidence", "what it said before"],
)
async def test_a_task_that_can_not_be_evaluated_keeps_no_other_from_it(
    world: World, loop: GateLoop, broken: str
) -> None:
    await ready(world)
    await epoch(world, task="digest", matches=1)
    await world.rows(f"{broken} RETURNING 1")
    assert set(await loop.once(datetime.now(UTC))) == {TASK}
    async with world.connection() as connection:
        assert (await stored_reports(connection, [TASK]))[TASK].open
    assert await notices(world) == [("gate_opened", TASK, [])]
