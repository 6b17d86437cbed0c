"""Calls whose payload is too large to be sent: it is fetched from Trigger.dev's packet store, and mapped then.

The door passes such a call on at once and unchanged; all that waits is the candidate's hand-over, which is of the
stage `map` until the event has its data. A payload that can't be fetched or mapped leaves a dead letter, and
sending that again fetches it again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import orjson
import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.fanout.wake import pause
from shadow.intake import late_mapping
from shadow.intake.late_mapping import NotMapped, StoredCall
from shadow.intake.trigger_arrival import Mapped, mapped_payload
from shadow.model.backoff import Backoff
from shadow.model.ids import new_id
from shadow.platforms import packets
from shadow.platforms.adapter import Adapter
from shadow.platforms.client import TooLarge
from shadow.platforms.throttle import retry_after
from shadow.platforms.trigger_api import Refused
from shadow.platforms.trigger_dev import TriggerDev
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

_POLL_SECONDS = 1.0
_REST_SECONDS = 0.25
"""Between two looks: nearly all that is told of on the channel is not for these eyes."""
_AT_ONCE = 4
"""Payloads of up to some 10 MB each are in memory at once."""
_LEASE = timedelta(minutes=5)
_RETRYABLE = frozenset({401, 403, 408, 425, 429})
"""Refusals that say nothing of the packet: of our key, of an address that ran out, of the rate."""
_CLAIM = b"""
WITH due AS (
    SELECT id FROM dispatches
    WHERE side = 'candidate' AND state = 'due' AND due_at <= now() AND stage = 'map'
    ORDER BY due_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
),
claimed AS (
    UPDATE dispatches AS dispatch
    SET lease = %(lease)s, due_at = now() + %(lease_time)s, attempts = dispatch.attempts + 1
    FROM due WHERE dispatch.id = due.id
    RETURNING dispatch.id, dispatch.event_id, dispatch.attempts
)
SELECT claimed.id, claimed.attempts, event.id, event.source, event.name, event.tenant, event.accepted_at,
       request.content
