"""The dataset is the same for the same seed and day, and nothing in it depends on the order of events."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest

from sandbox.commerce.dataset import LONG_QUEUES, Dataset

TODAY = date(2026, 11, 24)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Dataset.build(1, TODAY)


def test_the_same_seed_and_day_give_the_same_dataset(dataset: Dataset) -> None:
    assert Dataset.build(1, TODAY) == dataset


def test_another_seed_gives_another_one(dataset: Dataset) -> None:
    assert Dataset.build(2, TODAY) != dataset


def test_the_candidates_database_was_cloned_before_the_app_wrote_the_rest(dataset: Dataset) -> None:
    cloned = dataset.cloned()
    assert not {"reviews", "applications", "conversions"} & cloned.keys()
    for table, rows in cloned.items():
        assert all(row in dataset.rows[table] for row in rows[:50]), table
    since = {row["id"] for row in dataset.rows["orders"]} - {row["id"] for row in cloned["orders"]}
    assert since
    assert {row["order_id"] for row in dataset.rows["reviews"]} <= since
    assert not {row["order_id"] for row in cloned["order_items"]} & since


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
