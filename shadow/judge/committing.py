"""Writing in a transaction that PostgreSQL may choose to end for a deadlock: it is tried again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
import structlog

from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

Written = TypeVar("Written")

_DEADLOCK_RETRIES = 3


async def committed(
    database: Database, write: Callable[[Connection], Awaitable[Written]], *, work: Work = Work.JUDGE
) -> Written:
    """Do `write` in a transaction of its own; again when it was chosen to end a deadlock."""
    for _ in range(_DEADLOCK_RETRIES):
        try:
            async with database.connection(work) as connection:
                return await write(connection)
        except psycopg.errors.DeadlockDetected:
            log.info("judge.deadlock")
    async with database.connection(work) as connection:
        return await write(connection)
