"""A pair is due when there may be something to judge, not whenever something was learned of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from shadow.catalogue.model import Side
from shadow.effects.waking import outcomes_known
from shadow.judge.loop import JudgeLoop, Round
from shadow.store.database import Work
from tests.integration.judge.world import DEADLINE, SETTLE, Told, World


async def ended(world: World, told: Told, side: Side, *, after: float, settle: timedelta | None = SETTLE) -> None:
    """The run of that side ended, and whoever learned of it says so."""
    async with world.connection() as connection:
        await written(connection, told, side, after)
        await outcomes_known(connection, {told.pair: settle})


async def written(connection: Any, told: Told, side: Side, after: float) -> None:
    await connection.execute(
        "UPDATE runs SET state = 'finished', status = 'completed', started_at = %s, finished_at = %s WHERE id = %s",
        (told.accepted_at, told.accepted_at + timedelta(seconds=after), told.run(side)),
    )
    await told.world.body(connection, told.run(side), "output", b"1")


async def stands(world: World, pair: UUID) -> tuple[str, datetime | None]:
    row = (await world.rows("SELECT state, due_at FROM pairs WHERE id = %s", pair))[0]
    return row[0], row[1]


@pytest.mark.parametrize("order", [tuple(Side), tuple(Side)[::-1]], ids=["legacy-first", "candidate-first"])
async def test_one_run_makes_its_pair_wait_and_the_other_makes_it_settle(
    world: World, order: tuple[Side, Side]
) -> None:
    told = await world.event()
    first, second = order
    await ended(world, told, first, after=3)
    assert await stands(world, told.pair) == ("waiting", told.accepted_at + DEADLINE)
    await ended(world, told, second, after=1)
    assert await stands(world, told.pair) == ("settling", told.accepted_at + timedelta(seconds=3) + SETTLE)


async def test_a_pair_is_claimed_once_and_judged_then(world: World, judge: JudgeLoop) -> None:
    told = await world.event(accepted_at=datetime.now(UTC))
    for side in Side:
        await ended(world, told, side, after=1)
        assert await judge.once(told.accepted_at + timedelta(seconds=2)) == Round()
    assert await judge.once(told.accepted_at + timedelta(seconds=1) + SETTLE) == Round(claimed=1, judged=1)


async def test_runs_that_end_in_one_moment_see_each_other(world: World) -> None:
    """Neither transaction sees the other's run until it has waited for the pair."""
    told = await world.event()
    async with world.database.connection(Work.JUDGE) as one:
        await written(one, told, Side.LEGACY, 1)
        async with world.database.connection(Work.JUDGE) as other:
            await written(other, told, Side.CANDIDATE, 1)
            await outcomes_known(one, {told.pair: SETTLE})
            waiting = asyncio.create_task(outcomes_known(other, {told.pair: SETTLE}))
            while not await world.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 (only rows tell)
                await asyncio.sleep(0.01)
            await one.commit()
            await waiting
    assert await stands(world, told.pair) == ("settling", told.accepted_at + timedelta(seconds=1) + SETTLE)


@pytest.mark.parametrize(
    "how",
    [
        "state = 'judged', due_at = NULL",
        "state = 'settling', due_at = now() + interval '1 hour'",
        "state = 'waiting', due_at = now() + interval '1 minute'",  # the judge has it in hand
    ],
)
async def test_what_the_judge_has_seen_or_holds_is_due_at_once(world: World, how: str) -> None:
    told = await world.event()
    await world.rows(f"UPDATE pairs SET {how} WHERE id = %s RETURNING 1", told.pair)
    await ended(world, told, Side.LEGACY, after=1)
    state, due_at = await stands(world, told.pair)
    assert state == how.split("'")[1]
    assert due_at is not None and due_at <= datetime.now(UTC)


async def test_how_long_a_task_settles_that_the_catalogue_does_not_name_only_the_judge_says(world: World) -> None:
    told = await world.event()
    await ended(world, told, Side.LEGACY, after=1, settle=None)
    state, due_at = await stands(world, told.pair)
    assert state == "open"
    assert due_at is not None and due_at <= datetime.now(UTC)


async def test_a_further_run_of_an_open_pair_makes_nothing_due(world: World) -> None:
    told = await world.event()
    async with world.connection() as connection:
        await outcomes_known(connection, {told.pair: SETTLE})
    assert await stands(world, told.pair) == ("open", told.accepted_at + DEADLINE)
