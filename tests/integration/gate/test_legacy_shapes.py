"""What legacy showed before anything was judged is asked for as well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shadow.catalogue.model import Side
from shadow.gate.legacy_shapes import SETTLED, LegacyShapes
from shadow.gate.looking import look
from shadow.gate.report import ConditionName
from shadow.model.ids import new_id
from tests.integration.gate.standing import TASK, ready
from tests.integration.judge.world import Told, World


async def ran_alone(world: World, *, operation: str = "POST /v1/refunds", ago: timedelta = SETTLED * 2) -> Told:
    """Legacy ran for an event that the candidate never got."""
    told = await world.event(data={"refund": 7})
    await told.effect(Side.LEGACY, {"amount": 5}, operation=operation)
    await told.finished(Side.LEGACY, output={"ok": True})
    async with world.connection() as connection:
        await connection.execute("DELETE FROM pairs")
        await connection.execute(
            "UPDATE runs SET pair_id = NULL, finished_at = %s WHERE id = %s",
            (datetime.now(UTC) - ago, told.run(Side.LEGACY)),
        )
        await connection.execute("DELETE FROM runs WHERE id = %s", (told.run(Side.CANDIDATE),))
    return told


async def shapes(world: World) -> list[tuple[str, str]]:
    rows = await world.rows("SELECT of, shape FROM task_shapes ORDER BY of, shape")
    return [(of, shape) for of, shape in rows]


async def test_runs_without_a_twin_show_shapes_that_must_be_compared(world: World) -> None:
    await ready(world)
    assert (await look(world.database, world.catalogue, [TASK]))[TASK].open
    await ran_alone(world)
    loop = LegacyShapes(world.database, world.catalogue)
    assert await loop.once() == 1
    assert await loop.once() == 0
    assert await shapes(world) == [
        ("effect", '["http","stripe","POST /v1/refunds"]'),
        ("event", '{"refund":"number"}'),
    ]
    report = (await look(world.database, world.catalogue, [TASK]))[TASK]
    assert [condition.name for condition in report.blockers] == [ConditionName.COVERAGE]


async def test_what_has_just_ended_is_left_until_its_effects_are_known(world: World) -> None:
    await ran_alone(world, ago=SETTLED / 2)
    loop = LegacyShapes(world.database, world.catalogue)
    assert await loop.once() == 0
    assert await loop.once(datetime.now(UTC) + SETTLED) == 1


async def test_runs_of_pairs_are_passed_over_for_the_judge(world: World) -> None:
    told = await world.event()
    await told.both({"ok": True})
    loop = LegacyShapes(world.database, world.catalogue)
    assert await loop.once(datetime.now(UTC) + timedelta(minutes=5)) == 1
    assert await shapes(world) == []


async def test_what_is_older_than_any_gate_asks_for_is_not_read(world: World) -> None:
    await ran_alone(world, ago=timedelta(days=31))
    await ran_alone(world, ago=timedelta(days=29))
    assert await LegacyShapes(world.database, world.catalogue).once() == 1


async def test_runs_that_ended_in_one_moment_are_read_once_each(world: World) -> None:
    for number in range(5):
        await ran_alone(world, operation=f"POST /v1/kind{number}x", ago=SETTLED * 2)
    async with world.connection() as connection:
        await connection.execute("UPDATE runs SET finished_at = %s", (datetime.now(UTC) - SETTLED * 2,))
    loop = LegacyShapes(world.database, world.catalogue, batch=2)
    assert [await loop.once() for _ in range(4)] == [2, 2, 1, 0]
    assert len([shape for of, shape in await shapes(world) if of == "effect"]) == 5


async def test_an_event_that_cannot_be_read_shows_nothing(world: World) -> None:
    told = await ran_alone(world)
    async with world.connection() as connection:
        await connection.execute("DELETE FROM bodies WHERE id = %s", (told.event,))
        await connection.execute(
            "INSERT INTO effects (id, side, sequence, kind, target, operation, run_id, seen_by)"
            " VALUES (%s, 'legacy', 1, 'state', 'db', 'read', %s, 'probe')",
            (new_id(), told.run(Side.LEGACY)),
        )
    await LegacyShapes(world.database, world.catalogue).once()
    assert await shapes(world) == [("effect", '["http","stripe","POST /v1/refunds"]')]
