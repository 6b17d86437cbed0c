"""Rows that change in the applications' databases become effects: peek, store, then advance.

One process reads a slot at a time, by a lease. What it stores has ids derived from the place in the server's log, so
that reading the same transaction again, after a crash between storing and advancing, adds nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.catalogue.outside import DatabaseSide, RowChanges
from shadow.effects.blind_spots import blind, seeing
from shadow.effects.business_keys import named_in, texts_in
from shadow.effects.correlation import Attribution, CallTraits, Correlator
from shadow.effects.pgoutput import lsn_text
from shadow.effects.record import AttributedBy, SeenBy, SeenEffect, record_effects
from shadow.effects.rows import RowEffect, Transaction, transactions
from shadow.effects.slot import Slot, SlotState, libpq_url, names_of
from shadow.model.ids import new_id
from shadow.observe import metrics
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

KIND = "sql"
BATCH = 2_000
"""Changes read at once; the transaction that passes it is read whole."""
POLL_SECONDS = 0.5
TROUBLE_SECONDS = 5.0
LEASE = timedelta(minutes=2)
_BEFORE = timedelta(days=1)
"""How far back runs may have begun that were under way when a slot was made: part of what they did is unseen."""

_CLAIM = b"""
INSERT INTO row_slots AS slot (database, side, holder, lease_until)
VALUES (%(database)s, %(side)s, %(holder)s, now() + %(lease)s)
ON CONFLICT (database, side) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
    WHERE slot.holder = excluded.holder OR slot.lease_until < now()
RETURNING stored_at
"""
_STORED = b"""
UPDATE row_slots SET stored_at = %s, lag_bytes = %s
WHERE database = %s AND side = %s AND holder = %s AND lease_until > now()
"""
_RELEASE = b"UPDATE row_slots SET lease_until = now() WHERE database = %s AND side = %s AND holder = %s"


class LeaseLost(Exception):
    """Another process reads the slot now: what was read here is not stored."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one turn did."""

    effects: int = 0
    """That were new."""
    more: bool = False
    """Whether there may be more to read at once."""


