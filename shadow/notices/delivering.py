"""Telling people: notices are fanned out to channels, and each channel has a lane of its own.

Any number of processes may run the loop. A delivery is a row; whoever takes it pushes its `due_at` ahead, and what is
written afterwards holds only while that stands there. It is told at least once, always under the same id.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.notice_settings import NoticeChannel
from shadow.model.backoff import Backoff
from shadow.model.ids import derived_id
from shadow.notices.messages import Told
from shadow.notices.record import CHANNEL
from shadow.notices.sending import WITHIN, Channel, Result
from shadow.observe import metrics
from shadow.observe.fail_points import reach
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

POLL_SECONDS = 2.0
BATCH = 5
"""Deliveries of a channel that are taken at once; they are sent one after another, in the order of their making."""
LEASE = BATCH * WITHIN + timedelta(seconds=30)
GIVE_UP = timedelta(hours=6)
"""How long after it was made a notice is tried: what is older is read on the pages."""
BACKOFF = Backoff(base=timedelta(seconds=5), cap=timedelta(minutes=10))
_FAN_AT_ONCE = 100

_UNFANNED = """
SELECT id, kind, task, route FROM notices WHERE fanned_at IS NULL ORDER BY made_at LIMIT %s FOR UPDATE SKIP LOCKED
"""
_FAN = """
INSERT INTO notice_deliveries (id, notice, channel, due_at)
SELECT id, notice, channel, now() FROM unnest(%s::uuid[], %s::uuid[], %s::text[]) AS made (id, notice, channel)
ON CONFLICT (notice, channel) DO NOTHING
"""
_FANNED = "UPDATE notices SET fanned_at = now() WHERE id = ANY(%s::uuid[])"
_CLAIM = """
WITH mine AS (
    SELECT id FROM notice_deliveries WHERE channel = %(channel)s AND due_at <= now()
    ORDER BY due_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE notice_deliveries AS delivery SET due_at = now() + %(lease)s, attempts = delivery.attempts + 1
FROM mine, notices AS notice
WHERE delivery.id = mine.id AND notice.id = delivery.notice
RETURNING delivery.id, notice.id, notice.kind, notice.title, notice.task, notice.route, notice.facts, notice.made_at,
          delivery.attempts, delivery.due_at, now()
"""
_WRITE = """
UPDATE notice_deliveries SET due_at = %(next)s, error = %(error)s,
    sent_at = CASE WHEN %(error)s::text IS NULL THEN now() END
WHERE id = %(id)s AND due_at = %(lease)s
"""
# A channel that another version of the catalogue has is let alone until nobody would send it any more.
_ORPHANED = """
UPDATE notice_deliveries AS delivery SET due_at = NULL, error = 'the catalogue has no such channel any more'
FROM notices AS notice
WHERE notice.id = delivery.notice AND delivery.due_at <= now() AND notice.made_at < now() - %s::interval
  AND delivery.channel <> ALL(%s::text[])
"""


@dataclass(frozen=True, slots=True)
class _Claimed:
    told: Told
    attempts: int
    lease: datetime
    claimed_at: datetime


class NoticeLoop:
    """Fans notices out, and sends them."""

    def __init__(
        self,
        database: Database,
        catalogue: ResolvedCatalogue,
        *,
        backoff: Backoff = BACKOFF,
        give_up: timedelta = GIVE_UP,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        settings = catalogue.catalogue.notifications
        self._database = database
        self._catalogue = catalogue
        self._settings = settings.channels
        self._channels = [Channel(name, channel, settings.links) for name, channel in settings.channels.items()]
        self._backoff = backoff
        self._give_up = give_up
        self._poll_seconds = poll_seconds
        self._woken = {name: asyncio.Event() for name in ("", *settings.channels)}
        """By channel; the empty name is of the fanning out."""
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._listen(), name="notices-listening"),
            asyncio.create_task(self._fanning(), name="notices-fanning"),
            *(asyncio.create_task(self._lane(channel), name=f"notices-{channel.name}") for channel in self._channels),
        ]

    async def stop(self) -> None:
        """End at once: what was taken and not written is sent again by whoever finds its lease expired."""
        self._stopping = True  # an HTTP client may make something else of being cancelled
        for woken in self._woken.values():
            woken.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for channel in self._channels:
            await channel.close()

    async def fan_out(self) -> int:
        """Make the deliveries of notices that have none yet; how many notices that were."""
        async with self._database.connection(Work.CONTROL) as connection:
            cursor = await connection.execute(_UNFANNED, (_FAN_AT_ONCE,))
            rows = await cursor.fetchall()
            if not rows:
                return 0
            made = [
                (derived_id(notice, name), notice, name)
                for notice, kind, task, route in rows
                for name, channel in self._settings.items()
                if wants(channel, kind, self._tasks_of(task, route))
            ]
            if made:
                await connection.execute(_FAN, [list(column) for column in zip(*made, strict=True)])
            await connection.execute(_FANNED, ([row[0] for row in rows],))
        reach("notices.fanned")
        for name in {name for _delivery, _notice, name in made}:
            self._woken[name].set()
        return len(rows)

    async def send_due(self, name: str) -> int:
        """Send what is due at that channel; how many deliveries that were."""
        (channel,) = (one for one in self._channels if one.name == name)
        return await self._send_due(channel)

    async def _send_due(self, channel: Channel) -> int:
        claimed = await self._claim(channel)
        for one in claimed:
            result = await channel.send(one.told)
            reach("notices.sent")
            await self._write(channel, one, result)
        return len(claimed)

    async def _claim(self, channel: Channel) -> Sequence[_Claimed]:
        async with self._database.connection(Work.CONTROL) as connection:
            cursor = await connection.execute(_CLAIM, {"channel": channel.name, "limit": BATCH, "lease": LEASE})
            rows = await cursor.fetchall()
        found = [_Claimed(Told(*row[:8]), *row[8:]) for row in rows]
        return sorted(found, key=lambda one: (one.told.made_at, one.told.notice))

    async def _write(self, channel: Channel, one: _Claimed, result: Result) -> None:
        again = None
        if result.error is None:
            metrics.notified(channel.name, "sent")
        else:
            wait = self._backoff.wait(one.attempts, random.random(), asked=result.asked)  # noqa: S311 - not a secret
            again = one.claimed_at + wait
            if result.final or again > one.told.made_at + self._give_up:
                again = None
            metrics.notified(channel.name, "given_up" if again is None else "failed")
            log.warning(
                "notices.not_taken",
                channel=channel.name,
                notice=str(one.told.notice),
                attempts=one.attempts,
                error=result.error,
                given_up=again is None,
            )
        async with self._database.connection(Work.CONTROL) as connection:
            await connection.execute(
                _WRITE, {"id": one.told.delivery, "lease": one.lease, "next": again, "error": result.error}
            )

    def _tasks_of(self, task: str | None, route: str | None) -> Collection[str]:
        """The tasks that a notice is about."""
        if task is not None:
            return (task,)
        return self._catalogue.routes[route].tasks if route is not None and route in self._catalogue.routes else ()

    async def _fanning(self) -> None:
        while not self._stopping:
            try:
                full = await self.fan_out() == _FAN_AT_ONCE
                if not full:
                    await self._drop_orphans()
            except psycopg.OperationalError as error:
                log.warning("notices.unreachable", error=type(error).__name__)
                full = False
            except Exception:
                log.exception("notices.not_fanned")
                full = False
            if not full:
                await self._rest("")

    async def _drop_orphans(self) -> None:
        async with self._database.connection(Work.CONTROL) as connection:
            await connection.execute(_ORPHANED, (self._give_up, list(self._settings)))

    async def _lane(self, channel: Channel) -> None:
        while not self._stopping:
            try:
                full = await self._send_due(channel) == BATCH
            except psycopg.OperationalError as error:
                log.warning("notices.unreachable", channel=channel.name, error=type(error).__name__)
                full = False
            except Exception as error:
                # Without its text: it might hold the channel's address.
                log.error("notices.lane_failed", channel=channel.name, error=type(error).__name__)
                full = False
            if not full:
                await self._rest(channel.name)

    async def _rest(self, name: str) -> None:
        """Until somebody wakes that lane, or the next poll."""
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._woken[name].wait()
        except TimeoutError:
            pass
        self._woken[name].clear()

    async def _listen(self) -> None:
        while not self._stopping:
            try:
                async with self._database.direct() as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    async for _notice in connection.notifies():
                        self._woken[""].set()
            except psycopg.Error as error:
                log.warning("notices.not_listening", error=type(error).__name__)
            await asyncio.sleep(self._poll_seconds)


def wants(channel: NoticeChannel, kind: str, tasks: Collection[str]) -> bool:
    """Whether a channel is told of a notice of that kind about these tasks. One about no task concerns everybody."""
    return kind in channel.on and (not channel.tasks or not tasks or not set(tasks).isdisjoint(channel.tasks))
