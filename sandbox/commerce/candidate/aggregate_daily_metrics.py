"""aggregate-daily-metrics as an Inngest function: one step for each tenant, side by side."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import partial
from typing import Any

import inngest

from sandbox.commerce.candidate.worker import Worker
from sandbox.commerce.database import Row
from sandbox.commerce.outside import Outside, now

TASK = "aggregate-daily-metrics"
_SNAPSHOT = """
WITH day AS (SELECT %s AS tenant, %s AS begins, %s AS ends)
SELECT
    (SELECT count(*) FROM orders WHERE tenant_id = tenant AND created_at >= begins AND created_at < ends) AS orders,
    (SELECT coalesce(sum(total_cents), 0) FROM orders
        WHERE tenant_id = tenant AND created_at >= begins AND created_at < ends) AS revenue_cents,
    (SELECT coalesce(sum(attributed_cents), 0) FROM attribution_results
        WHERE tenant_id = tenant AND created_at >= begins AND created_at < ends
            AND model = 'last_touch') AS attributed_cents,
    (SELECT count(*) FROM customers
        WHERE tenant_id = tenant AND created_at >= begins AND created_at < ends) AS new_customers
FROM day
"""


def function(worker: Worker) -> inngest.Function[Any]:
    """Event data: tenantId (default: every active tenant), day (default: yesterday in UTC).

    Returns success and the number of tenants.
    """

    @worker.client.create_function(fn_id=TASK, trigger=inngest.TriggerEvent(event="cron/daily-metrics"))
    async def aggregate_daily_metrics(ctx: inngest.Context) -> Row:
        data: Row = dict(ctx.event.data)
        run = worker.run(ctx)

        async def plan(outside: Outside) -> Row:
            """The day is decided once: a run that goes on past midnight stays with it."""
            day = data.get("day") or (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
            tenants = outside.database.find("tenants", active=1)
            return {"day": day, "tenants": [t for t in tenants if data.get("tenantId") in (None, t["id"])]}

        planned = await run.step("list-tenants", plan)
        zone = worker.faults.at("metrics.zone", UTC)

        async def aggregate(tenant: Row, outside: Outside) -> None:
            outside.save("daily_snapshots", _snapshot(outside, tenant, planned["day"], zone))

        await ctx.group.parallel(
            tuple(
                partial(run.step, f"snapshot-{tenant['id']}", partial(aggregate, tenant))
                for tenant in planned["tenants"]
            )
        )
        return {"success": True, "tenants": len(planned["tenants"])}

    return aggregate_daily_metrics


def _snapshot(outside: Outside, tenant: Row, day: str, zone: tzinfo) -> Row:
    begins = datetime.combine(date.fromisoformat(day), time(), zone).astimezone(UTC)
    found = outside.database.query(_SNAPSHOT, tenant["id"], _text(begins), _text(begins + timedelta(days=1)))[0]
    return {
        "id": f"{tenant['id']}/{day}",
        "tenant_id": tenant["id"],
        "day": day,
        **found,
        "currency": tenant["currency"],
        "created_at": now(),
    }


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
