"""Upkeep of a database that runs for years: partitions made ahead, dedupe keys deleted once nobody needs them, what is
older than the catalogue allows deleted, forgotten keys destroyed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import structlog
from psycopg import sql

from shadow.observe import metrics
from shadow.store.database import MIGRATION_LOCK, Connection, Database
from shadow.store.partitions import ensure_partitions
from shadow.store.recount import recount_signatures
from shadow.store.recurring import Recurring
from shadow.store.retention import expire, expire_notices

log = structlog.get_logger(__name__)

EVERY_SECONDS = 3600.0

PAGES = 512
"""Pages of `dedupe_keys` (8 KiB each) that one statement goes through: some 30,000 rows."""

PAUSE_SECONDS = 0.05
"""Between two such statements; accepts come first."""

UPKEEP_LOCK = 0x5AD1
"""Advisory lock under which one process at a time deletes keys; another than that of the migrations, for which a
process that starts has to wait."""

# A new partition locks its table. Whatever waits for that lock waits with every accept behind it: give up soon.
_SETTINGS = "SET lock_timeout = '500ms'"

_SIZE = "SELECT pg_relation_size('dedupe_keys') / current_setting('block_size')::int"

# There is no index by expiry, which every accept would pay for: the table is gone through page by page. Keys in use
# by an accept are skipped, so that the two never wait for each other. A key is kept for an hour longer than it counts:
# who just learned that it holds a duplicate is about to read it.
_DELETE = """
DELETE FROM dedupe_keys WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM dedupe_keys
    WHERE ctid >= {first}::tid AND ctid < {end}::tid AND expires_at < now() - interval '1 hour'
    FOR UPDATE SKIP LOCKED))
"""


_OLD_BATCHES = "DELETE FROM trigger_batches WHERE created_at < now() - interval '30 days'"
"""As long as Trigger.dev keeps a batch's key (reference 6.2)."""
_OLD_REPLAYS = "DELETE FROM expected_replays WHERE expected_at < now() - interval '30 days'"
"""Whose outcome nobody has learned: a run may wait that long before it calls out."""
_OLD_LINKS = "DELETE FROM linked_keys WHERE expires_at < now()"
_OLD_TAGS = """
DELETE FROM run_tags WHERE event_id IN (
    SELECT event_id FROM run_tags WHERE NOT EXISTS (SELECT FROM events WHERE events.id = run_tags.event_id) LIMIT 20000)
"""


_OLD_SESSIONS = "DELETE FROM page_sessions WHERE expires_at < now()"
"""Signing in deletes them too; nobody may for months."""


_OLD_GATEWAYS = "DELETE FROM gateways WHERE seen_at < %(now)s::timestamptz - %(kept)s - interval '1 day'"
"""Without them runs that missed one would be judged otherwise again. A row is a start of a process."""


class Upkeep(Recurring):
    """Does it at start and then every hour, in one process at a time. What fails is tried again an hour later."""

    def __init__(
        self,
        database: Database,
        *,
        every: float = EVERY_SECONDS,
        originals: timedelta | None = None,
        evidence: timedelta | None = None,
        notices: timedelta | None = None,
    ) -> None:
        """
        Args:
            originals: how long sealed bodies are kept; with `evidence`, how long all else is. Without both nothing of
                events is deleted for its age.
            notices: how long it is kept what people were told; None: for ever.
        """
        super().__init__("upkeep", "upkeep.failed", rest_after_failure=every)
        self._database = database
        self._every = every
        self._originals = originals
        self._evidence = evidence
        self._notices = notices

    async def turn(self) -> float:
        await self.once(datetime.now(UTC))
        return self._every

    async def once(self, now: datetime) -> None:
        """Make the partitions around `now` and delete what is over by then, unless another process is at it.

        Raises:
            psycopg.Error: the database is away or refused.
        """
        async with self._database.direct() as connection:
            await connection.execute(_SETTINGS)
            if await _locked(connection, MIGRATION_LOCK):
                await ensure_partitions(connection, now)
                await connection.execute("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))
            if await _locked(connection, UPKEEP_LOCK):
                deleted = await delete_expired_keys(connection)
                log.info("upkeep.keys_deleted", number=deleted)
                await connection.execute(_OLD_BATCHES)
                await connection.execute(_OLD_REPLAYS)
                await connection.execute(_OLD_LINKS)
                await connection.execute(_OLD_TAGS)
                await connection.execute(_OLD_SESSIONS)
                if self._notices is not None:
                    log.info("upkeep.notices_deleted", number=await expire_notices(connection, now, self._notices))
                await self._database.vault.destroy_forgotten()
                await self._expire(connection, now)

    async def _expire(self, connection: Connection, now: datetime) -> None:
        if self._originals is None or self._evidence is None:
            return
        gone = await expire(connection, now, originals=self._originals, evidence=self._evidence)
        await connection.execute(_OLD_GATEWAYS, {"now": now, "kept": max(self._evidence, self._originals)})
        metrics.expired("originals", gone.originals)
        metrics.expired("evidence", gone.rows)
        log.info("upkeep.expired", originals=gone.originals, partitions=gone.partitions, rows=gone.rows)
        await recount_signatures(connection, now - max(self._evidence, self._originals))


async def _locked(connection: Connection, lock: int) -> bool:
    """Take an advisory lock for as long as the connection lasts, unless another has it."""
    row = await (await connection.execute("SELECT pg_try_advisory_lock(%s)", (lock,))).fetchone()
    return row is not None and bool(row[0])


async def delete_expired_keys(connection: Connection, *, pages: int = PAGES) -> int:
    """Delete the dedupe keys whose time was over an hour ago; how many there were.

    Args:
        connection: in autocommit mode, so that each `pages` of the table are a transaction of their own.
    """
    row = await (await connection.execute(_SIZE)).fetchone()
    deleted = 0
    for first in range(0, row[0] if row else 0, pages):
        statement = sql.SQL(_DELETE).format(first=sql.Literal(f"({first},0)"), end=sql.Literal(f"({first + pages},0)"))
        deleted += (await connection.execute(statement)).rowcount
        await asyncio.sleep(PAUSE_SECONDS)
    return deleted
