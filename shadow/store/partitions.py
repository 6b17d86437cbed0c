"""Monthly partitions of the big tables, made ahead; a default partition catches what has none."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from psycopg import AsyncConnection, sql

from shadow.model.ids import first_id_at
from shadow.store.tables import PARTITIONED

MONTHS_AHEAD = 2
"""How many months beyond the current one are ready before they begin."""


def months(now: datetime, ahead: int = MONTHS_AHEAD) -> list[tuple[datetime, datetime]]:
    """(start, end) of the month before `now`, its own, and those ahead, in UTC."""
    first = now.year * 12 + now.month - 2
    starts = [datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in range(first, first + ahead + 3)]
    return list(pairwise(starts))


async def ensure_partitions(connection: AsyncConnection[Any], now: datetime) -> None:
    """Create the default partitions and the months around `now` that are missing.

    Harmless to run from several processes: each statement tolerates what is already there.
    """
    for table in PARTITIONED:
        await connection.execute(
            sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF {} DEFAULT").format(
                sql.Identifier(f"{table}_default"), sql.Identifier(table)
            )
        )
        for start, end in months(now):
            await connection.execute(
                sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
                    sql.Identifier(f"{table}_{start:%Y_%m}"),
                    sql.Identifier(table),
                    sql.Literal(str(first_id_at(start))),
                    sql.Literal(str(first_id_at(end))),
                )
            )
