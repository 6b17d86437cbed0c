"""process-webhook-queue as an Inngest function: ten webhooks a step, for every step costs a round trip."""

from __future__ import annotations

from functools import partial
from typing import Any

import inngest

from sandbox.commerce.candidate.worker import Worker
from sandbox.commerce.database import Row
from sandbox.commerce.outside import Outside, now

TASK = "process-webhook-queue"
EVENT = "cron/webhook-queue"
"""The example names no event for this task; this is the one chosen here."""
PAGE = 100
CHUNK = 10


def function(worker: Worker) -> inngest.Function[Any]:
    """Event data: tenantId (default: everybody's queue). Returns how many webhooks were processed, and failed."""

    @worker.client.create_function(fn_id=TASK, trigger=inngest.TriggerEvent(event=EVENT))
    async def process_webhook_queue(ctx: inngest.Context) -> Row:
        tenant_id = ctx.event.data.get("tenantId")
        whose = {} if tenant_id is None else {"tenant_id": tenant_id}
        run = worker.run(ctx)

        async def take(outside: Outside) -> list[str]:
            pending = outside.database.find("webhook_queue", status="pending", **whose)
            pending.sort(key=lambda webhook: (webhook["received_at"], webhook["id"]))
            return [webhook["id"] for webhook in pending[: worker.faults.at("queue.page", PAGE)]]

        async def process(ids: list[str], outside: Outside) -> list[bool]:
            return [_work_off(outside, webhook_id) for webhook_id in ids]

        page = await run.step("take-page", take)
        results: list[bool] = []
        for begin in range(0, len(page), CHUNK):
            chunk = page[begin : begin + CHUNK]
            results += await run.step(f"process-from-{begin}", partial(process, chunk))
            if not all(results) and not worker.faults.at("queue.goes_on", True):
                break
        return {"processed": results.count(True), "failed": results.count(False)}

    return process_webhook_queue


def _work_off(outside: Outside, webhook_id: str) -> bool:
    """Process one webhook and mark it; False when it could not be processed."""
    webhook = outside.database.get("webhook_queue", webhook_id)
    problem = _process(outside, webhook)
    if problem is None:
        change: Row = {"status": "processed", "processed_at": now()}
    else:
        change = {"retries": webhook["retries"] + 1, "error": problem}
    outside.save("webhook_queue", {"id": webhook_id, **change})
    return problem is None


def _process(outside: Outside, webhook: Row) -> str | None:
    """What prevented it from being processed; None when nothing did."""
    if webhook["topic"] != "customers/update":
        return f"no handler for {webhook['topic']}"
    customer = webhook["payload_json"]
    if not customer.get("email"):
        return "customer has no email"
    row = {"id": customer["id"], "tenant_id": webhook["tenant_id"], "email": customer["email"]}
    outside.save("customers", {**row, "name": customer["name"], "updated_at": now()})
    return None
