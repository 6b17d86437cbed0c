"""Both platforms' schedulers around a switch: every nominal tick moves money exactly once, by the bank's own books."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from shadow.cli.schedules import scheduled
from shadow.cutover.decision import Phase
from shadow.store.database import Database
from tests.acceptance.ticking import Ticking, minute, nominal_times, ticking, to

HALF = timedelta(seconds=150)


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[Ticking]:
    async with ticking(database, tmp_path) as running:
        yield running


async def test_ticks_are_mirrored_paired_and_judged(world: Ticking) -> None:
    ticks = nominal_times(3)
    await to(world, Phase.SHADOW, ticks[0] - HALF, Phase.LEGACY)
    for at in ticks:
        world.fire_legacy(at)
    await world.known(6)
    assert await world.verdicts() == [("match", None)] * 3
    assert world.transfers == {minute(at): 1 for at in ticks}
    assert [tick[2:] for tick in await world.ticks_of(ticks)] == [("legacy", 1, 0, False, False)] * 3


async def test_the_check_refuses_a_trigger_that_is_synced_uncontained(
    world: Ticking, database_url: str, tmp_path: Path
) -> None:
    """Legacy's schedule is as the catalogue says; the candidate's own trigger came with its app."""
    warned, refused = await scheduled(world.catalogue, tmp_path, database_url)
    assert (warned, [one.code for one in refused]) == ([], ["cron-uncontained"])


async def test_across_a_switch_and_back_with_restarts_every_tick_is_real_exactly_once(world: Ticking) -> None:
    """Both schedulers are on all the while. Legacy's run of the last tick before the switch is held up beyond it; the
    candidate's clock fires the first tick after the way back before legacy's does."""
    first, last, live, live_too, back, after = ticks = nominal_times(6)
    await to(world, Phase.SHADOW, first - HALF, Phase.LEGACY)
    world.fire_candidate(first)
    world.fire_legacy(first)
    await world.known(3)

    world.gate.clear()
    world.fire_legacy(last)  # begins, and does nothing until the switch is over
    await to(world, Phase.LIVE, live - HALF, Phase.SHADOW)
    await world.restart()
    world.fire_candidate(last)
    world.fire_candidate(live)
    world.gate.set()
    world.fire_legacy(live)
    await world.restart()
    world.fire_legacy(live_too)
    world.fire_candidate(live_too)
    await world.known(3 + 3 + 4)

    await to(world, Phase.SHADOW, back - HALF, Phase.LIVE)
    await world.restart()
    world.fire_candidate(back)
    world.fire_legacy(back)
    world.fire_legacy(after)
    world.fire_candidate(after)
    await world.known(3 + 3 + 4 + 6)

    assert world.transfers == {minute(at): 1 for at in ticks}
    whose = {minute(at): authority for at, _tenant, authority, *_rest in await world.ticks_of(ticks)}
    assert list(whose.values()) == ["legacy", "legacy", "candidate", "candidate", "legacy", "legacy"]
    real = await world.rows("SELECT count(*) FROM runs WHERE authority = 'real'")
    assert real == [(6,)]
    doubled = [tick[6] for tick in await world.ticks_of(ticks)]
    assert doubled == [True, True, False, False, True, True]
