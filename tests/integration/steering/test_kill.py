"""A process dies while it moves a route: all of its tasks have moved, or none, with the row that says so."""

from __future__ import annotations

import pytest

from shadow.cutover.decision import Phase
from shadow.store.database import Database
from tests.dying import dies_at
from tests.integration.containment.declared import declared
from tests.integration.steering.test_moving import CATALOGUE, rows, to

TASKS = ("credit-creator", "sync-order")
"""Of one route."""


async def standing(database: Database) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    phases = await rows(database, "SELECT task, phase FROM phases ORDER BY task")
    return phases, await rows(database, "SELECT to_phase FROM moves")


async def test_a_move_that_was_not_committed_did_not_happen_and_can_be_made(database: Database) -> None:
    await declared(database, CATALOGUE)
    await dies_at("moves.writing", database.url, lambda mine: to(mine, "sync-order", Phase.SHADOW))
    assert await standing(database) == ([], [])
    await to(database, "sync-order", Phase.SHADOW)
    assert await standing(database) == ([(task, "shadow") for task in TASKS], [("shadow",)])


async def test_a_move_that_was_committed_holds_for_the_whole_route_and_is_made_once(database: Database) -> None:
    await declared(database, CATALOGUE)
    await dies_at("moves.written", database.url, lambda mine: to(mine, "sync-order", Phase.SHADOW))
    assert await standing(database) == ([(task, "shadow") for task in TASKS], [("shadow",)])
    with pytest.raises(Exception, match="is in phase shadow already"):
        await to(database, "sync-order", Phase.SHADOW)
