"""What doors did with events while the database was away: spooled, and written down once the events are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.fanout.handoff import Started, record_started
from shadow.intake import answers, run_tags
from shadow.intake.arrival import DedupeKey
from shadow.spool.encoding import decode, encode
from shadow.spool.spool import Kind, Spool
from shadow.store.arrays import Uuids
from shadow.store.database import Database, Work

_THERE = b"SELECT id FROM events WHERE id = ANY(%s)"
_MOST_PASSED_ON = 100_000


@dataclass(frozen=True, slots=True)
class Handed:
    """A platform took an event from the door."""

    event_id: UUID
    side: Side
    task: str | None
    """None where the platform fans out by itself, or a webhook was passed on."""
    platform: str
    run: str | None = None
    upstream_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The platform refused the call that an event stands for: nothing of it stays."""

    event_id: UUID
    dedupe: DedupeKey | None


@dataclass(frozen=True, slots=True)
class Tagged:
    """The tags of an event's run."""

    event_id: UUID
    tags: tuple[str, ...]


class SpooledHandoffs:
    """Spools them, and writes them down. A mark of an event that turned out to be a duplicate falls away."""

    def __init__(self, catalogue: ResolvedCatalogue, database: Database, spool: Spool) -> None:
        self._catalogue = catalogue
        self._database = database
        self._spool = spool
        self._passed_on: dict[UUID, None] = {}
        """Webhooks that the app has taken, as long as only the spool knows."""
        spool.writers[Kind.HANDED] = self._write_handed
        spool.writers[Kind.REFUSED] = self._write_refused
        spool.writers[Kind.TAGS] = self._write_tags

    async def recall(self) -> None:
        """Learn what processes that are no more have spooled."""
        for one in await asyncio.to_thread(self._spool.waiting, Kind.HANDED, Handed):
            self._note(one)

    def passed_on(self, event_id: UUID) -> bool:
        """Whether the app has taken that webhook, as far as the spool knows."""
        return event_id in self._passed_on

    def _note(self, one: Handed) -> None:
        if one.side is Side.LEGACY and one.task is None:
            self._passed_on[one.event_id] = None
            if len(self._passed_on) > _MOST_PASSED_ON:
                del self._passed_on[next(iter(self._passed_on))]

    async def handed(self, one: Handed) -> None:
        """
        Raises:
            NotSpooled: the workers hand it over again, under the same key.
        """
        self._note(one)
        await self._spool.append(Kind.HANDED, encode(one))

    async def refused(self, one: Refused) -> None:
        """
        Raises:
            NotSpooled: the workers ask the platform again, which refuses it again.
        """
        await self._spool.append(Kind.REFUSED, encode(one))

    async def tagged(self, one: Tagged) -> None:
        """
        Raises:
            NotSpooled: the tags are lost.
        """
        await self._spool.append(Kind.TAGS, encode(one))

    async def _write_handed(self, bodies: Sequence[bytes]) -> None:
        marks = list(map(partial(decode, Handed), bodies))
        there = await self._there([mark.event_id for mark in marks])
        started = [
            Started(None, mark.event_id, mark.side, mark.task, mark.platform, mark.run, upstream_id=mark.upstream_id)
            for mark in marks
            if mark.event_id in there
        ]
        if started:
            async with self._database.connection(Work.ACCEPT) as connection:
                await record_started(connection, self._catalogue, started)
        for mark in marks:
            self._passed_on.pop(mark.event_id, None)

    async def _write_refused(self, bodies: Sequence[bytes]) -> None:
        marks = list(map(partial(decode, Refused), bodies))
        async with self._database.connection(Work.ACCEPT) as connection:
            await answers.drop(connection, [(mark.event_id, mark.dedupe) for mark in marks])

    async def _write_tags(self, bodies: Sequence[bytes]) -> None:
        marks = list(map(partial(decode, Tagged), bodies))
        there = await self._there([mark.event_id for mark in marks])
        async with self._database.connection(Work.ACCEPT) as connection:
            await run_tags.keep(connection, [(mark.event_id, mark.tags) for mark in marks if mark.event_id in there])

    async def _there(self, events: Sequence[UUID]) -> set[UUID]:
        async with self._database.connection(Work.ACCEPT) as connection:
            cursor = await connection.execute(_THERE, (Uuids(events),))
            return {row[0] for row in await cursor.fetchall()}
