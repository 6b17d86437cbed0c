"""A chain of tasks whose routes ramp: what a root's key decided holds for all that follows from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shadow.cutover.decision import Phase
from shadow.store.database import Database
from tests.integration.causes.chain import EVENTS, Chain, chain
from tests.integration.causes.test_causes import ended


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[Chain]:
    """Both sides emit through Shadow's doors. Only the root tells a tenant."""
    async with chain(database, tmp_path) as made:
        yield made


async def test_children_go_where_the_key_of_their_root_goes(world: Chain) -> None:
    await world.phases(dict.fromkeys(EVENTS, Phase.RAMP), allow=["acme"])
    await world.send(1, tenant="acme")
    await world.send(2, tenant="globex")
    await ended(
        world,
        {(task, "candidate", "real"): 1 for task in EVENTS}  # acme's, which legacy never sees
        | {(task, "legacy", "real"): 1 for task in EVENTS}  # globex's: as in shadow
        | {(task, "candidate", "none"): 1 for task in EVENTS},
    )
    assert await world.verdicts() == {(task, "match"): 1 for task in EVENTS}
    keys = await world.rows("SELECT ramp_key, count(*) FROM events WHERE parent_run IS NOT NULL GROUP BY 1 ORDER BY 1")
    assert keys == [("acme", 2), ("globex", 4)]


async def test_a_child_goes_as_its_own_route_stands_and_its_own_children_by_the_same_key(world: Chain) -> None:
    await world.phases({"first": Phase.RAMP, "second": Phase.SHADOW, "third": Phase.RAMP}, allow=["acme"])
    await world.send(1, tenant="acme")
    await ended(
        world,
        {
            ("first", "candidate", "real"): 1,
            ("second", "legacy", "real"): 1,  # bridged there
            ("third", "candidate", "real"): 1,  # and back, by the key of the root two steps up
        },
    )
    assert (world.legacy_runs(), world.candidate_runs()) == ({"second": 1}, {"first": 1, "third": 1})


async def test_in_a_reverse_shadow_legacy_and_its_children_run_without_authority_and_are_compared(
    database: Database, tmp_path: Path
) -> None:
    async with chain(database, tmp_path, reverse=True) as world:
        await world.phases({"first": Phase.RAMP, "second": Phase.LIVE, "third": Phase.RAMP}, allow=["acme"])
        await world.send(1, tenant="acme")
        await ended(
            world,
            {(task, "candidate", "real"): 1 for task in EVENTS} | {(task, "legacy", "none"): 1 for task in EVENTS},
        )
        assert await world.verdicts() == {(task, "match"): 1 for task in EVENTS}
