"""The catalogue of the commerce example: what Shadow has to be told to verify this migration."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import yaml

from sandbox.commerce.candidate import APP_ID
from sandbox.commerce.candidate.process_webhook_queue import EVENT as WEBHOOK_QUEUE
from sandbox.commerce.database import NAME
from sandbox.commerce.databases import DatabaseUrls
from sandbox.commerce.dataset import Dataset
from sandbox.commerce.keys import Keys
from sandbox.targets.analytics import META_API_VERSION
from sandbox.targets.shopify import API_VERSION

SHOPIFY = "shopify"
APP_INNGEST = "app-inngest"
APP_TRIGGER = "app-trigger"

IDENTITIES: tuple[dict[str, Any], ...] = ({"kind": "event", "paths": ["$.orderId"]},)
"""What makes an effect that effect, where its target's operation does not say it."""

_BEFORE: dict[str, tuple[dict[str, Any], ...]] = {
    "process-payout": tuple(
        {
            "first": {"kind": "http", "target": provider},
            "then": {"kind": "sql", "operation": "* ledger_transactions"},
            "reason": "the books say what has been paid, not what will be",
        }
        for provider in ("swiftpay", "bankwire")
    ),
}
"""Order that matters; all else that a task does may come in any order."""

_CREDENTIALS: dict[str, dict[str, str]] = {
    "shopify": {"header": "x-shopify-access-token"},
    "mail": {"header": "authorization"},
    "slack": {"header": "authorization"},
    "meta": {"query": "access_token"},
    "ga4": {"query": "api_secret"},
    "swiftpay": {"header": "authorization"},
    "bankwire": {"header": "x-api-key"},
}
"""Where calls carry each target's credential."""

_OPERATIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "shopify": (
        {"match": f"GET /admin/api/{API_VERSION}/orders/{{id}}.json"},
        {"match": f"GET /admin/api/{API_VERSION}/customers/{{id}}.json"},
    ),
    "mail": (
        {
            "match": "POST /v3/mail/send",
            "identity": ["$.body.categories[0]", "$.body.custom_args.reference"],
            # A mail that legacy never sent: the provider takes it, with an id of its own.
            "stub": {"status": 202, "headers": {"x-message-id": "msg_stub"}},
        },
    ),
    "slack": (
        {
            "match": "POST /api/chat.postMessage",
            "identity": ["$.body.channel"],
            "stub": {"body": {"ok": {"value": True}, "channel": "$.body.channel", "ts": "0.000000"}},
        },
    ),
    "meta": (
        {
            "match": f"POST /{META_API_VERSION}/{{pixel}}/events",
            "identity": ["$.body.data[0].event_id"],
            "stub": {"body": {"events_received": 1, "fbtrace_id": "fb_stub"}},
        },
    ),
    "ga4": (
        {
            "match": "POST /mp/collect",
            "identity": ["$.body.events[0].params.transaction_id"],
            "stub": {"status": 204},
        },
    ),
    # No stub where money moves: what legacy never paid is refused.
    "swiftpay": ({"match": "POST /v1/transfers", "identity": ["$.body.reference"]},),
    "bankwire": ({"match": "POST /payouts", "identity": ["$.body.reference"]},),
}
"""What is done at each target, and what makes one call another."""

_WORLD: dict[str, tuple[dict[str, Any], ...]] = {
    "send-review-email": (
        {"table": "orders", "key": {"id": "$.orderId"}, "changed_at": "updated_at"},
        {"table": "order_items", "key": {"order_id": "$.orderId"}, "changed_at": "updated_at"},
        {"table": "reviews", "key": {"order_id": "$.orderId"}, "changed_at": "created_at"},
    ),
    "process-creator-application": (
        {"table": "applications", "key": {"creator_id": "$.creatorId"}, "changed_at": "submitted_at"},
    ),
    "process-attribution": ({"table": "conversions", "key": {"id": "$.orderId"}, "changed_at": "occurred_at"},),
}
"""Rows that the app writes into legacy's database and the candidate needs in its own. What a task itself writes is not
among them: withdrawals and the webhook queue were cloned before."""

