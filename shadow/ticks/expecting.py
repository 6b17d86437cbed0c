"""The loop that says which ticks there should be, and which have been missed."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import Side
from shadow.catalogue.schedule import Schedule
from shadow.observe import metrics
from shadow.store.database import Connection, Database, Work
from shadow.ticks.history import read_history
from shadow.ticks.record import held, lock_of
from shadow.ticks.tick import Tick

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0
_TROUBLE_SECONDS = 5.0
_EXPIRE_SECONDS = 3600.0
MOST = 500
"""Nominal times of a task that are gone through in one round."""

_BEGIN = b"INSERT INTO tick_marks (task, expected_until) VALUES (%s, %s) ON CONFLICT (task) DO NOTHING"
_CLAIM = b"SELECT expected_until FROM tick_marks WHERE task = %s FOR UPDATE SKIP LOCKED"
_MARK = b"UPDATE tick_marks SET expected_until = %s WHERE task = %s"
_LOCK = b"SELECT pg_advisory_xact_lock(%s)"
_TENANTS = b"""
SELECT DISTINCT external_id FROM ticks
WHERE task = %(task)s AND external_id <> '' AND legacy_runs > 0 AND nominal_at = (
    SELECT max(nominal_at) FROM ticks
    WHERE task = %(task)s AND nominal_at < %(nominal)s AND external_id <> '' AND legacy_runs > 0)
"""
_EXPIRE = b"DELETE FROM ticks WHERE nominal_at < %s"
_MISSED = b"""
UPDATE ticks SET missed_at = now()
WHERE task = %s AND event_id IS NULL AND missed_at IS NULL AND nominal_at < %s
  AND nominal_at <= (SELECT expected_until FROM tick_marks WHERE tick_marks.task = ticks.task)
RETURNING nominal_at, external_id, authority
"""


class TickLoop:
    """Goes through the schedules of all tasks; any number of processes may. Ticks go with their time's evidence."""

    def __init__(self, database: Database, catalogue: ResolvedCatalogue) -> None:
        self._database = database
        self._catalogue = catalogue
        self._tasks = [task for task in catalogue.tasks.values() if task.cron is not None]
        self._expire_at = 0.0
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._tasks:
            self._running = asyncio.create_task(self._run(), name="ticks-expected")

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None

    async def once(self, now: datetime | None = None) -> None:
        """Write down the ticks that are due by now, and tell which are missed.

        Raises:
            psycopg.Error: the database is away.
        """
        for task in self._tasks:
            async with self._database.connection(Work.OUTCOMES) as conn:
                await _expect(conn, self._catalogue, task, now or datetime.now(UTC))
        if self._tasks and time.monotonic() >= self._expire_at:
            self._expire_at = time.monotonic() + _EXPIRE_SECONDS
            kept = self._catalogue.catalogue.retention.evidence
            async with self._database.connection(Work.OUTCOMES) as conn:
                await conn.execute(_EXPIRE, ((now or datetime.now(UTC)) - kept,))

    async def _run(self) -> None:
        while True:
            wait = EVERY_SECONDS
            try:
                await self.once()
            except psycopg.Error as error:
                log.warning("ticks.unreachable", error=type(error).__name__)
                wait = _TROUBLE_SECONDS
            except Exception:
                log.exception("ticks.round_failed")
                wait = _TROUBLE_SECONDS
            await asyncio.sleep(wait)


async def _expect(conn: Connection, catalogue: ResolvedCatalogue, task: ResolvedTask, now: datetime) -> None:
    assert task.cron is not None
    # Ticks count from when the schedule was first looked at: what came before is not known, and not missed.
    await conn.execute(_BEGIN, (task.id, now))
    row = await (await conn.execute(_CLAIM, (task.id,))).fetchone()
    if row is None:  # another process is at it
        return
    schedule = Schedule.parse(task.cron.expression, task.cron.timezone)
    due = schedule.between(row[0], now, MOST)
    if due:
        history = await read_history(conn, catalogue, [task.route])
        for nominal in due:
            await conn.execute(_LOCK, (lock_of(task.id, nominal),))
            decision = history.decision(task.route, nominal)
            tenants = [""]
            if task.cron.tenants and decision.authority is Side.LEGACY:
                tenants = await tenants_expected(conn, task, nominal)
            for tenant in tenants:
                await held(conn, Tick(task.id, nominal, tenant), decision)
        await conn.execute(_MARK, (due[-1], task.id))
    await _tell_missed(conn, task, now - task.cron.grace)


async def tenants_expected(conn: Connection, task: ResolvedTask, nominal_at: datetime) -> list[str]:
    """The external ids of legacy's schedules that had the tick before: of others nothing is known."""
    cursor = await conn.execute(_TENANTS, {"task": task.id, "nominal": nominal_at})
    return [known for (known,) in await cursor.fetchall()]


async def _tell_missed(conn: Connection, task: ResolvedTask, before: datetime) -> None:
    cursor = await conn.execute(_MISSED, (task.id, before))
    for nominal, _tenant, side in await cursor.fetchall():
        metrics.tick_missed(task.id, side)
        log.warning("ticks.missed", task=task.id, side=side, nominal=nominal.isoformat())