class SlotReader:
    """Reads one side's database.

    Raises:
        ValueError: (when made) it is no PostgreSQL.
    """

    def __init__(
        self, name: str, side: Side, settings: DatabaseSide, database: Database, catalogue: ResolvedCatalogue
    ) -> None:
        assert settings.row_changes is not None
        self.name = name
        self.side = side
        self._changes: RowChanges = settings.row_changes
        self._url = libpq_url(settings.dsn.get_secret_value())
        self._database = database
        self._correlator = Correlator(catalogue)
        self._holder = new_id()
        self._slot_name, self._publication = names_of(self._changes, name, side)
        namespace = settings.namespace or "public"
        self._tables = [
            (table.split(".", 1)[0], table.split(".", 1)[1]) if "." in table else (namespace, table)
            for table in self._changes.tables
        ]

    async def once(self) -> Reading | None:
        """Read what there is; None when another process has the slot, or row changes are disabled.

        Raises:
            psycopg.Error: one of the two databases is away or refuses.
            LeaseLost: it took too long.
        """
        claimed = await self._claim()
        if claimed is None:
            return None
        async with await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, application_name="shadow-rows"
        ) as connection:
            slot = Slot(connection, self._slot_name, self._publication, self._tables)
            await slot.prepare()
            if not self._changes.enabled:
                await self._disable(slot)
                return None
            return await self._read(slot, *claimed)

    async def release(self) -> None:
        """Let another process read at once."""
        async with self._database.connection(Work.OUTCOMES) as conn:
            await conn.execute(_RELEASE, (self.name, self.side, self._holder))

    async def cannot(self, error: Exception) -> None:
        """Row changes can't be read. While there is a slot they wait in it; without one they go unseen."""
        try:
            async with self._database.connection(Work.OUTCOMES) as conn:
                row = await (
                    await conn.execute(
                        "SELECT stored_at, now() FROM row_slots WHERE database = %s AND side = %s",
                        (self.name, self.side),
                    )
                ).fetchone()
                if row is not None and row[0] is None:
                    reason = f"row changes of {self.side}'s {self.name} can't be read: {_first_line(error)}"
                    await blind(conn, self.side, self.name, row[1], reason)
        except psycopg.OperationalError:
            return

    async def _claim(self) -> tuple[datetime | None] | None:
        """When something was stored last; no tuple at all when another process has the lease."""
        async with self._database.connection(Work.OUTCOMES) as conn:
            cursor = await conn.execute(
                _CLAIM, {"database": self.name, "side": self.side, "holder": self._holder, "lease": LEASE}
            )
            row = await cursor.fetchone()
        return None if row is None else (row[0],)

    async def _read(self, slot: Slot, stored_at: datetime | None) -> Reading:
        state = await slot.state()
        if state.exists and state.lost:
            await self._give_up(slot, stored_at, state, "its server threw away what was not read yet")
            return Reading(more=True)
        await slot.publish()
        if not state.exists:
            await self._begin(slot, stored_at)
            state = await slot.state()
        messages = await slot.peek(BATCH)
        found = transactions(messages, self._changes.tables)
        new = await self._store(found, state)
        # With nothing to read, everything up to where the log ended before is read.
        await slot.advance(lsn_text(found[-1].end_lsn) if found else state.flushed)
        state = await slot.state()
        metrics.row_slot_lag(self.name, self.side.value, state.lag_bytes)
        if state.lag_bytes > self._changes.lag_bytes:
            reason = f"it was {state.lag_bytes} bytes behind, more than {self._changes.lag_bytes}"
            await self._give_up(slot, found[-1].committed_at if found else stored_at, state, reason)
        return Reading(new, more=bool(found))

    async def _begin(self, slot: Slot, stored_at: datetime | None) -> None:
        """Make the slot. What was done before is not in it."""
        await slot.create()
        at = (await slot.state()).at
        log.info("row_changes.slot_made", database=self.name, side=self.side.value, slot=slot.name)
        async with self._database.connection(Work.OUTCOMES) as conn:
            if not await seeing(conn, self.side, self.name, at):
                since = stored_at or at - _BEFORE
                reason = f"row changes of {self.side}'s {self.name} are read since {at:%Y-%m-%dT%H:%M:%SZ} only"
                await blind(conn, self.side, self.name, since, reason, until=at)
            await self._stored(conn, at, 0)

    async def _give_up(self, slot: Slot, stored_at: datetime | None, state: SlotState, why: str) -> None:
        """Drop the slot, which would keep the server's log for ever; a new one is made in the next turn."""
        log.error("row_changes.slot_dropped", database=self.name, side=self.side.value, slot=slot.name, reason=why)
        metrics.row_slot_dropped(self.name, self.side.value)
        async with self._database.connection(Work.OUTCOMES) as conn:
            reason = f"the slot of {self.side}'s {self.name} was dropped: {why}"
            await blind(conn, self.side, self.name, stored_at or state.at - _BEFORE, reason)
        await slot.drop()

    async def _disable(self, slot: Slot) -> None:
        if await slot.drop():
            log.info("row_changes.disabled", database=self.name, side=self.side.value, slot=slot.name)
        metrics.row_slot_lag(self.name, self.side.value, 0)

    async def _store(self, found: Sequence[Transaction], state: SlotState) -> int:
        new = 0
        async with self._database.connection(Work.OUTCOMES) as conn:
            effects = [
                await self._seen(conn, transaction, ordinal, effect)
                for transaction in found
                for ordinal, effect in enumerate(transaction.effects)
            ]
            if effects:
                new = await record_effects(conn, self.side, effects)
                metrics.effects(self.side.value, new)
            await self._stored(conn, found[-1].committed_at if found else state.at, state.lag_bytes)
        return new

    async def _stored(self, conn: Connection, at: datetime, lag_bytes: int) -> None:
        cursor = await conn.execute(_STORED, (at, lag_bytes, self.name, self.side, self._holder))
        if not cursor.rowcount:
            raise LeaseLost(f"another process reads the slot of {self.side}'s {self.name}")

    async def _seen(self, conn: Connection, transaction: Transaction, ordinal: int, effect: RowEffect) -> SeenEffect:
        identifier = transaction.effect_id(f"{self.name}:{self.side}", ordinal)
        call, found = await self._whose(conn, transaction, effect)
        by = AttributedBy.TRANSACTION if found.by is AttributedBy.HEADERS else found.by
        return SeenEffect(
            run=found.said,
            run_id=found.run.id if found.run is not None else None,
            task=found.run.task if found.run is not None else None,
            attempt=found.attempt,
            kind=KIND,
            target=self.name,
            operation=effect.operation,
            identity=effect.identity,
            data=orjson.dumps(effect.data),
            occurred_at=transaction.committed_at,
            seen_by=SeenBy.ROWS,
            attributed_by=by,
            id=identifier,
            suspects=found.candidates,
            traits=call.stored() if found.nobodys else None,
        )

    async def _whose(
        self, conn: Connection, transaction: Transaction, effect: RowEffect
    ) -> tuple[CallTraits, Attribution]:
        teller = effect.teller
        if teller is not None:
            call = CallTraits(run=teller.run, task=teller.task, event=teller.event, attempt=teller.attempt)
        else:
            call = CallTraits(names=named_in(texts_in(dict(effect.data))))
        return call, await self._correlator.whose(conn, self.side, call, transaction.committed_at)


class RowChangesLoop:
    """A reader for every database side that declares row changes."""

    def __init__(self, database: Database, catalogue: ResolvedCatalogue, *, poll_seconds: float = POLL_SECONDS) -> None:
        """
        Raises:
            ValueError: a database whose row changes are declared is no PostgreSQL.
        """
        self.readers = [
            SlotReader(name, side, settings, database, catalogue)
            for name, pair in catalogue.databases.items()
            for side, settings in ((Side.LEGACY, pair.legacy), (Side.CANDIDATE, pair.candidate))
            if settings.row_changes is not None
        ]
        self._poll_seconds = poll_seconds
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run(reader)) for reader in self.readers]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for reader in self.readers:
            try:
                await reader.release()
            except psycopg.Error as error:
                log.warning("row_changes.not_released", database=reader.name, error=type(error).__name__)

    async def _run(self, reader: SlotReader) -> None:
        while True:
            rest = self._poll_seconds
            try:
                done = await reader.once()
                if done is not None and done.more:
                    continue
                if done is None:
                    rest = TROUBLE_SECONDS
            except LeaseLost:
                log.warning("row_changes.lease_lost", database=reader.name, side=reader.side.value)
            except psycopg.Error as error:
                log.warning(
                    "row_changes.unreadable",
                    database=reader.name,
                    side=reader.side.value,
                    error=type(error).__name__,
                    state=error.sqlstate,
                )
                await reader.cannot(error)
                rest = TROUBLE_SECONDS
            except Exception as error:
                log.exception("row_changes.failed", database=reader.name, error=type(error).__name__)
                rest = TROUBLE_SECONDS
            await asyncio.sleep(rest)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
