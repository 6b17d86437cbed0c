"""The catalogue of the example is one that Shadow takes, and it says what the plan needs."""

from __future__ import annotations

from datetime import date, timedelta

import orjson
import pytest

from sandbox.commerce.catalogue import TASKS, catalogue
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.keys import Keys
from sandbox.commerce.plan import Webhook, build_plan
from shadow.catalogue import Document, Ignored, MappedEvent, ResolvedCatalogue, check, parse

DATASET = Dataset.build(1, date(2026, 11, 24))


@pytest.fixture(scope="module")
def resolved() -> ResolvedCatalogue:
    text = catalogue(DATASET, trigger_url="http://127.0.0.1:3030", inngest_url="http://127.0.0.1:8288", keys=Keys())
    return parse(text, "commerce.yaml", {})


def test_it_holds_the_seven_tasks_with_a_source_each(resolved: ResolvedCatalogue) -> None:
    assert tuple(resolved.tasks) == TASKS
    assert all(len(task.sources) == 1 for task in resolved.tasks.values())
    assert {task.candidate.function for task in resolved.tasks.values()} == {f"commerce-{task}" for task in TASKS}


def test_waiting_is_short_enough_for_a_demo(resolved: ResolvedCatalogue) -> None:
    assert {task.deadline for task in resolved.tasks.values()} == {timedelta(seconds=60)}
    assert {task.settle for task in resolved.tasks.values()} == {timedelta(milliseconds=500)}


def test_the_check_warns_of_nothing_but_the_event_that_no_task_takes(resolved: ResolvedCatalogue) -> None:
    assert [(warning.code, warning.message) for warning in check(resolved)] == [
        ("event-without-task", "no task takes shopify/customer.created from this source")
    ]


def test_webhooks_of_the_plan_become_events(resolved: ResolvedCatalogue) -> None:
    mapper = resolved.webhook("shopify")
    shops = {row["shop_domain"]: row["id"] for row in DATASET.rows["tenants"]}
    mapped: dict[str, set[str]] = {}
    for action in build_plan(DATASET).actions:
        if isinstance(action, Webhook):
            headers = {
                "x-shopify-topic": action.topic,
                "x-shopify-shop-domain": action.shop_domain,
                "x-shopify-webhook-id": action.webhook_id,
            }
            event = mapper.map(orjson.loads(action.body), headers)
            if isinstance(event, Ignored):
                mapped.setdefault("ignored", set()).add(action.topic)
                continue
            assert isinstance(event, MappedEvent)
            assert event.tenant == event.data["tenantId"] == shops[action.shop_domain]
            mapped.setdefault(event.name, set()).update(event.data)
    assert mapped == {
        "shopify/order.created": {"orderId", "tenantId"},
        "shopify/customer.created": {"customerId", "tenantId"},
        "ignored": {"products/update"},
    }


def test_a_legacy_payload_is_what_the_legacy_task_reads(resolved: ResolvedCatalogue) -> None:
    data = {"orderId": "7", "sequence": 1, "tenantId": "tenant-01"}
    payload = resolved.tasks["send-review-email"].legacy.payload
    assert payload.evaluate(Document(body=data, headers={}, tables={})) == data


def test_every_party_has_a_key_of_its_own() -> None:
    keys = Keys()
    held = [value for value in vars(keys).values() if value]
    assert len(set(held)) == len(held)