FROM claimed
LEFT JOIN events AS event ON event.id = claimed.event_id
LEFT JOIN bodies AS request ON request.id = claimed.event_id AND request.part = 'request'
"""
_HELD = b"SELECT id FROM dispatches WHERE id = %s AND lease = %s FOR UPDATE"
_LATER = b"UPDATE dispatches SET due_at = now() + %s, lease = NULL, error = %s WHERE id = %s"
_DEAD = b"UPDATE dispatches SET state = 'dead', lease = NULL, error = %s WHERE id = %s"


@dataclass(frozen=True, slots=True)
class _Claimed:
    id: UUID
    attempt: int
    lease: UUID
    call: StoredCall


@dataclass(frozen=True, slots=True)
class _Later:
    wait: timedelta
    reason: str


_Fate = tuple[ResolvedTask, Mapped] | _Later | str
"""What it was mapped to; when to try again; why it never will be."""


class OffloadedPayloads:
    """Works on them until stopped. Any number of processes may."""

    def __init__(
        self,
        database: Database,
        catalogue: ResolvedCatalogue,
        adapters: Mapping[str, Adapter],
        woken: asyncio.Event,
        *,
        backoff: Backoff | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._catalogue = catalogue
        self._adapters = adapters
        self._woken = woken
        self._backoff = backoff or Backoff()
        self._chance = chance
        self._stopping = False
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Work until stopped, then until what is in flight has ended."""
        while not self._stopping:
            self._woken.clear()
            try:
                done = await self.once()
            except psycopg.Error as error:
                log.warning("fanout.claim_failed", stage="map", error=type(error).__name__)
                done = 0
            except Exception:
                log.exception("fanout.claim_failed", stage="map")
                done = 0
            if done < _AT_ONCE and not self._stopping:
                await pause(self._stopped, _REST_SECONDS)
                await pause(self._woken, _POLL_SECONDS)

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping = True
        self._stopped.set()
        self._woken.set()

    async def once(self) -> int:
        """Fetch and map what is due, at most a few.

        Returns:
            how many there were.

        Raises:
            psycopg.Error: the database is away; what was claimed comes back when its lease ends.
        """
        claimed = await self._claim()
        fates = await asyncio.gather(*(self._fate(item) for item in claimed))
        for item, fate in zip(claimed, fates, strict=True):
            await self._write(item, fate)
        return len(claimed)

    async def _claim(self) -> list[_Claimed]:
        lease = new_id()
        parameters = {"limit": _AT_ONCE, "lease": lease, "lease_time": _LEASE}
        async with self._database.connection(Work.CANDIDATE) as conn:
            rows = await (await conn.execute(_CLAIM, parameters)).fetchall()
            for row in rows:
                if row[2] is None:
                    await conn.execute(_DEAD, ("its event is gone", row[0]))
            return [
                _Claimed(row[0], row[1], lease, await StoredCall.of(conn, row[2:]))
                for row in rows
                if row[2] is not None
            ]

    async def _fate(self, item: _Claimed) -> _Fate:
        try:
            task, call = item.call.understood(self._catalogue)
            path = call.stored_at
            payload = call.payload() if path is None else await self._fetched(task, path)
        except NotMapped as error:
            return str(error)
        except Refused as error:
            return self._refused(item, error)
        except (httpx.HTTPError, TimeoutError) as error:
            return self._again(item, f"{type(error).__name__}: {error}"[:300])
        except (TooLarge, ValueError, RecursionError) as error:
            return _problem(str(error))
        except Exception as error:
            log.exception("fanout.payload_failed", event_id=str(item.call.event_id))
            return self._again(item, type(error).__name__)
        mapped = await asyncio.to_thread(_mapped, task, payload)
        return mapped.problem or (task, mapped)

    async def _fetched(self, task: ResolvedTask, path: str) -> Any:
        adapter = self._adapters[task.legacy.platform]
        if not isinstance(adapter, TriggerDev):
            raise NotMapped(f"{task.legacy.platform!r} is no platform of kind trigger.dev any more")
        return await packets.offloaded(adapter.api, path)

    def _refused(self, item: _Claimed, error: Refused) -> _Fate:
        status = error.answer.status
        if status not in _RETRYABLE and 400 <= status < 500:
            return _problem(str(error))
        return self._again(item, str(error), retry_after(error.answer.fields, datetime.now(UTC)))

    def _again(self, item: _Claimed, reason: str, asked: timedelta | None = None) -> _Fate:
        if self._backoff.exhausted(item.attempt):
            return _problem(f"given up after {item.attempt} attempts: {reason}")
        return _Later(self._backoff.wait(item.attempt, self._chance(), asked=asked), _problem(reason))

    async def _write(self, item: _Claimed, fate: _Fate) -> None:
        """Write what became of it; void where the lease was lost."""
        async with self._database.connection(Work.CANDIDATE) as conn:
            if await (await conn.execute(_HELD, (item.id, item.lease))).fetchone() is None:
                return
            match fate:
                case _Later():
                    log.info("fanout.payload_unread", event_id=str(item.call.event_id))
                    await conn.execute(_LATER, (fate.wait, fate.reason, item.id))
                case str():
                    log.warning("fanout.payload_unmapped", event_id=str(item.call.event_id))
                    await conn.execute(_DEAD, (fate, item.id))
                    await late_mapping.still_wrong(conn, item.call.event_id, fate)
                case (task, mapped):
                    await late_mapping.write(conn, self._catalogue, item.id, item.call, task, mapped)


def _mapped(task: ResolvedTask, payload: Any) -> Mapped:
    mapped = mapped_payload(task, payload)
    try:
        orjson.dumps(mapped.data)
    except TypeError as error:  # half a character, say
        return Mapped({}, f"candidate.data: {error}")
    return mapped


def _problem(reason: str) -> str:
    return f"the offloaded payload could not be read: {' '.join(reason.split())}"[:500].replace("\x00", "")
