"""process-payout as a Trigger.dev task: money moves to a creator."""

from __future__ import annotations

import uuid

from sandbox.commerce.database import Row
from sandbox.commerce.messages import payout_confirmation
from sandbox.commerce.outside import Outside, TargetRefused, TargetUnavailable, Transfer, now
from sandbox.trigger_dev.tasks import AbortTaskRunError, TaskContext

ATTEMPTS = 3


async def run(outside: Outside, payload: Row, ctx: TaskContext) -> Row:
    """Payload: requestId. Returns success and transferId."""
    request = outside.database.get("withdrawals", payload["requestId"])
    creator = outside.database.get("creators", request["creator_id"])
    transfer = Transfer(
        request_id=request["id"],
        amount_cents=request["amount_cents"],
        currency=request["currency"],
        destination=creator["destination"],
        key=f"payout-{request['id']}",
    )
    try:
        transfer_id = await outside.pay(creator["provider"], transfer)
    except TargetRefused as refusal:
        _mark_failed(outside, request, str(refusal))
        raise AbortTaskRunError(str(refusal)) from refusal
    except TargetUnavailable as outage:
        if ctx.attempt == ATTEMPTS:
            _mark_failed(outside, request, str(outage))
        raise

    outside.save(
        "withdrawals",
        {"id": request["id"], "status": "completed", "transfer_id": transfer_id, "updated_at": now()},
    )
    outside.save(
        "ledger_transactions",
        {
            "id": str(uuid.uuid4()),
            "request_id": request["id"],
            "creator_id": creator["id"],
            "kind": "payout",
            "amount_cents": -request["amount_cents"],
            "currency": request["currency"],
            "transfer_id": transfer_id,
            "created_at": now(),
        },
    )
    await outside.send_email(payout_confirmation(creator, request, transfer_id))
    return {"success": True, "transferId": transfer_id}


def _mark_failed(outside: Outside, request: Row, error: str) -> None:
    outside.save("withdrawals", {"id": request["id"], "status": "failed", "error": error, "updated_at": now()})
