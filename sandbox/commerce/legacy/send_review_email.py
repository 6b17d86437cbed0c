"""send-review-email as a Trigger.dev task: ask for a review, once more a week later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.commerce.database import Row
from sandbox.commerce.messages import incentive_percent, review_request
from sandbox.commerce.outside import Outside
from sandbox.trigger_dev.tasks import TaskContext

REMINDER_DELAY = timedelta(days=7)


async def run(outside: Outside, payload: Row, ctx: TaskContext) -> Row:
    """Payload: orderId, sequence, tenantId. Returns success and sequence, or that it was skipped."""
    order_id, sequence = payload["orderId"], payload["sequence"]
    if outside.database.find("reviews", order_id=order_id):
        return {"skipped": True, "reason": "already_reviewed"}

    order = outside.database.get("orders", order_id)
    items = outside.database.find("order_items", order_id=order_id)
    tenant = outside.database.get("tenants", payload["tenantId"])
    await outside.send_email(review_request(tenant, order, items, sequence, incentive_percent(sequence)))

    if sequence == 1:
        due = datetime.now(UTC) + REMINDER_DELAY
        reminder = {"orderId": order_id, "sequence": 2, "tenantId": tenant["id"]}
        await ctx.trigger("send-review-email", reminder, delay=due, idempotency_key=f"review-{order_id}-2")

    return {"success": True, "sequence": sequence}
