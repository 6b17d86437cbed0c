"""Whom events name is in memory for some of them, and known of all that are asked for."""

from __future__ import annotations

from typing import Any

import pytest

from shadow.catalogue.model import Side
from shadow.effects import evidence
from shadow.effects.names import Names
from shadow.store.database import Database, Work
from tests.integration.judge.world import Told, World

PEOPLE = ("Anna Meier", "Berta Kunz", "Carla Lenz")


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


@pytest.fixture
async def told(world: World, monkeypatch: pytest.MonkeyPatch) -> list[Told]:
    """Events of which no more than one is in memory."""
    monkeypatch.setattr(evidence, "_MOST_NAMES", 1)
    return [await world.event(data={"customer": {"name": name}}) for name in PEOPLE]


async def asked(world: World, told: list[Told], how: str) -> list[Any]:
    """Whom the events of these runs name."""
    runs = [one.run(Side.LEGACY) for one in told]
    async with world.database.connection(Work.OUTCOMES) as conn:
        if how == "runs":
            names = await evidence.names_of_runs(conn, runs)
            return [names.get(run) for run in runs]
        owners = await evidence.owners(conn, Side.LEGACY, runs=runs)
        return [owners[run].names for run in runs]


@pytest.mark.parametrize("how", ["runs", "owners"])
async def test_to_learn_of_some_forgets_no_other_that_is_asked_for(world: World, told: list[Told], how: str) -> None:
    for known in told:
        await asked(world, [known], how)
        assert await asked(world, told, how) == [Names((name,)) for name in PEOPLE]
