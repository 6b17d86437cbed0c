"""The plan of the load: which webhooks, events and triggers the pretend producers send, in which order."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from sandbox.commerce.candidate.process_webhook_queue import EVENT as WEBHOOK_QUEUE
from sandbox.commerce.database import Row
from sandbox.commerce.dataset import METRIC_DAYS, Dataset

_TASK_OF_EVENT = {
    "shopify/order.created": "sync-shopify-order",
    "review/email.scheduled": "send-review-email",
    "payout/approved": "process-payout",
    "attribution/conversion": "process-attribution",
    "cron/daily-metrics": "aggregate-daily-metrics",
}
_IGNORED_TOPIC = "products/update"


@dataclass(frozen=True)
class Webhook:
    """A delivery of Shopify's. Redeliveries carry the `webhook_id` of the first."""

    topic: str
    shop_domain: str
    webhook_id: str
    body: bytes

    @property
    def key(self) -> str:
        """What makes it the same thing as another action."""
        return self.webhook_id


@dataclass(frozen=True)
class SendEvents:
    """One `inngest.send` of one event or several. Every event has an id, so that sending again is harmless."""

    events: tuple[Row, ...]

    @property
    def key(self) -> str:
        """What makes it the same thing as another action."""
        return "+".join(event["id"] for event in self.events)


@dataclass(frozen=True)
class Trigger:
    """One `tasks.trigger`. `idempotency_key` is as on the wire; `request_key` stays over retries of the call."""

    task: str
    payload: Row
    request_key: str
    idempotency_key: str | None = None
    idempotency_options: Row | None = None
    tags: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """What makes it the same thing as another action."""
        return f"{self.task}/{self.idempotency_key or self.request_key}"


Action = Webhook | SendEvents | Trigger


@dataclass(frozen=True)
class Plan:
    """Actions in the order of sending."""

    actions: tuple[Action, ...]

    def expected(self) -> Mapping[str, int]:
        """How many pairs each task is to have: repetitions of the same thing count once."""
        counts: Counter[str] = Counter()
        for action in {action.key: action for action in self.actions}.values():
            match action:
                case Webhook(topic="orders/create"):
                    counts["sync-shopify-order"] += 1
                case SendEvents(events=events):
                    counts.update(_TASK_OF_EVENT[event["name"]] for event in events)
                case Trigger(task=task):
                    counts[task] += 1
        return dict(counts)


def build_plan(dataset: Dataset, *, scale: int = 40) -> Plan:
    """The plan for a dataset: about five times `scale` actions, the same ones for the same seed.

    `scale` is how many events each busy task gets; no more than the dataset's own scale are to be had.
    """
    return _Planner(dataset, scale).plan()


def earlier_payouts(dataset: Dataset) -> Plan:
    """The payouts that are made before the load."""
    requests = dataset.earlier_payouts
    events = [_event("payout/approved", f"payout-{request}", {"requestId": request}) for request in requests]
    return Plan(tuple(SendEvents((event,)) for event in events))


