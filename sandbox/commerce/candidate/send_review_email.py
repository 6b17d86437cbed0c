"""send-review-email as an Inngest function."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import inngest

from sandbox.commerce.candidate.worker import Worker
from sandbox.commerce.database import Row
from sandbox.commerce.messages import incentive_percent, review_request
from sandbox.commerce.outside import Outside

TASK = "send-review-email"
REMINDER_DELAY = timedelta(days=7)


def function(worker: Worker) -> inngest.Function[Any]:
    """Event data: orderId, sequence, tenantId. Returns success and sequence, or that it was skipped."""

    @worker.client.create_function(
        fn_id=TASK,
        retries=3,
        throttle=inngest.Throttle(limit=10, period=timedelta(seconds=1), key="event.data.tenantId"),
        trigger=inngest.TriggerEvent(event="review/email.scheduled"),
    )
    async def send_review_email(ctx: inngest.Context) -> Row:
        data: Row = dict(ctx.event.data)
        order_id, sequence, tenant_id = data["orderId"], data["sequence"], data["tenantId"]
        run = worker.run(ctx)

        async def check(outside: Outside) -> bool:
            return bool(outside.database.find("reviews", order_id=order_id))

        if worker.faults.at("review.reviewed", await run.step("check-reviewed", check)):
            return {"skipped": True, "reason": "already_reviewed"}

        async def load(outside: Outside) -> Row:
            return {
                "order": outside.database.get("orders", order_id),
                "items": outside.database.find("order_items", order_id=order_id),
                "tenant": outside.database.get("tenants", tenant_id),
            }

        loaded = await run.step("load-order", load)
        percent = incentive_percent(sequence)
        message = review_request(loaded["tenant"], loaded["order"], loaded["items"], sequence, percent)

        async def send(outside: Outside) -> str:
            return await outside.send_email(worker.faults.at("review.message", message))

        for step_id in worker.faults.at("review.sends", ("send-email",)):
            await run.step(step_id, send)

        if sequence == 1:
            # The memoised time: the body runs again after every step, and "now" with it.
            due = await ctx.step.run("compute-reminder-time", _reminder_time)
            reminder: Row = {"orderId": order_id, "sequence": 2, "tenantId": tenant_id}
            await ctx.step.send_event(
                "schedule-reminder",
                inngest.Event(
                    name="review/email.scheduled", data=worker.faults.at("review.reminder", reminder), ts=due
                ),
            )
        return {"success": True, "sequence": sequence}

    return send_review_email


async def _reminder_time() -> int:
    """A week from now, epoch milliseconds."""
    return int((datetime.now(UTC) + REMINDER_DELAY).timestamp() * 1000)
