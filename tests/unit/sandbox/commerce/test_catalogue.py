"""The catalogue of the example is one that Shadow takes, and it says what the plan needs."""

from __future__ import annotations

from datetime import date, timedelta

import orjson
import pytest

from sandbox.commerce.catalogue import TASKS
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.hosts import HOSTS
from sandbox.commerce.keys import Keys
from sandbox.commerce.plan import Webhook, build_plan
from shadow.catalogue import Document, Ignored, MappedEvent, ResolvedCatalogue, check
from shadow.egress.operation import Operations
from tests.unit.sandbox.commerce.gateway import catalogue_of

DATASET = Dataset.build(1, date(2026, 11, 24))


@pytest.fixture(scope="module")
def resolved() -> ResolvedCatalogue:
    return catalogue_of(DATASET, Keys())


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


def test_every_target_is_declared_with_its_credential(resolved: ResolvedCatalogue) -> None:
    keys = Keys()
    assert set(resolved.targets) == set(keys.target_secrets) == set(HOSTS)
    for name, target in resolved.targets.items():
        assert target.credential is not None
        assert target.credential.secret.get_secret_value() == keys.target_secrets[name]
        assert target.undeclared == "refuse"


def test_only_what_moves_no_money_has_a_stub(resolved: ResolvedCatalogue) -> None:
    stubs = {
        name: [operation.stub is not None for operation in target.operations if not operation.match.startswith("GET")]
        for name, target in resolved.targets.items()
    }
    assert {name for name, declared in stubs.items() if declared and not any(declared)} == {"swiftpay", "bankwire"}
    for name, target in resolved.targets.items():
        Operations.of(name, target)  # every stub can be made


def test_the_run_without_authority_goes_after_its_twin_with_the_rows_that_the_app_has_written(
    resolved: ResolvedCatalogue,
) -> None:
    assert {task.sequence for task in resolved.tasks.values()} == {"after"}
    copied = {task.id: [row.table for row in task.world] for task in resolved.tasks.values() if task.world}
    assert copied == {
        "send-review-email": ["orders", "order_items", "reviews"],
        "process-creator-application": ["applications"],
        "process-attribution": ["conversions"],
    }
    lacking = {table for table, rows in DATASET.rows.items() if len(DATASET.cloned().get(table, ())) < len(rows)}
    assert lacking == {table for tables in copied.values() for table in tables}


def test_every_party_has_a_key_of_its_own() -> None:
    keys = Keys()
    held = [value for value in vars(keys).values() if isinstance(value, str)]
    assert len(set(held)) == len(held)
