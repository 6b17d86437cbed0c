"""The intake: arrivals in, receipts out, once they are on disk."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

import psycopg
import structlog
from psycopg.errors import DeadlockDetected, OperationalError, UniqueViolation

from shadow.intake.arrival import Arrival, Receipt
from shadow.intake.batch import ACCEPT, Batch
from shadow.intake.bell import Bell
from shadow.intake.group_commit import GroupCommit, WrittenInPart
from shadow.intake.kinds import Kinds
from shadow.intake.spooling import Given, GivenOut, Key, SpooledBatch, SpooledEvent, resting
from shadow.observe import metrics
from shadow.observe.fail_points import reach
from shadow.spool.encoding import decode, encode
from shadow.spool.presence import PATIENCE_SECONDS, Presence
from shadow.spool.spool import Kind, NotSpooled, Spool
from shadow.store.arrays import Texts, Uuids
from shadow.store.away import is_away
from shadow.store.database import Database, Work
from shadow.store.lane import Lanes

_FIND = b"""
SELECT scope, key, event_id, upstream_id FROM dedupe_keys
WHERE (scope, key) IN (SELECT * FROM unnest(%s, %s))
"""
_THERE = b"SELECT id FROM events WHERE id = ANY(%s)"

_WRITERS = 2
"""Batches under way at once: while one waits for the disk, the next is made and sent."""

log = structlog.get_logger(__name__)

_DEADLOCK_PAUSES = (0.02, 0.2)
"""Seconds before a batch that was in a deadlock is stored again."""
FIND_PAUSES = (0.1, 0.5)
"""Seconds before each new try to look up the events that hold duplicates' keys."""


def _size(arrival: Arrival) -> int:
    """Bytes of what an arrival carries; the rest of it is small."""
    return len(arrival.data) + len(arrival.request or b"")


def _may_be_of_the_events(error: Exception) -> bool:
    """Whether some event of a batch may have caused the error, so that the others can be stored without it.

    A database that is away, full or shutting down fails for all of them.
    """
    return not is_away(error)


def _untold() -> OperationalError:
    return OperationalError("stored, but the events that hold the duplicates' keys could not be read")


