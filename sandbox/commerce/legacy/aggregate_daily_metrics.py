"""aggregate-daily-metrics as a Trigger.dev task: yesterday in one row for each tenant."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from sandbox.commerce.database import Row
from sandbox.commerce.outside import Outside, now
from sandbox.trigger_dev.tasks import TaskContext


async def run(outside: Outside, payload: Row, ctx: TaskContext) -> Row:
    """Payload: tenantId (default: every active tenant), day (default: yesterday in UTC).

    Returns success and the number of tenants.
    """
    day = payload.get("day") or (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    tenants = outside.database.find("tenants", active=1)
    if payload.get("tenantId"):
        tenants = [tenant for tenant in tenants if tenant["id"] == payload["tenantId"]]
    for tenant in tenants:
        outside.save("daily_snapshots", _snapshot(outside, tenant, day))
    return {"success": True, "tenants": len(tenants)}


def _snapshot(outside: Outside, tenant: Row, day: str) -> Row:
    begins = datetime.combine(date.fromisoformat(day), time(), UTC)
    between = (tenant["id"], _text(begins), _text(begins + timedelta(days=1)))
    orders = outside.database.query(
        "SELECT count(*) AS orders, coalesce(sum(total_cents), 0) AS revenue FROM orders "
        "WHERE tenant_id = %s AND created_at >= %s AND created_at < %s",
        *between,
    )[0]
    attributed = outside.database.query(
        "SELECT coalesce(sum(attributed_cents), 0) AS cents FROM attribution_results "
        "WHERE tenant_id = %s AND created_at >= %s AND created_at < %s AND model = 'last_touch'",
        *between,
    )[0]
    customers = outside.database.query(
        "SELECT count(*) AS joined FROM customers WHERE tenant_id = %s AND created_at >= %s AND created_at < %s",
        *between,
    )[0]
    return {
        "id": f"{tenant['id']}/{day}",
        "tenant_id": tenant["id"],
        "day": day,
        "orders": orders["orders"],
        "revenue_cents": orders["revenue"],
        "currency": tenant["currency"],
        "attributed_cents": attributed["cents"],
        "new_customers": customers["joined"],
        "created_at": now(),
    }


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
