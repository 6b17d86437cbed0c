"""`GET /v1/phases/{task}/drain` and the gauges of what follows a move."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from shadow.catalogue.model import Side
from shadow.cutover.decision import Phase
from shadow.reports.figures import gauges, read_installation
from shadow.store.database import Database
from tests.integration.steering.stage import Stage


@pytest.fixture
def world(database: Database) -> Stage:
    return Stage(database)


async def test_what_legacy_has_to_finish_is_shown(world: Stage, client: httpx.AsyncClient) -> None:
    told = await world.event()
    await world.stands("order-sync", Phase.LIVE, since=datetime.now(UTC))
    found = (await client.get("/v1/phases/order-sync/drain")).json()
    assert (found["route"], found["left"]) == ("order-sync", 1)
    (task,) = found["tasks"]
    assert (task["task"], task["phase"], task["runs"], task["dead"]) == ("order-sync", "live", 1, 0)
    assert task["examples"] == [str(told.run(Side.LEGACY))]
    assert (await client.get("/v1/phases/nothing/drain")).status_code == 404


async def test_figures_say_what_drains_and_what_moved_back(world: Stage) -> None:
    await world.event()
    await world.stands("order-sync", Phase.LIVE, since=datetime.now(UTC))
    await world.execute("UPDATE moves SET cause = 'automatic'")
    registry = gauges(await read_installation(world.database.engine, world.catalogue))

    def values(name: str) -> dict[str, float | None]:
        return {task: registry.get_sample_value(name, {"task": task}) for task in ("order-sync", "digest")}

    assert values("shadow_draining_runs") == {"order-sync": 1.0, "digest": None}
    assert values("shadow_automatic_moves") == {"order-sync": 1.0, "digest": 0.0}
