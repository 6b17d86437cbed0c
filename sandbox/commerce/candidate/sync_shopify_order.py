"""sync-shopify-order as an Inngest function."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import inngest

from sandbox.commerce.candidate.worker import Worker
from sandbox.commerce.database import Row
from sandbox.commerce.money import cents, share
from sandbox.commerce.outside import Outside, now

TASK = "sync-shopify-order"
REVIEW_DELAY = timedelta(days=5)


def function(worker: Worker) -> inngest.Function[Any]:
    """Event data: orderId, tenantId. Returns success and orderId."""

    @worker.client.create_function(fn_id=TASK, retries=3, trigger=inngest.TriggerEvent(event="shopify/order.created"))
    async def sync_shopify_order(ctx: inngest.Context) -> Row:
        tenant_id, order_id = str(ctx.event.data["tenantId"]), str(ctx.event.data["orderId"])
        tenant = worker.outside.database.get("tenants", tenant_id)
        run = worker.run(ctx)

        async def fetch(outside: Outside) -> Row:
            return await outside.shopify_order(tenant, order_id)

        order = await run.step("fetch-order", fetch)

        async def save(outside: Outside) -> None:
            outside.save("orders", worker.faults.at("order.row", _order_row(tenant_id, order)))
            for row in _item_rows(order):
                outside.save("order_items", row)

        async def attribute(outside: Outside) -> None:
            visitor_id = next((n["value"] for n in order["note_attributes"] if n["name"] == "visitor_id"), None)
            touchpoints = outside.database.find("touchpoints", tenant_id=tenant_id, visitor_id=visitor_id)
            if touchpoints:
                last = max(touchpoints, key=lambda t: (t["occurred_at"], t["id"]))
                outside.save("order_attributions", _attribution_row(tenant_id, order_id, last))

        async def credit(outside: Outside) -> None:
            for discount in discounts:
                found = outside.database.find("discount_codes", tenant_id=tenant_id, code=discount["code"])
                for code in found[:1]:
                    outside.save("commissions", _commission_row(order, code))

        await run.step("save-order", save)
        await run.step("attribute-order", attribute)
        discounts = worker.faults.at("order.discounts", list(order["discount_codes"]))
        if discounts:
            await run.step("credit-creator", credit)

        delivery = next((f["estimated_delivery_at"] for f in order["fulfillments"] if f["estimated_delivery_at"]), None)
        if delivery:
            due = datetime.fromisoformat(delivery) + worker.faults.at("order.review_delay", REVIEW_DELAY)
            await ctx.step.send_event(
                "schedule-review-email",
                inngest.Event(
                    name="review/email.scheduled",
                    data={"orderId": order_id, "sequence": 1, "tenantId": tenant_id},
                    ts=int(due.timestamp() * 1000),
                ),
            )
        return {"success": True, "orderId": order_id}

    return sync_shopify_order


def _order_row(tenant_id: str, order: Row) -> Row:
    return {
        "id": str(order["id"]),
        "tenant_id": tenant_id,
        "number": order["order_number"],
        "customer_email": order["email"],
        "customer_name": " ".join((order["customer"]["first_name"], order["customer"]["last_name"])),
        "total_cents": cents(order["total_price"]),
        "currency": order["currency"],
        "status": order["financial_status"],
        "created_at": order["created_at"],
        "updated_at": now(),
    }


def _item_rows(order: Row) -> list[Row]:
    return [
        {
            "id": f"{order['id']}/{place}",
            "order_id": str(order["id"]),
            "title": item["title"],
            "quantity": item["quantity"],
            "price_cents": cents(item["price"]),
        }
        for place, item in enumerate(order["line_items"])
    ]


def _attribution_row(tenant_id: str, order_id: str, touchpoint: Row) -> Row:
    return {
        "id": order_id,
        "order_id": order_id,
        "tenant_id": tenant_id,
        "visitor_id": touchpoint["visitor_id"],
        "channel": touchpoint["channel"],
        "campaign": touchpoint["campaign"],
        "updated_at": now(),
    }


def _commission_row(order: Row, code: Row) -> Row:
    return {
        "id": f"{order['id']}/{code['code']}",
        "order_id": str(order["id"]),
        "creator_id": code["creator_id"],
        "code": code["code"],
        "amount_cents": share(cents(order["total_price"]), code["commission_percent"]),
        "currency": order["currency"],
        "updated_at": now(),
    }
