"""Every tick is run with authority exactly once, whoever's clock fires, whenever it does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import permutations

import pytest

from shadow.catalogue.model import Side
from shadow.causes.authority import ParentAuthority
from shadow.causes.parents import Told, known_parent
from shadow.cutover.decision import Phase
from shadow.model.ids import derived_id
from shadow.store.database import Database, Work
from tests.integration.ticks.clock import CATALOGUE, FIVE, NOON, Clock


@pytest.fixture
def clock(database: Database) -> Clock:
    return Clock(database)


async def test_in_shadow_legacys_tick_is_mirrored_and_waits_for_its_run(clock: Clock) -> None:
    await clock.moved(Phase.SHADOW, NOON - FIVE, source=Phase.LEGACY)
    await clock.legacy("run_1", NOON)
    ((event, source, phase, sides, delivery),) = await clock.rows(
        "SELECT id, source, phase, sides, delivery_id FROM events"
    )
    assert (source, phase, sides) == ("schedule", "shadow", ["legacy", "candidate"])
    assert delivery == "metrics@2026-06-01T12:00:00Z"
    assert await clock.rows("SELECT side, state, platform FROM dispatches") == [("candidate", "sequenced", "inngest")]
    assert await clock.rows("SELECT side, authority, state, platform_run_id FROM runs ORDER BY side") == [
        ("candidate", "none", "expected", None),
        ("legacy", "real", "sent", "run_1"),
    ]
    assert await clock.rows("SELECT id, event_id FROM pairs") == [(derived_id(event, "metrics"), event)]
    assert await clock.ticks() == [(NOON, "", "legacy", 1, 0, False, False)]


async def test_telling_of_it_again_changes_nothing(clock: Clock) -> None:
    await clock.moved(Phase.SHADOW, NOON - FIVE, source=Phase.LEGACY)
    await asyncio.gather(*(clock.legacy("run_1", NOON) for _ in range(4)))
    assert len(await clock.rows("SELECT FROM events")) == len(await clock.rows("SELECT FROM dispatches")) == 1
    assert await clock.ticks() == [(NOON, "", "legacy", 1, 0, False, False)]


async def test_a_second_run_of_a_tick_has_no_authority_and_is_told(clock: Clock) -> None:
    await clock.moved(Phase.SHADOW, NOON - FIVE, source=Phase.LEGACY)
    await asyncio.gather(clock.legacy("run_1", NOON), clock.legacy("run_2", NOON))
    assert sorted((await clock.authorities()).values()) == ["none", "real"]
    assert await clock.ticks() == [(NOON, "", "legacy", 2, 0, False, True)]
    assert len(await clock.rows("SELECT FROM pairs")) == 1


async def test_before_shadow_nothing_is_mirrored_and_legacy_is_left_alone(clock: Clock) -> None:
    await clock.legacy("run_1", NOON)
    await clock.legacy("run_2", NOON)
    assert await clock.authorities() == {"run_1": "real", "run_2": "real"}
    assert await clock.rows("SELECT FROM dispatches") == await clock.rows("SELECT FROM pairs") == []
    assert await clock.ticks() == [(NOON, "", "legacy", 2, 0, False, True)]


async def test_the_candidates_own_trigger_in_shadow_has_no_authority_and_is_told_as_doubled(clock: Clock) -> None:
    await clock.moved(Phase.SHADOW, NOON - FIVE, source=Phase.LEGACY)
    await clock.candidate("01CRON", NOON)
    await clock.legacy("run_1", NOON)
    assert await clock.authorities() == {"01CRON": "none", "run_1": "real"}
    assert await clock.ticks() == [(NOON, "", "legacy", 1, 1, False, True)]
    async with clock.database.connection(Work.CAUSES) as conn:
        parent = await known_parent(conn, CATALOGUE, Side.CANDIDATE, Told("01CRON"))
    assert parent is not None
    assert parent.authority is ParentAuthority.NONE


async def test_from_the_switch_on_the_candidates_trigger_has_its_ticks_and_nothing_is_mirrored(clock: Clock) -> None:
    await clock.moved(Phase.LIVE, NOON)
    await clock.candidate("01CRON", NOON)
    await clock.legacy("run_1", NOON)
    assert await clock.authorities() == {"01CRON": "real", "run_1": "none"}
    assert await clock.rows("SELECT FROM dispatches") == await clock.rows("SELECT FROM pairs") == []
    assert await clock.ticks() == [(NOON, "", "candidate", 1, 1, False, False)]


async def test_every_tick_of_a_switch_and_back_is_real_once_in_whatever_order_its_runs_are_told_of(
    clock: Clock,
) -> None:
    """Legacy's run of the last tick before the switch starts after it; the candidate's clock runs fast and slow."""
    await clock.moved(Phase.SHADOW, NOON - 4 * FIVE, source=Phase.LEGACY)
    await clock.moved(Phase.LIVE, NOON + timedelta(seconds=30))
    await clock.moved(Phase.SHADOW, NOON + 2 * FIVE + timedelta(seconds=30), source=Phase.LIVE)
    nominal = [NOON + number * FIVE for number in (-1, 0, 1, 2, 3)]
    orders = list(permutations(range(3)))
    for number, at in enumerate(nominal):
        tellers = [
            clock.legacy(f"run_{number}", at),
            clock.candidate(f"01CRON{number}", at),
            clock.legacy(f"again_{number}", at),
        ]
        for index in orders[number]:
            await tellers[index]
    real = sorted(name for name, authority in (await clock.authorities()).items() if authority == "real")
    by_tick = [[name for name in real if name.endswith(str(number))] for number in range(5)]
    assert [len(names) for names in by_tick] == [1, 1, 1, 1, 1]
    assert [names[0].startswith("01CRON") for names in by_tick] == [False, False, True, True, False]


async def test_what_was_decided_ahead_of_the_time_stands_though_a_move_comes_between(clock: Clock) -> None:
    """The candidate's clock is ahead: its run is told of before a move that takes effect before the tick."""
    await clock.moved(Phase.SHADOW, NOON - FIVE, source=Phase.LEGACY)
    await clock.candidate("01EARLY", NOON)
    await clock.moved(Phase.LIVE, NOON - timedelta(seconds=1))
    await clock.legacy("run_1", NOON)
    await clock.candidate("01AGAIN", NOON)
    assert await clock.authorities() == {"01EARLY": "none", "run_1": "real", "01AGAIN": "none"}


async def test_each_tenants_schedule_has_its_own_tick(clock: Clock) -> None:
    await clock.moved(Phase.SHADOW, NOON - FIVE, source=Phase.LEGACY, task="reminders")
    await clock.legacy("run_a", NOON, "acme", "reminders")
    await clock.legacy("run_b", NOON, "bolt", "reminders")
    assert await clock.authorities() == {"run_a": "real", "run_b": "real"}
    assert sorted(await clock.rows("SELECT tenant, delivery_id FROM events")) == [
        ("acme", "reminders@2026-06-01T12:00:00Z/acme"),
        ("bolt", "reminders@2026-06-01T12:00:00Z/bolt"),
    ]
    assert await clock.ticks() == [
        (NOON, "acme", "legacy", 1, 0, False, False),
        (NOON, "bolt", "legacy", 1, 0, False, False),
    ]


async def test_one_decision_holds_for_all_tenants_of_a_nominal_time(clock: Clock) -> None:
    await clock.moved(Phase.LIVE, NOON, task="reminders")
    await clock.candidate("01CRON", NOON, "reminders")
    await clock.legacy("run_a", NOON, "acme", "reminders")
    assert await clock.authorities() == {"01CRON": "real", "run_a": "none"}
