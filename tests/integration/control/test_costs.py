"""`GET /v1/costs` and what a task's page of it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from shadow.catalogue import parse
from tests.integration.judge.world import CATALOGUE, World

PRICES = """
prices:
  currency: EUR
  platforms:
    trigger: {monthly: 50}
    inngest: {monthly: 30, per_execution: 0.001, included_executions: 100}
  executions:
    order-sync: 5
"""


async def tallied(world: World, side: str, runs: int, cents: float, *, purpose: str = "live") -> None:
    """So many runs of order-sync on each of the last seven days."""
    today = datetime.now(UTC).date()
    for number in range(1, 8):
        await world.rows(
            "INSERT INTO cost_tallies VALUES ('order-sync', %s, %s, %s, %s, %s, %s, %s, 0, 0) RETURNING task",
            side,
            "trigger" if side == "legacy" else "inngest",
            purpose,
            today - timedelta(days=number),
            runs,
            runs if cents else 0,
            cents * runs,
        )


@pytest.fixture
def world(world: World) -> World:
    world.catalogue = parse(CATALOGUE + PRICES, "test.yaml", {})
    return world


async def test_a_month_costs_what_the_price_book_and_the_platforms_say(world: World, client: httpx.AsyncClient) -> None:
    await tallied(world, "legacy", 100, 0.2)
    await tallied(world, "candidate", 90, 0)
    await tallied(world, "candidate", 4, 0, purpose="replay")
    found = (await client.get("/v1/costs")).json()
    assert (found["currency"], found["volume_days"]) == ("EUR", 7)
    order_sync, digest = found["items"]
    runs = 100 * 365.25 / 12
    assert order_sync["runs"] == pytest.approx(runs)
    assert order_sync["legacy"]["total"] == pytest.approx(runs * 0.002 + 50)
    assert order_sync["candidate"]["basis"] == "declared"
    assert order_sync["candidate"]["total"] == pytest.approx((runs * 5 - 100) * 0.001 + 30)
    assert order_sync["saving"] == pytest.approx(order_sync["legacy"]["total"] - order_sync["candidate"]["total"])
    # nothing ran of it, and nothing says what a run of it costs on legacy
    assert (digest["legacy"]["basis"], digest["saving"]) == ("none", None)
    assert found["total"]["unknown"] == 1
    assert found["apart"] == [{"side": "candidate", "purpose": "replay", "runs": 28, "reported": 0.0}]
    one = (await client.get("/v1/tasks/order-sync/costs")).json()
    assert one["month"] == order_sync
    assert len(one["days"]) == 21
    assert (await client.get("/v1/tasks/nothing/costs")).status_code == 404


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prices: {platforms: {tirgger: {monthly: 1}}}", "trigger"),
        ("prices: {executions: {order-snc: 2}}", "order-sync"),
        ("prices: {executions: {order-sync: 0.5}}", "1 or more"),
    ],
)
def test_a_price_book_of_what_the_catalogue_does_not_have_is_refused(text: str, said: str) -> None:
    with pytest.raises(Exception, match=said):
        parse(f"{CATALOGUE}\n{text}\n", "test.yaml", {})
