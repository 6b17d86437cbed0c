"""process-attribution as a Trigger.dev task: which touchpoints earned a conversion, by every model."""

from __future__ import annotations

from datetime import datetime

from sandbox.commerce.attribution import MODELS, weights
from sandbox.commerce.database import Row
from sandbox.commerce.outside import Outside, hashed, now
from sandbox.trigger_dev.tasks import TaskContext


async def run(outside: Outside, payload: Row, ctx: TaskContext) -> Row:
    """Payload: orderId, tenantId. Returns success and the names of the models."""
    conversion = outside.database.get("conversions", payload["orderId"])
    tenant = outside.database.get("tenants", payload["tenantId"])
    touchpoints = outside.database.query(
        "SELECT * FROM touchpoints WHERE tenant_id = %s AND visitor_id = %s ORDER BY occurred_at, id",
        tenant["id"],
        conversion["visitor_id"],
    )

    for model in MODELS:
        shares = weights(model, touchpoints, conversion["occurred_at"])
        credits: dict[str, float] = {}
        for touchpoint, weight in zip(touchpoints, shares, strict=True):
            earned = conversion["total_cents"] / 100 * weight / sum(shares)
            credits[touchpoint["channel"]] = credits.get(touchpoint["channel"], 0.0) + earned
        outside.save(
            "attribution_results",
            {
                "id": f"{conversion['id']}/{model}",
                "order_id": conversion["id"],
                "tenant_id": tenant["id"],
                "model": model,
                "credits_json": credits,
                "currency": conversion["currency"],
                "day": conversion["occurred_at"][:10],
                "attributed_cents": conversion["total_cents"],
                "created_at": now(),
            },
        )

    value = conversion["total_cents"] / 100
    await outside.send_to_ga4(
        tenant,
        conversion["visitor_id"],
        {
            "name": "purchase",
            "params": {"transaction_id": conversion["id"], "value": value, "currency": conversion["currency"]},
        },
    )
    await outside.send_to_meta(
        tenant,
        {
            "event_name": "Purchase",
            "event_time": int(datetime.fromisoformat(conversion["occurred_at"]).timestamp()),
            "event_id": f"purchase-{conversion['id']}",
            "action_source": "website",
            "user_data": {"em": [hashed(conversion["email"])]},
            "custom_data": {"value": value, "currency": conversion["currency"], "order_id": conversion["id"]},
        },
    )
    return {"success": True, "models": list(MODELS)}
