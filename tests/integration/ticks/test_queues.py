"""The queue that legacy's run works off is the candidate's too, as it was at the tick; else the pair is no evidence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shadow.store.database import Database
from tests.integration.fanout.serving import until
from tests.integration.ticks.commerce import METRICS, QUEUE, Commerce, commerce

FIVE = timedelta(minutes=5)
STALE = "stale_world"
JUST = timedelta(milliseconds=100)


def last_tick() -> datetime:
    """Of an hour ago, so that the service's own clock copies nothing for it."""
    now = datetime.now(UTC) - timedelta(hours=1)
    return now.replace(minute=now.minute - now.minute % 5, second=0, microsecond=0)


@pytest.fixture
async def world(database: Database, postgres_url: str, tmp_path: Path) -> AsyncIterator[Commerce]:
    async with commerce(database, postgres_url, tmp_path) as running:
        yield running


async def test_tick_after_tick_the_candidate_finds_the_queue_that_legacy_found(world: Commerce) -> None:
    """Webhooks that failed are tried again at the next tick: their count of retries is as legacy had it."""
    second = last_tick()
    await world.in_shadow_since(second - 2 * FIVE)
    await world.tick(QUEUE, second - FIVE)
    assert await world.verdicts(1) == [("match", None, "copied")]
    failed = world.legacy_rows("SELECT id FROM webhook_queue WHERE status = 'pending' AND retries = 1")
    assert failed
    await world.tick(QUEUE, second)
    assert (await world.verdicts(2))[1] == ("match", None, "copied")
    again = world.legacy_rows("SELECT id FROM webhook_queue WHERE status = 'pending' AND retries = 2")
    assert {row["id"] for row in again} == {row["id"] for row in failed}


async def test_a_copy_that_is_not_what_legacy_found_makes_the_pair_not_comparable(world: Commerce) -> None:
    """One that was not taken; one before a webhook came; and one after the run had begun, which shows what it left."""
    third = last_tick()
    second, first = third - FIVE, third - 2 * FIVE
    await world.in_shadow_since(first - FIVE)
    await world.tick(QUEUE, first, copied=False)
    await world.verdicts(1)

    await world.queues.once(second - JUST)
    world.legacy_rows(
        "INSERT INTO webhook_queue SELECT 'came-between', tenant_id, topic, payload_json, 'pending', retries, error,"
        " received_at, NULL FROM webhook_queue WHERE status = 'processed' LIMIT 1"
    )
    await world.tick(QUEUE, second, copied=False)
    await world.verdicts(2)

    await world.tick(QUEUE, third, copied=False)
    await until(lambda: bool(world.legacy_rows("SELECT id FROM webhook_queue WHERE retries > 2")), within=20, every=0.1)
    await world.queues.once(third - JUST)

    found = await world.verdicts(3)
    assert {(verdict, str(reason).partition(":")[0]) for verdict, reason, _state in found} == {
        ("not_comparable", STALE)
    }
    not_taken, came_between, too_late = [state for _verdict, _reason, state in found]
    assert not_taken == f"{STALE}: no copy of its queue was taken before the tick"
    assert came_between == f"{STALE}: legacy's run took a row of webhook_queue that came after the copy"
    # On a slow machine the candidate's turn may come first.
    assert too_late in (f"{STALE}: legacy's run had begun before the copy was taken", not_taken)


@pytest.mark.slow
async def test_a_candidate_that_takes_too_short_a_page_is_found(
    database: Database, postgres_url: str, tmp_path: Path
) -> None:
    async with commerce(database, postgres_url, tmp_path, faults=("webhook-queue-stops-at-50",)) as world:
        await world.in_shadow_since(last_tick() - FIVE)
        await world.tick(QUEUE, last_tick())
        assert [verdict for verdict, _reason, _state in await world.verdicts(1)] == ["mismatch"]


async def test_a_daily_task_is_mirrored_from_legacys_own_schedule(world: Commerce) -> None:
    night = datetime.now(UTC).replace(hour=2, minute=0, second=0, microsecond=0)
    night -= timedelta(days=1) if night > datetime.now(UTC) else timedelta(0)
    await world.in_shadow_since(night - FIVE)
    await world.tick(METRICS, night)
    assert [verdict for verdict, _reason, _state in await world.verdicts(1)] == ["match"]
    assert await world.rows("SELECT occurred_at FROM events WHERE name = 'cron/daily-metrics'") == [(night,)]
