"""The plan uses all three doors, each task by one of them, and repeats what producers repeat in real life."""

from __future__ import annotations

from collections import Counter
from datetime import date

import orjson
import pytest

from sandbox.commerce.catalogue import TASKS
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.plan import Plan, SendEvents, Trigger, Webhook, build_plan


@pytest.fixture(scope="module")
def plan() -> Plan:
    return build_plan(Dataset.build(1, date(2026, 11, 24)))


def test_the_same_dataset_gives_the_same_plan(plan: Plan) -> None:
    assert build_plan(Dataset.build(1, date(2026, 11, 24))) == plan


def test_some_hundred_actions_go_through_all_three_doors(plan: Plan) -> None:
    kinds = Counter(type(action) for action in plan.actions)
    assert len(plan.actions) > 180
    assert min(kinds[Webhook], kinds[SendEvents], kinds[Trigger]) > 30


def test_every_task_gets_events(plan: Plan) -> None:
    assert set(plan.expected()) == set(TASKS)
    assert min(plan.expected().values()) >= 10


def test_no_task_is_fed_by_two_doors(plan: Plan) -> None:
    by_trigger = {action.task for action in plan.actions if isinstance(action, Trigger)}
    by_event = {e["name"] for action in plan.actions if isinstance(action, SendEvents) for e in action.events}
    assert by_trigger == {"process-creator-application", "process-webhook-queue"}
    assert by_event == {
        "review/email.scheduled",
        "payout/approved",
        "attribution/conversion",
        "cron/daily-metrics",
    }


def test_webhooks_are_redelivered_with_their_id(plan: Plan) -> None:
    ids = Counter(action.webhook_id for action in plan.actions if isinstance(action, Webhook))
    bodies = {action.body for action in plan.actions if isinstance(action, Webhook) and ids[action.webhook_id] > 1}
    assert max(ids.values()) == 2
    assert len(bodies) == sum(count > 1 for count in ids.values())


def test_triggers_are_repeated_with_their_idempotency_key_in_another_call(plan: Plan) -> None:
    keys = [action.idempotency_key for action in plan.actions if isinstance(action, Trigger)]
    calls = [action.request_key for action in plan.actions if isinstance(action, Trigger)]
    assert len(set(calls)) == len(calls)
    assert max(count for key, count in Counter(keys).items() if key) == 2
    assert None in keys
    assert all(len(key) == 64 for key in keys if key)


def test_repetitions_are_expected_once(plan: Plan) -> None:
    deliveries = [action for action in plan.actions if isinstance(action, Webhook) and action.topic == "orders/create"]
    assert plan.expected()["sync-shopify-order"] == len({action.webhook_id for action in deliveries})
    assert plan.expected()["sync-shopify-order"] == 40


def test_all_events_carry_an_id_of_their_own(plan: Plan) -> None:
    sends = {action.key: action for action in plan.actions if isinstance(action, SendEvents)}
    ids = [event["id"] for send in sends.values() for event in send.events]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert any(len(send.events) > 1 for send in sends.values())


def test_events_carry_the_fields_of_the_example(plan: Plan) -> None:
    fields = {
        event["name"]: set(event["data"])
        for action in plan.actions
        if isinstance(action, SendEvents)
        for event in action.events
        if event["name"] != "cron/daily-metrics"
    }
    assert fields == {
        "review/email.scheduled": {"orderId", "sequence", "tenantId"},
        "payout/approved": {"requestId"},
        "attribution/conversion": {"orderId", "tenantId"},
    }


def test_an_order_webhook_looks_like_one_of_shopify(plan: Plan) -> None:
    webhook = next(a for a in plan.actions if isinstance(a, Webhook) and a.topic == "orders/create")
    order = orjson.loads(webhook.body)
    assert {"id", "admin_graphql_api_id", "total_price", "line_items", "discount_codes", "fulfillments"} <= set(order)
    assert "shop_domain" not in order
