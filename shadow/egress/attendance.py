"""That this process has a gateway, in the database: since when, that it is still there, and that it left in order.

The judge tells from it what the gateway's own absence made a run do differently (`judge/absence.py`). One row is one
stay. A process that ends without leaving is cut off when it said last that it is there. So is one that stood still for
some seconds: its stay ends, and it begins another. While the database is away nobody can say anything; one that was
there all the same goes on with its stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import psycopg
import structlog

from shadow.model.attendance import SILENT_SECONDS, TOUCH_SECONDS
from shadow.model.ids import new_id
from shadow.observe import metrics
from shadow.store.database import Connection, Database, Work
from shadow.store.patience import patience
from shadow.store.recurring import Recurring

log = structlog.get_logger(__name__)

STOOD_STILL_SECONDS = 5.0
"""A process in which nothing went on for so long was away: no client waits much longer for a connection."""
_LOOK_SECONDS = 0.5
"""How often it looks whether it stood still. Not while it waits for the database, which may be what stands still."""
_PATIENCE_SECONDS = 3.0
_LEAVE_SECONDS = 2.0
"""How long it tries to say that it left."""
_NOTE_AFTER = int(SILENT_SECONDS / TOUCH_SECONDS)
"""After an outage others may be a little later than this one in saying that they are still there."""

_BEGIN = """
INSERT INTO gateways (id, since, seen_at)
VALUES (%(id)s, statement_timestamp() - make_interval(secs => %(ago)s), statement_timestamp())
RETURNING (
    SELECT extract(epoch FROM statement_timestamp() - max(coalesce(closed_at, seen_at)))::float8 - %(ago)s
    FROM gateways
    HAVING NOT bool_or(closed_at IS NULL
        AND seen_at > statement_timestamp() - make_interval(secs => %(silent)s)
        AND id IS DISTINCT FROM %(before)s))
"""
"""Returns for how many seconds there was none; null where there was one, or has never been any."""
_TOUCH = "UPDATE gateways SET seen_at = statement_timestamp() WHERE id = %(id)s"
_CLOSE = """
UPDATE gateways SET seen_at = statement_timestamp(), closed_at = coalesce(closed_at, statement_timestamp())
WHERE id = %(id)s
"""
_LEAVE = """
UPDATE gateways SET seen_at = statement_timestamp(), closed_at = coalesce(closed_at, statement_timestamp()),
       left_at = statement_timestamp()
WHERE id = %(id)s
"""
_NOTE = """
UPDATE gateways SET noted = true
WHERE left_at IS NULL AND NOT noted AND id <> %(id)s
  AND seen_at < statement_timestamp() - make_interval(secs => %(silent)s)
RETURNING id, extract(epoch FROM statement_timestamp() - seen_at)::float8
"""


class Attendance(Recurring):
    """Of the gateway of this process. `start` when it takes calls, `close` when it takes no more, `stop` when all that
    were under way are answered."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            clock: seconds that never go back.
        """
        super().__init__("gateway-attendance", "gateway.attendance_unsaid", rest_after_failure=TOUCH_SECONDS)
        self._database = database
        self._clock = clock
        self._id: UUID | None = None
        self._before: UUID | None = None
        """Of the stay that ended when it stood still."""
        self._since = self._looked = clock()
        self._closing = asyncio.Event()
        self._in_a_row = 0
        """Times that it said so without a failure."""
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._since = self._looked = self._clock()
        self._looking = asyncio.create_task(self._look_on(), name="gateway-looks")
        await super().start()

    def close(self) -> None:
        """It takes no new calls from now on."""
        self._closing.set()

    async def stop(self) -> None:
        """All calls are answered. Where the database does not take that in time, it looks as if it was cut off."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await super().stop()
        if self._id is None:
            return
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._say(_LEAVE)
        except (psycopg.Error, TimeoutError, OSError) as error:
            log.warning("gateway.left_unsaid", error=type(error).__name__)

    async def turn(self) -> float:
        before, self._in_a_row = self._in_a_row, 0
        await self._tell()
        self._in_a_row = before + 1
        if self._in_a_row % _NOTE_AFTER == 0:
            await self._note()
        if self._closing.is_set():
            return TOUCH_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TOUCH_SECONDS):
                await self._closing.wait()
        return 0

    async def _tell(self) -> None:
        self._look()
        if self._id is not None and not await self._say(_CLOSE if self._closing.is_set() else _TOUCH):
            self._id = None  # a database of before, or another one
        if self._id is None:
            await self._begin()

    async def _begin(self) -> None:
        identifier = new_id()
        asked = {
            "id": identifier,
            "ago": max(0.0, self._clock() - self._since),
            "silent": SILENT_SECONDS,
            "before": self._before,
        }
        async with self._connection(Work.EGRESS) as connection:
            row = await (await connection.execute(_BEGIN, asked)).fetchone()
        self._id = identifier
        if row is not None and row[0] is not None and row[0] > 0:
            log.warning("gateway.none_was_there", seconds=round(row[0], 1))
            metrics.gateway_absent("none_there")

    @contextlib.asynccontextmanager
    async def _connection(self, work: Work) -> AsyncIterator[Connection]:
        async with self._database.connection(work) as connection, patience(connection, _PATIENCE_SECONDS):
            yield connection

    async def _say(self, statement: str) -> bool:
        # As every call needs one: where it gets none, calls don't either.
        async with self._connection(Work.CALLS) as connection:
            return (await connection.execute(statement, {"id": self._id})).rowcount == 1

    async def _note(self) -> None:
        """Tell of others that were cut off, once each."""
        async with self._connection(Work.EGRESS) as connection:
            cursor = await connection.execute(_NOTE, {"id": self._id, "silent": SILENT_SECONDS})
            for gateway, seconds in await cursor.fetchall():
                log.warning("gateway.was_cut_off", gateway=str(gateway), seconds_ago=round(seconds, 1))
                metrics.gateway_absent("cut_off")

    def _look(self) -> None:
        """End the stay if the process stood still since it was last looked."""
        now = self._clock()
        if now - self._looked > STOOD_STILL_SECONDS:
            log.warning("gateway.stood_still", seconds=round(now - self._looked, 1))
            if self._id is not None:
                self._before, self._id = self._id, None
            self._since = now
        self._looked = now

    async def _look_on(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(_LOOK_SECONDS)
