"""process-attribution as an Inngest function."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import inngest

from sandbox.commerce.attribution import MODELS, weights
from sandbox.commerce.candidate.worker import Worker
from sandbox.commerce.database import Row
from sandbox.commerce.outside import Outside, hashed, now

TASK = "process-attribution"


def function(worker: Worker) -> inngest.Function[Any]:
    """Event data: orderId, tenantId. Returns success and the names of the models."""

    @worker.client.create_function(fn_id=TASK, retries=2, trigger=inngest.TriggerEvent(event="attribution/conversion"))
    async def process_attribution(ctx: inngest.Context) -> Row:
        order_id, tenant_id = str(ctx.event.data["orderId"]), str(ctx.event.data["tenantId"])
        run = worker.run(ctx)

        async def load(outside: Outside) -> Row:
            conversion = outside.database.get("conversions", order_id)
            touchpoints = outside.database.find("touchpoints", tenant_id=tenant_id, visitor_id=conversion["visitor_id"])
            touchpoints.sort(key=lambda t: (t["occurred_at"], t["id"]))
            tenant = outside.database.get("tenants", tenant_id)
            return {"conversion": conversion, "touchpoints": touchpoints, "tenant": tenant}

        loaded = await run.step("load-conversion", load)
        conversion, tenant = loaded["conversion"], loaded["tenant"]
        models = worker.faults.at("attribution.models", MODELS)

        async def store(outside: Outside) -> None:
            for model in models:
                outside.save("attribution_results", _result_row(model, conversion, loaded["touchpoints"]))

        await run.step("store-results", store)
        value = worker.faults.at("attribution.value", conversion["total_cents"] / 100)

        async def tell_ga4(outside: Outside) -> None:
            await outside.send_to_ga4(tenant, conversion["visitor_id"], _ga4_purchase(conversion, value))

        async def tell_meta(outside: Outside) -> None:
            await outside.send_to_meta(tenant, _meta_purchase(conversion, value))

        tellers = {"meta": tell_meta, "ga4": tell_ga4}
        told = worker.faults.at("attribution.told", tuple(tellers))
        await ctx.group.parallel(tuple(partial(run.step, f"tell-{name}", tellers[name]) for name in told))
        return {"success": True, "models": list(models)}

    return process_attribution


def _result_row(model: str, conversion: Row, touchpoints: Sequence[Row]) -> Row:
    shares = weights(model, touchpoints, conversion["occurred_at"])
    whole = sum(shares)
    earned: defaultdict[str, float] = defaultdict(float)
    for touchpoint, weight in zip(reversed(touchpoints), reversed(shares), strict=True):
        earned[touchpoint["channel"]] += weight / whole * conversion["total_cents"] / 100
    return {
        "id": f"{conversion['id']}/{model}",
        "order_id": conversion["id"],
        "tenant_id": conversion["tenant_id"],
        "model": model,
        "credits_json": dict(earned),
        "currency": conversion["currency"],
        "day": conversion["occurred_at"][:10],
        "attributed_cents": conversion["total_cents"],
        "created_at": now(),
    }


def _ga4_purchase(conversion: Row, value: float) -> Row:
    return {
        "name": "purchase",
        "params": {"transaction_id": conversion["id"], "value": value, "currency": conversion["currency"]},
    }


def _meta_purchase(conversion: Row, value: float) -> Row:
    return {
        "event_name": "Purchase",
        "event_time": int(datetime.fromisoformat(conversion["occurred_at"]).timestamp()),
        "event_id": f"purchase-{conversion['id']}",
        "action_source": "website",
        "user_data": {"em": [hashed(conversion["email"])]},
        "custom_data": {"value": value, "currency": conversion["currency"], "order_id": conversion["id"]},
    }
