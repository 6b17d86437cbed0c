"""The catalogue of the commerce example: what Shadow has to be told to verify this migration."""

from __future__ import annotations

from typing import Any

import yaml

from sandbox.commerce.candidate import APP_ID
from sandbox.commerce.candidate.process_webhook_queue import EVENT as WEBHOOK_QUEUE
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.keys import Keys

SHOPIFY = "shopify"
APP_INNGEST = "app-inngest"
APP_TRIGGER = "app-trigger"

IDENTITIES: tuple[dict[str, Any], ...] = (
    {"kind": "email", "paths": ["$.template", "$.reference"]},
    {"kind": "event", "paths": ["$.orderId"]},
    {"kind": "http", "target": "slack", "paths": ["$.body.channel"]},
    {"kind": "http", "target": "meta", "paths": ["$.body.data[0].event_id"]},
    {"kind": "http", "target": "ga4", "paths": ["$.body.events[0].params.transaction_id"]},
)
"""What makes an effect that effect, where it is not reported with its identity."""

_TENANT_EVENT = {"orderId": "$.orderId", "tenantId": "$.tenantId"}
_TASKS: dict[str, dict[str, Any]] = {
    "sync-shopify-order": {
        "category": "orders",
        "event": "shopify/order.created",
        "source": SHOPIFY,
        "payload": _TENANT_EVENT,
        "description": "Takes an order over from Shopify: order, attribution, commission, review request.",
    },
    "send-review-email": {
        "category": "reviews",
        "event": "review/email.scheduled",
        "source": APP_INNGEST,
        "payload": {**_TENANT_EVENT, "sequence": "$.sequence"},
        "tenant_rate": 10,
        "description": "Asks a customer for a review, at most ten a second for each tenant.",
    },
    "process-payout": {
        "category": "payouts",
        "event": "payout/approved",
        "source": APP_INNGEST,
        "payload": {"requestId": "$.requestId"},
        "description": "Moves money to a creator.",
    },
    "process-creator-application": {
        "category": "creators",
        "event": "creator/applied",
        "source": APP_TRIGGER,
        "description": "Confirms an application and tells the team and Meta.",
    },
    "process-attribution": {
        "category": "attribution",
        "event": "attribution/conversion",
        "source": APP_INNGEST,
        "payload": _TENANT_EVENT,
        "description": "Shares a conversion among its touchpoints by every model.",
    },
    "aggregate-daily-metrics": {
        "category": "scheduled",
        "event": "cron/daily-metrics",
        "source": APP_INNGEST,
        "description": "Sums a day up, one row for each tenant.",
    },
    "process-webhook-queue": {
        "category": "scheduled",
        "event": WEBHOOK_QUEUE,
        "source": APP_TRIGGER,
        "description": "Works off up to a hundred webhooks that wait.",
    },
}

TASKS = tuple(_TASKS)
"""The ids of the seven tasks."""


def catalogue(
    dataset: Dataset,
    *,
    trigger_url: str,
    inngest_url: str,
    keys: Keys,
    deadline: str = "60s",
    settle: str = "500ms",
) -> str:
    """The catalogue as YAML, for platforms at these URLs."""
    return yaml.safe_dump(
        {
            "version": 1,
            "platforms": _platforms(trigger_url, inngest_url, keys),
            "sources": _sources(dataset, keys),
            "defaults": {
                "deadline": deadline,
                "settle": settle,
                "rules": {"identities": [dict(identity) for identity in IDENTITIES]},
            },
            "categories": {category: {} for category in dict.fromkeys(task["category"] for task in _TASKS.values())},
            "tasks": {task_id: _task(task) for task_id, task in _TASKS.items()},
            "report_keys": {"legacy": [keys.report_legacy], "candidate": [keys.report_candidate]},
        },
        sort_keys=False,
        allow_unicode=True,
    )


def _platforms(trigger_url: str, inngest_url: str, keys: Keys) -> dict[str, Any]:
    inngest = {
        "kind": "inngest",
        "side": "candidate",
        "event_url": inngest_url,
        "api_url": inngest_url,
        "event_key": keys.event_platform,
        "app": APP_ID,
    }
    if keys.signing_key is not None:
        inngest["signing_key"] = keys.signing_key
    return {
        "trigger": {
            "kind": "trigger.dev",
            "side": "legacy",
            "url": trigger_url,
            "secret_key": keys.trigger_platform,
            "poll_every": "1s",
        },
        "inngest": {**inngest, "poll_every": "1s"},
    }


def _sources(dataset: Dataset, keys: Keys) -> dict[str, Any]:
    tenants = {row["shop_domain"]: row["id"] for row in dataset.rows["tenants"]}
    tenant = {"lookup": "tenants", "key": "header:x-shopify-shop-domain"}

    def topic(name: str, event: str, key: str) -> dict[str, Any]:
        return {
            "when": {"header:x-shopify-topic": name},
            "name": event,
            "data": {key: {"path": "$.id", "as": "string"}, "tenantId": dict(tenant)},
            "tenant": dict(tenant),
            "occurred_at": {"path": "$.created_at", "as": "time"},
        }

    return {
        SHOPIFY: {
            "kind": "webhook",
            "signature": {"scheme": "shopify", "secrets": [keys.shopify_secret]},
            "tables": {"tenants": tenants},
            "events": [
                topic("orders/create", "shopify/order.created", "orderId"),
                topic("customers/create", "shopify/customer.created", "customerId"),
            ],
            "ignore": [{"header:x-shopify-topic": "products/update"}],
        },
        APP_INNGEST: {"kind": "inngest", "keys": [keys.event_app], "tenant": "$.tenantId"},
        APP_TRIGGER: {"kind": "trigger.dev", "keys": [keys.trigger_app]},
        "legacy-worker": {"kind": "trigger.dev", "keys": [keys.trigger_worker], "origin": "legacy"},
        "candidate-worker": {"kind": "inngest", "keys": [keys.event_worker], "origin": "candidate"},
    }


def _task(task: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "category": task["category"],
        "event": task["event"],
        "sources": [task["source"]],
        "legacy": {"platform": "trigger"},
        "candidate": {"platform": "inngest"},
        "description": task["description"],
    }
    if "payload" in task:
        described["legacy"]["payload"] = dict(task["payload"])
    if "tenant_rate" in task:
        described["tenant_rate"] = task["tenant_rate"]
    return described
