"""process-payout as an Inngest function."""

from __future__ import annotations

import uuid
from typing import Any

import inngest

from sandbox.commerce.candidate.worker import Worker
from sandbox.commerce.database import Row
from sandbox.commerce.messages import payout_confirmation
from sandbox.commerce.outside import Outside, TargetRefused, Transfer, now

TASK = "process-payout"


def function(worker: Worker) -> inngest.Function[Any]:
    """Event data: requestId. Returns success and transferId."""

    @worker.client.create_function(fn_id=TASK, retries=2, trigger=inngest.TriggerEvent(event="payout/approved"))
    async def process_payout(ctx: inngest.Context) -> Row:
        request_id = str(ctx.event.data["requestId"])
        run = worker.run(ctx)

        async def load(outside: Outside) -> Row:
            request = outside.database.get("withdrawals", request_id)
            return {"request": request, "creator": outside.database.get("creators", request["creator_id"])}

        loaded = await run.step("load-request", load)
        request, creator = loaded["request"], loaded["creator"]
        in_step = worker.faults.at("payout.in_step", True)
        transfer = Transfer(
            request_id=request_id,
            amount_cents=worker.faults.at("payout.amount_cents", request["amount_cents"]),
            currency=request["currency"],
            destination=creator["destination"],
            key=f"payout-{request_id}" if in_step else None,
        )

        async def execute(outside: Outside) -> Row:
            """A refusal is a result, not an error: the step has done its work and must not be tried again."""
            try:
                return {"transferId": await outside.pay(creator["provider"], transfer)}
            except TargetRefused as refusal:
                return {"refusal": str(refusal)}

        try:
            result = await (run.step("execute-payout", execute) if in_step else run.at_once(execute))
        except inngest.StepError as error:
            result = {"refusal": error.message}

        async def mark_failed(outside: Outside) -> None:
            failure = {"status": "failed", "error": result["refusal"], "updated_at": now()}
            outside.save("withdrawals", {"id": request_id, **failure})

        if "refusal" in result:
            await run.step("mark-failed", mark_failed)
            if worker.faults.at("payout.raises", True):
                raise inngest.NonRetriableError(result["refusal"])
            return {"success": True, "transferId": None}

        transfer_id = result["transferId"]

        async def mark_completed(outside: Outside) -> None:
            completion = {"status": "completed", "transfer_id": transfer_id, "updated_at": now()}
            outside.save("withdrawals", {"id": request_id, **completion})

        async def record(outside: Outside) -> None:
            outside.save("ledger_transactions", _ledger_row(request, transfer_id))

        async def confirm(outside: Outside) -> str:
            return await outside.send_email(payout_confirmation(creator, request, transfer_id))

        await run.step("mark-completed", mark_completed)
        await run.step("record-transaction", record)
        await run.step("email-creator", confirm)
        return {"success": True, "transferId": transfer_id}

    return process_payout


def _ledger_row(request: Row, transfer_id: str) -> Row:
    return {
        "id": str(uuid.uuid4()),
        "request_id": request["id"],
        "creator_id": request["creator_id"],
        "kind": "payout",
        "amount_cents": -request["amount_cents"],
        "currency": request["currency"],
        "transfer_id": transfer_id,
        "created_at": now(),
    }
