"""Monthly partitions of the big tables, made ahead; a default partition catches what has none."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import structlog
from psycopg import AsyncConnection, sql
from psycopg.errors import CheckViolation, LockNotAvailable

from shadow.model.ids import first_id_at
from shadow.store.tables import PARTITIONED

log = structlog.get_logger(__name__)

MONTHS_AHEAD = 2
"""How many months beyond the current one are ready before they begin."""


def months(now: datetime, ahead: int = MONTHS_AHEAD) -> list[tuple[datetime, datetime]]:
    """(start, end) of the month before `now`, its own, and those ahead, in UTC."""
    first = now.year * 12 + now.month - 2
    starts = [datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in range(first, first + ahead + 3)]
    return list(pairwise(starts))


async def ensure_partitions(connection: AsyncConnection[Any], now: datetime) -> None:
    """Create the default partitions and the months around `now` that are missing.

    Harmless to run from several processes: each statement tolerates what is already there. A month that can't be
    made is logged and left out, and its rows go to the default partition: rows of that month are in there already,
    or the table is in use for longer than the connection's `lock_timeout`.

    Args:
        connection: in autocommit mode, so that one statement's failure is not the others'.
    """
    for table in PARTITIONED:
        await _create(connection, table, f"{table}_default", sql.SQL("DEFAULT"))
        for start, end in months(now):
            span = sql.SQL("FOR VALUES FROM ({}) TO ({})").format(
                sql.Literal(str(first_id_at(start))), sql.Literal(str(first_id_at(end)))
            )
            await _create(connection, table, f"{table}_{start:%Y_%m}", span)


async def _create(connection: AsyncConnection[Any], table: str, partition: str, span: sql.Composable) -> None:
    try:
        await connection.execute(
            sql.SQL("CREATE TABLE IF NOT EXISTS {} PARTITION OF {} {}").format(
                sql.Identifier(partition), sql.Identifier(table), span
            )
        )
    except (CheckViolation, LockNotAvailable) as error:
        log.warning("store.partition_left_out", partition=partition, error=type(error).__name__)
