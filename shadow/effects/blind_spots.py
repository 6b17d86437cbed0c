"""Times in which effects were not seen: pairs whose runs were under way then can't be compared by their ledgers."""

from __future__ import annotations

from datetime import datetime

from shadow.catalogue.model import Side
from shadow.model.ids import new_id
from shadow.store.database import Connection

_BLIND = b"""
INSERT INTO blind_spots (id, side, target, since, until, reason) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
_SEEING = b"UPDATE blind_spots SET until = %s WHERE side = %s AND target = %s AND until IS NULL"
_DUE = b"""
UPDATE pairs SET due_at = now() WHERE id IN (
    SELECT pairs.id FROM pairs
    WHERE pairs.id IN (SELECT pair_id FROM runs WHERE side = %s AND finished_at >= %s AND pair_id IS NOT NULL)
      AND pairs.state IN ('settling', 'probing', 'ready', 'judged')
    ORDER BY pairs.id FOR UPDATE)
"""


async def blind(
    conn: Connection, side: Side, target: str, since: datetime, reason: str, *, until: datetime | None = None
) -> None:
    """Effects on that target were not seen from `since` on; still are not, without `until`."""
    cursor = await conn.execute(_BLIND, (new_id(), side, target, since, until, reason))
    if cursor.rowcount:
        await conn.execute(_DUE, (side, since))
        await conn.execute(b"NOTIFY shadow_pairs")


async def seeing(conn: Connection, side: Side, target: str, at: datetime) -> bool:
    """They are seen again; whether they were not."""
    return bool((await conn.execute(_SEEING, (at, side, target))).rowcount)
