"""`GET /v1/board` and `shadow board`, over a real database."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import httpx
import orjson

from shadow.gate.report import ConditionName, State
from shadow.model.ids import new_id
from tests.integration.judge.world import World
from tests.unit.shadow.reports.gates import condition, report


async def stand(world: World, task: str, phase: str, *, share: int = 0, days_ago: float = 1) -> None:
    """Its route was moved there, so long ago."""
    at = datetime.now(UTC) - timedelta(days=days_ago)
    await world.rows(
        "INSERT INTO phases (task, phase, previous, effective_at, version, share) VALUES (%s, %s, 'legacy', %s, 1, %s)"
        " RETURNING task",
        task,
        phase,
        at,
        share,
    )
    await world.rows(
        "INSERT INTO moves (id, route, tasks, from_phase, to_phase, actor, reason, forced, effective_at)"
        " VALUES (%s, %s, %s, 'legacy', %s, 'tests', 'it is time', false, %s) RETURNING id",
        new_id(),
        task,
        [task],
        phase,
        at,
    )


async def test_the_board_shows_what_is_on_record(world: World, client: httpx.AsyncClient) -> None:
    await stand(world, "order-sync", "ramp", share=25)
    shut = condition(ConditionName.LEAKS, State.UNMET, "a write got out")
    await world.rows(
        "INSERT INTO gates (task, open, report, evaluated_at, changed_at)"
        " VALUES ('order-sync', false, %s, now(), now()) RETURNING task",
        orjson.dumps(report("order-sync", shut).as_json()).decode(),
    )
    found = (await client.get("/v1/board")).json()
    assert [category["category"] for category in found["categories"]] == ["orders", None]
    assert found["total"]["phases"]["ramp"] == 1
    order_sync, digest = found["tasks"]
    assert (order_sync["phase"], order_sync["share"], order_sync["gate"]) == ("ramp", 25, "closed")
    assert order_sync["blockers"] == [{"name": "leaks", "says": "a write got out"}]
    assert digest["phase"] == "legacy"
    assert [day["phases"]["ramp"] for day in found["burn_up"]] == [1, 1]


async def test_a_move_that_has_not_begun_is_not_shown(world: World, client: httpx.AsyncClient) -> None:
    await stand(world, "digest", "live", days_ago=-1)
    found = (await client.get("/v1/board")).json()
    assert found["total"]["phases"]["live"] == 0
    assert len(json.dumps(found["burn_up"])) > 0
    assert [day["moved"] for day in found["burn_up"]] == [0]