class Intake:
    """Accepts events. Everything submitted while a commit is under way shares the next one."""

    def __init__(self, database: Database, spool: Spool | None = None) -> None:
        """
        Args:
            spool: where events go while the database is away; without one, their producers keep them.
        """
        self._database = database
        self._spool = spool
        self._presence = Presence(database, Work.INTAKE)
        self._given_out = GivenOut(time.monotonic)
        if spool is not None:
            spool.writers[Kind.EVENTS] = self.write_spooled
        self._commits: GroupCommit[Arrival, Receipt] = GroupCommit(
            self._write, size=_size, splits=_may_be_of_the_events, writers=_WRITERS
        )
        within = PATIENCE_SECONDS if spool is not None else None
        self._lanes = Lanes(database, Work.INTAKE, ACCEPT, number=_WRITERS, within=within)
        self._bell = Bell(database)
        self._kinds = Kinds()

    async def start(self) -> None:
        if self._spool is not None:
            # What a process that is no more took and the database does not know yet may be sent again, to this one.
            for batch in reversed(await asyncio.to_thread(self._spool.waiting, Kind.EVENTS, SpooledBatch)):
                for event in batch.events:
                    self._given_out.note(event.arrival, event.event_id.bytes, event.upstream_id)
        await self._bell.start()
        await self._commits.start()

    async def stop(self) -> None:
        """Commit what waits, then end."""
        await self._commits.stop()
        await self._presence.stop()
        await self._lanes.close()
        await self._bell.stop()

    async def accept(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
        """Make the events durable in one transaction; an answer to the producer may follow.

        Raises:
            Overloaded: too many events, or too many bytes of them, wait for the database.
            psycopg.Error: the database refused these events; or it is away, and there is no room in the spool. Only
                when it went away while it was storing them may the events be stored all the same.
        """
        return await self._commits.submit(arrivals)

    def hand_in(self, arrivals: Sequence[Arrival], settle: Callable[[Sequence[Receipt] | Exception], None]) -> None:
        """`accept` without a task that waits.

        Args:
            settle: called once, from the event loop, with the receipts, or with what `accept` would raise.

        Raises:
            Overloaded: as `accept`.
        """
        self._commits.hand_in(arrivals, settle)

    async def _write(self, arrivals: Sequence[Arrival]) -> list[Receipt]:
        known = Kinds() if self._kinds.full else self._kinds
        batch = Batch(arrivals, known)
        if self._presence.away or (self._given_out and self._given_out.known(batch.keys())):
            # Or it is back, and what was spooled of the same request is not yet stored.
            return await self._spooled(batch, OperationalError("the database is away"))
        try:
            stale = await self._store(batch)
        except Exception as error:
            if not is_away(error) or self._spool is None:
                raise
            self._presence.found_away()
            return await self._spooled(batch, error)
        reach("intake.committed")
        if batch.kinds is not known:
            self._kinds = batch.kinds
        if batch.wakes:
            self._bell.ring()
        earlier = await self._known_at_last(batch.keys_of(stale)) if stale else {}
        receipts = batch.receipts(stale, earlier or {})
        for door, source, duplicate, number in batch.accepted(stale, receipts):
            metrics.accepted(door, source, "duplicate" if duplicate else "accepted", number)
        if earlier is None:
            # Who brings a duplicate that can't be looked up comes again. Nobody else shall: an event without a key
            # would be stored a second time.
            raise WrittenInPart([_untold() if receipt.event in stale else receipt for receipt in receipts])
        return receipts

    async def _spooled(self, batch: Batch, error: Exception) -> list[Receipt]:
        """Keep the batch on the local disk, with the ids that it has: should the database have taken it after all, it
        is known again."""
        assert self._spool is not None
        arrivals = batch.arrivals
        keyed = list(batch.keyed())
        known = self._given_out.known(batch.keys())
        stale = {event_id for key, _arrival, event_id, _upstream in keyed if key in known}
        spooled = batch.spooled(stale)
        try:
            if spooled.events:
                await self._spool.append(Kind.EVENTS, await asyncio.to_thread(encode, spooled))
        except NotSpooled as why:
            log.error("intake.not_spooled", events=len(arrivals), away=type(error).__name__, error=str(why))
            # Not that error itself: it would hold this frame, which holds it, and with it all that the batch brought
            # until the garbage collector comes by, which it seldom does.
            raise OperationalError("the database is away, and the events could not be spooled") from why
        kinds = Counter((arrival.door, arrival.source) for arrival in arrivals)
        for (door, source), number in kinds.items():
            metrics.accepted(door, source, "spooled", number)
        for key, arrival, event_id, upstream_id in keyed:
            if key not in known:
                self._given_out.note(arrival, event_id, upstream_id)
        return batch.spooled_receipts(stale, known)

    async def write_spooled(self, bodies: Sequence[bytes]) -> None:
        """Store spooled batches. What is there already, under its own id or its key, is left out.

        Raises:
            psycopg.Error: the database is away, or does not take an event that stands alone.
        """
        for body in bodies:
            spooled = await asyncio.to_thread(decode, SpooledBatch, body)
            try:
                await self._replayed(spooled)
            except Exception as error:
                if is_away(error) or len(spooled.events) == 1 or self._spool is None:
                    raise
                # One of them will never be taken: they come again one by one.
                log.warning("intake.spooled_apart", events=len(spooled.events), error=type(error).__name__)
                for event in spooled.events:
                    await self._spool.append(Kind.EVENTS, encode(SpooledBatch(spooled.seed, (event,))))

    async def _replayed(self, spooled: SpooledBatch) -> None:
        async with self._database.connection(Work.ACCEPT) as connection:
            cursor = await connection.execute(_THERE, (Uuids(event.event_id for event in spooled.events),))
            there = {row[0] for row in await cursor.fetchall()}
        left = tuple(event for event in spooled.events if event.event_id not in there)
        if left:
            await self._store_left(spooled.seed, left)
        self._given_out.forget(event.arrival for event in spooled.events)

    async def _store_left(self, seed: str, left: tuple[SpooledEvent, ...]) -> None:
        batch = Batch([resting(event.arrival) for event in left], Kinds(), SpooledBatch(seed, left))
        try:
            stale = await self._store(batch)
        except UniqueViolation as error:
            # A statement that hung has got through just now.
            raise OperationalError("the events are being stored") from error
        if batch.wakes:
            self._bell.ring()
        if stale:
            log.info("intake.spooled_duplicates", events=len(stale))

    async def _store(self, batch: Batch) -> set[bytes]:
        """Store what is new of the batch; the ids of what is not."""
        vault = self._database.vault
        if not vault.is_ready(batch.tenants):
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await vault.ready(batch.tenants)
            except TimeoutError:
                raise OperationalError("the keys of tenants could not be read in time") from None
        parameters = batch.parameters(vault)
        for pause in _DEADLOCK_PAUSES:
            try:
                return await self._execute(parameters)
            except DeadlockDetected:
                # Batches take their keys in one order and can't block each other, but others lock keys as well. Whoever
                # waited for this batch gets what it waits for meanwhile.
                log.warning("intake.deadlock")
                await asyncio.sleep(pause)
        return await self._execute(parameters)

    async def _execute(self, parameters: Sequence[bytes]) -> set[bytes]:
        stored = await self._lanes.execute(parameters)
        return {identifier for row in range(stored.ntuples) if (identifier := stored.get_value(row, 0)) is not None}

    async def _known_at_last(self, keys: Sequence[Key]) -> dict[Key, Given] | None:
        """`_known`, tried again when it fails: the batch is stored by now, and its callers should be told so. None when
        it fails for good."""
        for pause in (*FIND_PAUSES, None):
            try:
                return await self._known(keys)
            except psycopg.Error as error:
                log.warning("intake.find_failed", error=type(error).__name__)
            if pause is not None:
                await asyncio.sleep(pause)
        return None

    async def _known(self, keys: Sequence[Key]) -> dict[Key, Given]:
        """(event id, upstream id) of keys that an earlier arrival holds."""
        columns = (Texts(scope for scope, _ in keys), Texts(key for _, key in keys))
        async with self._database.connection(Work.ACCEPT) as connection:
            cursor = await connection.execute(_FIND, columns)
            return {(scope, key): (event.bytes, upstream) for scope, key, event, upstream in await cursor.fetchall()}
