"""sync-shopify-order as a Trigger.dev task: take an order over from Shopify, and all that follows from it."""

from __future__ import annotations

from datetime import datetime, timedelta

from sandbox.commerce.database import Row
from sandbox.commerce.money import cents, share
from sandbox.commerce.outside import Outside, now
from sandbox.trigger_dev.tasks import TaskContext

REVIEW_DELAY = timedelta(days=5)


async def run(outside: Outside, payload: Row, ctx: TaskContext) -> Row:
    """Payload: orderId, tenantId. Returns success and orderId."""
    tenant = outside.database.get("tenants", payload["tenantId"])
    order = await outside.shopify_order(tenant, payload["orderId"])
    order_id = str(order["id"])
    customer = order["customer"]

    outside.save(
        "orders",
        {
            "id": order_id,
            "tenant_id": tenant["id"],
            "number": order["order_number"],
            "customer_email": order["email"],
            "customer_name": f"{customer['first_name']} {customer['last_name']}",
            "total_cents": cents(order["total_price"]),
            "currency": order["currency"],
            "status": order["financial_status"],
            "created_at": order["created_at"],
            "updated_at": now(),
        },
    )
    for place, item in enumerate(order["line_items"]):
        outside.save(
            "order_items",
            {
                "id": f"{order_id}/{place}",
                "order_id": order_id,
                "title": item["title"],
                "quantity": item["quantity"],
                "price_cents": cents(item["price"]),
            },
        )

    _attribute(outside, tenant, order)

    for discount in order["discount_codes"]:
        _credit_creator(outside, tenant, order, discount["code"])

    for fulfilment in order["fulfillments"]:
        if fulfilment["estimated_delivery_at"]:
            due = datetime.fromisoformat(fulfilment["estimated_delivery_at"]) + REVIEW_DELAY
            reminder = {"orderId": order_id, "sequence": 1, "tenantId": tenant["id"]}
            await ctx.trigger("send-review-email", reminder, delay=due, idempotency_key=f"review-{order_id}-1")
            break

    return {"success": True, "orderId": order_id}


def _attribute(outside: Outside, tenant: Row, order: Row) -> None:
    """Credit the order to the last touchpoint of its visitor."""
    noted = {note["name"]: note["value"] for note in order["note_attributes"]}
    visitor_id = noted.get("visitor_id")
    touchpoints = outside.database.query(
        "SELECT * FROM touchpoints WHERE tenant_id = %s AND visitor_id = %s ORDER BY occurred_at, id",
        tenant["id"],
        visitor_id,
    )
    if not touchpoints:
        return
    last = touchpoints[-1]
    outside.save(
        "order_attributions",
        {
            "id": str(order["id"]),
            "order_id": str(order["id"]),
            "tenant_id": tenant["id"],
            "visitor_id": visitor_id,
            "channel": last["channel"],
            "campaign": last["campaign"],
            "updated_at": now(),
        },
    )


def _credit_creator(outside: Outside, tenant: Row, order: Row, code: str) -> None:
    found = outside.database.find("discount_codes", tenant_id=tenant["id"], code=code)
    if not found:
        return
    outside.save(
        "commissions",
        {
            "id": f"{order['id']}/{code}",
            "order_id": str(order["id"]),
            "creator_id": found[0]["creator_id"],
            "code": code,
            "amount_cents": share(cents(order["total_price"]), found[0]["commission_percent"]),
            "currency": order["currency"],
            "updated_at": now(),
        },
    )
