"""The dataset is the same for the same seed and day, and nothing in it depends on the order of events."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest

from sandbox.commerce.database import TenantDatabase
from sandbox.commerce.dataset import LONG_QUEUES, Dataset
from sandbox.commerce.world import World

TODAY = date(2026, 11, 24)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Dataset.build(1, TODAY)


def test_the_same_seed_and_day_give_the_same_dataset(dataset: Dataset) -> None:
    assert Dataset.build(1, TODAY) == dataset


def test_another_seed_gives_another_one(dataset: Dataset) -> None:
    assert Dataset.build(2, TODAY) != dataset


def test_both_worlds_start_with_equal_rows(dataset: Dataset) -> None:
    worlds = [World("legacy", dataset), World("candidate", dataset)]
    assert worlds[0].database.tables() == worlds[1].database.tables()
    for world in worlds:
        world.close()


def test_worlds_do_not_share_rows(dataset: Dataset) -> None:
    legacy, candidate = World("legacy", dataset), World("candidate", dataset)
    legacy.database.upsert("tenants", {"id": "tenant-01", "name": "Changed"})
    assert candidate.database.get("tenants", "tenant-01")["name"] != "Changed"
    legacy.close()
    candidate.close()


def test_all_ids_are_unique_within_their_table(dataset: Dataset) -> None:
    for table, rows in dataset.rows.items():
        assert len({row["id"] for row in rows}) == len(rows), table


def test_follow_ups_of_deliveries_lie_days_ahead(dataset: Dataset) -> None:
    deliveries = [f["estimated_delivery_at"] for order in dataset.shop_orders.values() for f in order["fulfillments"]]
    dated = [datetime.fromisoformat(delivery) for delivery in deliveries if delivery]
    assert dated
    assert None in deliveries
    tomorrow = datetime.combine(TODAY, time.max, UTC)
    assert min(dated) > tomorrow


def test_a_queue_is_longer_than_a_page_and_another_than_half_of_one(dataset: Dataset) -> None:
    assert LONG_QUEUES[0] > 100
    assert 50 < LONG_QUEUES[1] < 100
    first = [row for row in dataset.rows["webhook_queue"] if row["tenant_id"] == "tenant-01"]
    assert len(first) == LONG_QUEUES[0]


def test_one_tenant_is_not_active(dataset: Dataset) -> None:
    assert [row["id"] for row in dataset.rows["tenants"] if not row["active"]] == ["tenant-11"]


def test_the_database_sets_only_the_columns_it_is_given() -> None:
    database = TenantDatabase({"withdrawals": [{"id": "r", "amount_cents": 5, "status": "approved"}]})
    database.upsert("withdrawals", {"id": "r", "status": "failed", "error": "no"})
    row = database.get("withdrawals", "r")
    assert (row["amount_cents"], row["status"], row["error"]) == (5, "failed", "no")
    database.close()


def test_the_database_keeps_json_columns_as_values() -> None:
    database = TenantDatabase({"attribution_results": [{"id": "a", "credits_json": {"email": 1.5}}]})
    assert database.get("attribution_results", "a")["credits_json"] == {"email": 1.5}
    database.close()


def test_the_database_names_the_row_it_misses() -> None:
    database = TenantDatabase({})
    with pytest.raises(LookupError, match="no row 'x' in orders"):
        database.get("orders", "x")
    database.close()
