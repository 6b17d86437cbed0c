"""process-webhook-queue as a Trigger.dev task: work off what Shopify sent and nobody has looked at yet."""

from __future__ import annotations

from sandbox.commerce.database import Row
from sandbox.commerce.outside import Outside, now
from sandbox.trigger_dev.tasks import TaskContext

PAGE = 100


async def run(outside: Outside, payload: Row, ctx: TaskContext) -> Row:
    """Payload: tenantId, whose queue is swept (default: everybody's, as at a tick of its schedule).

    Returns how many webhooks were processed and how many failed.
    """
    pending = outside.database.query(
        "SELECT * FROM webhook_queue WHERE status = 'pending' AND tenant_id = coalesce(%s, tenant_id)"
        " ORDER BY received_at, id LIMIT %s",
        payload.get("tenantId"),
        PAGE,
    )
    processed = failed = 0
    for webhook in pending:
        try:
            _process(outside, webhook)
        except ValueError as problem:
            failed += 1
            change = {"retries": webhook["retries"] + 1, "error": str(problem)}
        else:
            processed += 1
            change = {"status": "processed", "processed_at": now()}
        outside.save("webhook_queue", {"id": webhook["id"], **change})
    return {"processed": processed, "failed": failed}


def _process(outside: Outside, webhook: Row) -> None:
    if webhook["topic"] != "customers/update":
        raise ValueError(f"no handler for {webhook['topic']}")
    customer = webhook["payload_json"]
    if not customer.get("email"):
        raise ValueError("customer has no email")
    outside.save(
        "customers",
        {
            "id": customer["id"],
            "tenant_id": webhook["tenant_id"],
            "email": customer["email"],
            "name": customer["name"],
            "updated_at": now(),
        },
    )
