"""What the control API says of a task's rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx

from shadow.judge.loop import JudgeLoop
from tests.integration.judge.world import World


async def test_rules_come_with_what_they_did(world: World, judge: JudgeLoop, client: httpx.AsyncClient) -> None:
    told = await world.event()
    await told.both({"tookMs": 1}, candidate={"tookMs": 2})
    await judge.once(datetime.now(UTC) + timedelta(minutes=1))
    answer = (await client.get("/v1/tasks/order-sync/rules")).json()
    assert (answer["task"], answer["dead"], answer["judged"], answer["order"]) == ("order-sync", 0, 1, "declared")
    identity, ignore = answer["rules"]
    assert (identity["key"], identity["type"], identity["state"]) == ("identities[0]", "identity", "young")
    assert identity["says"] == {"target": "stripe", "paths": ["$.requestId"]}
    assert (ignore["key"], ignore["state"], ignore["selected"], ignore["hid"]) == ("ignore[0]", "used", 1, 1)
    assert ignore["last_selected"] == told.accepted_at.date().isoformat()
    ((kept,),) = await world.rows("SELECT rules FROM pairs")
    assert kept == answer["fingerprint"]


async def test_dead_rules_have_a_gauge(world: World, judge: JudgeLoop, client: httpx.AsyncClient) -> None:
    await (await world.event()).both({"tookMs": 1})
    await judge.once(datetime.now(UTC) + timedelta(minutes=1))
    await world.rows("UPDATE task_rules SET since = now() - interval '31 days' RETURNING rule")
    metrics = (await client.get("/metrics/parity")).text
    assert 'shadow_dead_rules{task="order-sync"} 1.0' in metrics
    assert 'shadow_dead_rules{task="digest"} 0.0' in metrics


async def test_the_rules_of_no_task_are_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/tasks/none/rules")).status_code == 404