_SCHEDULED: dict[str, dict[str, Any]] = {
    "aggregate-daily-metrics": {"cron": {"expression": "0 2 * * *"}},
    "process-webhook-queue": {
        "cron": {"expression": "*/5 * * * *", "drains": True},
        "world": [{"table": "webhook_queue", "key": {"status": {"value": "pending"}}}],
    },
}
"""What is said in place of the source of a task that legacy's own scheduler starts."""
_PRICES: dict[str, Any] = {
    "platforms": {
        "trigger": {"monthly": 50},
        "inngest": {"monthly": 75, "per_execution": 0.00005, "included_executions": 100_000},
    },
    # The run itself and its steps.
    "executions": {"sync-shopify-order": 5, "send-review-email": 6, "process-payout": 5},
}
"""Made up."""

_TENANT_EVENT = {"orderId": "$.orderId", "tenantId": "$.tenantId"}
_TASKS: dict[str, dict[str, Any]] = {
    "sync-shopify-order": {
        "category": "orders",
        "event": "shopify/order.created",
        "source": SHOPIFY,
        "payload": _TENANT_EVENT,
        "business_keys": ["$.orderId"],
        "description": "Takes an order over from Shopify: order, attribution, commission, review request.",
    },
    "send-review-email": {
        "category": "reviews",
        "event": "review/email.scheduled",
        "source": APP_INNGEST,
        "payload": {**_TENANT_EVENT, "sequence": "$.sequence"},
        "tenant_rate": 10,
        "business_keys": ["$.orderId"],
        "description": "Asks a customer for a review, at most ten a second for each tenant.",
    },
    "process-payout": {
        "category": "payouts",
        "event": "payout/approved",
        "source": APP_INNGEST,
        "payload": {"requestId": "$.requestId"},
        "business_keys": ["$.requestId"],
        "cutover": {"entity": "$.requestId"},
        "description": "Moves money to a creator.",
    },
    "process-creator-application": {
        "category": "creators",
        "event": "creator/applied",
        "source": APP_TRIGGER,
        "business_keys": ["$.creatorId"],
        "description": "Confirms an application and tells the team and Meta.",
    },
    "process-attribution": {
        "category": "attribution",
        "event": "attribution/conversion",
        "source": APP_INNGEST,
        "payload": _TENANT_EVENT,
        "business_keys": ["$.orderId"],
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
    targets_url: str,
    databases: DatabaseUrls,
    keys: Keys,
    deadline: str = "60s",
    settle: str = "500ms",
    scheduled: bool = False,
) -> str:
    """The catalogue as YAML, for platforms and targets at these URLs.

    Args:
        scheduled: whether legacy's own scheduler starts the scheduled tasks; else the app makes their events.
    """
    return yaml.safe_dump(
        {
            "version": 1,
            "platforms": _platforms(trigger_url, inngest_url, keys),
            "sources": _sources(dataset, keys),
            "defaults": {
                "deadline": deadline,
                "settle": settle,
                "sequence": "after",
                "rules": {"identities": [dict(identity) for identity in IDENTITIES]},
            },
            "categories": {category: {} for category in dict.fromkeys(task["category"] for task in _TASKS.values())},
            "tasks": {
                task_id: {
                    **_task(task_id, task),
                    **({"sources": [], **_SCHEDULED[task_id]} if scheduled and task_id in _SCHEDULED else {}),
                }
                for task_id, task in _TASKS.items()
            },
            "report_keys": {"legacy": [keys.report_legacy], "candidate": [keys.report_candidate]},
            "prices": _PRICES,
            "targets": {name: _target(name, targets_url, keys) for name in _OPERATIONS},
            "databases": {
                NAME: {side: {"dsn": url, "role": urlsplit(url).username} for side, url in vars(databases).items()}
            },
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


def _target(name: str, targets_url: str, keys: Keys) -> dict[str, Any]:
    return {
        "url": f"{targets_url}/{name}",
        "private": True,
        "kind": "email" if name == "mail" else "http",
        "credential": {**_CREDENTIALS[name], "secret": keys.target_secrets[name]},
        "operations": [dict(operation) for operation in _OPERATIONS[name]],
        "undeclared": "refuse",
        "timeout": "30s",
    }


def _task(task_id: str, task: dict[str, Any]) -> dict[str, Any]:
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
    for name in ("tenant_rate", "business_keys", "cutover"):
        if name in task:
            described[name] = task[name]
    if task_id in _BEFORE:
        described["rules"] = {"before": [dict(rule) for rule in _BEFORE[task_id]]}
    if task_id in _WORLD:
        described["world"] = [dict(row) for row in _WORLD[task_id]]
    return described