class _Planner:
    def __init__(self, dataset: Dataset, scale: int) -> None:
        self._dataset = dataset
        self._random = random.Random(dataset.seed + 1)
        self._scale = scale

    def plan(self) -> Plan:
        events = self._events()
        actions: list[Action] = [*self._webhooks(), *self._sends(events), *self._triggers()]
        self._random.shuffle(actions)
        return Plan((*actions, *self._repetitions(actions)))

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _webhooks(self) -> list[Webhook]:
        orders = list(self._dataset.shop_orders.values())[: self._scale]
        customers = list(self._dataset.shop_customers.values())[: self._scale // 6]
        deliveries = [("orders/create", order) for order in orders]
        deliveries += [("customers/create", customer) for customer in customers]
        deliveries += [(_IGNORED_TOPIC, {**customer, "title": "Linen apron"}) for customer in customers[:3]]
        return [
            Webhook(
                topic=topic,
                shop_domain=subject["shop_domain"],
                webhook_id=self._uuid(),
                body=orjson.dumps({name: value for name, value in subject.items() if name != "shop_domain"}),
            )
            for topic, subject in deliveries
        ]

    def _events(self) -> list[Row]:
        rows = self._dataset.rows
        events: list[Row] = []
        review_orders = [order for order in rows["orders"] if order["id"].startswith("54")][: self._scale]
        for index, order in enumerate(review_orders):
            sequence = 1 + index % 3 // 2
            data = {"orderId": order["id"], "sequence": sequence, "tenantId": order["tenant_id"]}
            events.append(_event("review/email.scheduled", f"review-{order['id']}-{sequence}", data))
        requests = [row for row in rows["withdrawals"] if row["id"] not in self._dataset.earlier_payouts]
        for request in requests[: self._scale]:
            events.append(_event("payout/approved", f"payout-{request['id']}", {"requestId": request["id"]}))
        for conversion in rows["conversions"][: self._scale]:
            data = {"orderId": conversion["id"], "tenantId": conversion["tenant_id"]}
            events.append(_event("attribution/conversion", f"conversion-{conversion['id']}", data))
        return events + self._metrics()

    def _metrics(self) -> list[Row]:
        """A tick for each tenant and day, and one a day for all tenants, as many as a third of the scale."""
        tenants = [row["id"] for row in self._dataset.rows["tenants"] if row["active"]]
        # One day further back than the others: no two runs write the same snapshot.
        everybody = self._dataset.day(METRIC_DAYS + 1)
        ticks = [_event("cron/daily-metrics", f"metrics-all-{everybody}", {"day": everybody})]
        for days_ago in range(1, METRIC_DAYS + 1):
            for tenant in tenants:
                day = self._dataset.day(days_ago)
                data = {"tenantId": tenant, "day": day}
                ticks.append(_event("cron/daily-metrics", f"metrics-{tenant}-{day}", data))
        return ticks[: max(2, self._scale // 3)]

    def _sends(self, events: list[Row]) -> list[SendEvents]:
        """Most events go alone, some in the company of one or two others."""
        self._random.shuffle(events)
        sends: list[SendEvents] = []
        while events:
            size = self._random.choice((1, 1, 1, 1, 2, 3))
            sends.append(SendEvents(tuple(events[:size])))
            del events[:size]
        return sends

    def _triggers(self) -> list[Trigger]:
        triggers: list[Trigger] = []
        for index, application in enumerate(self._dataset.rows["applications"][: self._scale]):
            payload = {"creatorId": application["creator_id"], "tenantId": application["tenant_id"]}
            task, key = "process-creator-application", f"application-{application['creator_id']}"
            triggers.append(self._trigger(task, payload, key if index % 2 == 0 else None))
        for tenant in self._dataset.rows["tenants"]:
            if tenant["active"]:
                payload = {"tenantId": tenant["id"]}
                key = f"{WEBHOOK_QUEUE}-{tenant['id']}-{self._dataset.today}"
                triggers.append(self._trigger("process-webhook-queue", payload, key))
        return triggers

    def _trigger(self, task: str, payload: Row, key: str | None) -> Trigger:
        if key is None:
            return Trigger(task, payload, self._uuid(), tags=(payload["tenantId"],))
        # As the SDK does outside of a task: the hash of the key, and what it was for people to read.
        hashed = hashlib.sha256(key.encode()).hexdigest()
        return Trigger(task, payload, self._uuid(), hashed, {"key": key, "scope": "run"}, (payload["tenantId"],))

    def _repetitions(self, actions: list[Action]) -> list[Action]:
        """What producers do twice: redeliveries of webhooks, and calls of their own with the same key."""
        webhooks = [action for action in actions if isinstance(action, Webhook)]
        keyed = [action for action in actions if isinstance(action, Trigger) and action.idempotency_key]
        sends = [action for action in actions if isinstance(action, SendEvents)]
        repeated: list[Action] = [
            *self._random.sample(webhooks, min(len(webhooks), max(1, self._scale // 10))),
            *(self._again(trigger) for trigger in self._random.sample(keyed, min(len(keyed), 3))),
            *self._random.sample(sends, min(len(sends), 3)),
        ]
        return repeated

    def _again(self, trigger: Trigger) -> Trigger:
        return Trigger(
            trigger.task,
            trigger.payload,
            self._uuid(),
            trigger.idempotency_key,
            trigger.idempotency_options,
            trigger.tags,
        )


def _event(name: str, event_id: str, data: dict[str, Any]) -> Row:
    return {"name": name, "id": event_id, "data": data}
