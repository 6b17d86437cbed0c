"""The intake: arrivals in, receipts out, once they are on disk."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import count
from typing import Any
from uuid import UUID

import orjson
import psycopg
import structlog
from psycopg.errors import DeadlockDetected, OperationalError, UniqueViolation

from shadow.catalogue.model import Side
from shadow.intake.arrival import Arrival, PlannedDispatch, Receipt, Spot, State
from shadow.intake.bell import Bell
from shadow.intake.group_commit import GroupCommit
from shadow.intake.spooling import SpooledBatch, SpooledEvent, resting
from shadow.model.ids import Seed, new_id, new_id_bytes
from shadow.observe import metrics
from shadow.observe.fail_points import reach
from shadow.sealing.vault import Vault
from shadow.spool.encoding import decode, encode
from shadow.spool.presence import PATIENCE_SECONDS, Presence
from shadow.spool.spool import Kind, NotSpooled, Spool
from shadow.store.arrays import Byteas, Column, Ints, Moments, Texts, Uuids
from shadow.store.away import is_away
from shadow.store.database import Database, Work
from shadow.store.patience import patience

_ACCEPT = resources.files("shadow.intake").joinpath("accept.sql").read_text().encode()
_FIND = b"""
SELECT scope, key, event_id, upstream_id FROM dedupe_keys
WHERE (scope, key) IN (SELECT * FROM unnest(%s, %s))
"""
_THERE = b"SELECT id FROM events WHERE id = ANY(%s)"

_MILLISECOND = timedelta(milliseconds=1)
_WRITERS = 2
"""Batches under way at once: while one waits for the disk, the next is made and sent."""

log = structlog.get_logger(__name__)

FIND_PAUSES = (0.1, 0.5)
"""Seconds before each new try to look up the events that hold duplicates' keys."""

_TEMPLATE: dict[str, type[Column]] = {
    "source": Texts,
    "door": Texts,
    "origin": Texts,
    "name": Texts,
    "route": Texts,
    "phase": Texts,
    "authority": Texts,
    "purpose": Texts,
    "parent_run": Uuids,
    "sides": Texts,
    "means": Texts,
    "decided": Texts,
    "template_no": Ints,
}
_PLAN: dict[str, type[Column]] = {
    "plan_no": Ints,
    "side": Texts,
    "stage": Texts,
    "platform": Texts,
    "task": Texts,
    "state": Texts,
    "delay_ms": Ints,
}
_ARRIVAL: dict[str, type[Column]] = {
    "id": Uuids,
    "template": Ints,
    "tenant": Texts,
    "external_id": Texts,
    "delivery_id": Texts,
    "upstream_id": Texts,
    "occurred_at": Moments,
    "scheduled_at": Moments,
    "mapping_error": Texts,
    "position": Ints,
    "dispatch_key": Texts,
    "scope": Texts,
    "key": Texts,
    "expires": Moments,
    "ramp_key": Texts,
}
_DISPATCH: dict[str, type[Column]] = {"dispatch_id": Uuids, "dispatch_event": Uuids, "dispatch_plan": Ints}
_BODY: dict[str, type[Column]] = {"body_id": Uuids, "body_part": Texts, "body_content": Byteas}


def _size(arrival: Arrival) -> int:
    """Bytes of what an arrival carries; the rest of it is small."""
    return len(arrival.data) + len(arrival.request or b"")


def _may_be_of_the_events(error: Exception) -> bool:
    """Whether some event of a batch may have caused the error, so that the others can be stored without it.

    A database that is away, full or shutting down fails for all of them.
    """
    return not is_away(error)


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
        if spool is not None:
            spool.writers[Kind.EVENTS] = self.write_spooled
        self._commits: GroupCommit[Arrival, Receipt] = GroupCommit(
            self._write, size=_size, splits=_may_be_of_the_events, writers=_WRITERS
        )
        self._bell = Bell(database)

    async def start(self) -> None:
        await self._bell.start()
        await self._commits.start()

    async def stop(self) -> None:
        """Commit what waits, then end."""
        await self._commits.stop()
        await self._presence.stop()
        await self._bell.stop()

    async def accept(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
        """Make the events durable in one transaction; an answer to the producer may follow.

        Raises:
            Overloaded: too many events, or too many bytes of them, wait for the database.
            psycopg.Error: the database refused these events; or it is away, and there is no room in the spool. Only
                when it went away while it was storing them may the events be stored all the same.
        """
        return await self._commits.submit(arrivals)

    async def _write(self, arrivals: Sequence[Arrival]) -> list[Receipt]:
        batch = _Batch(arrivals)
        if self._presence.away:
            return await self._spooled(batch, OperationalError("the database is away"))
        try:
            stale = await self._store(batch)
        except Exception as error:
            if not is_away(error) or self._spool is None:
                raise
            self._presence.found_away()
            return await self._spooled(batch, error)
        reach("intake.committed")
        if batch.wakes:
            self._bell.ring()
        known = await self._known_at_last(batch.keys_of(stale)) if stale else {}
        receipts = batch.receipts(stale, known)
        kinds = Counter((it.door, it.source, receipt.duplicate) for it, receipt in zip(arrivals, receipts, strict=True))
        for (door, source, duplicate), number in kinds.items():
            metrics.accepted(door, source, "duplicate" if duplicate else "accepted", number)
        return receipts

    async def _spooled(self, batch: _Batch, error: Exception) -> list[Receipt]:
        """Keep the batch on the local disk, with the ids that it has: should the database have taken it after all, it
        is known again."""
        assert self._spool is not None
        arrivals = batch.arrivals
        try:
            await self._spool.append(Kind.EVENTS, await asyncio.to_thread(encode, batch.spooled()))
        except NotSpooled as why:
            log.error("intake.not_spooled", events=len(arrivals), error=str(why))
            raise error from why
        kinds = Counter((arrival.door, arrival.source) for arrival in arrivals)
        for (door, source), number in kinds.items():
            metrics.accepted(door, source, "spooled", number)
        return batch.receipts(set(), {}, spooled=True)

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
        if not left:
            return
        batch = _Batch([resting(event.arrival) for event in left], SpooledBatch(spooled.seed, left))
        try:
            stale = await self._store(batch)
        except UniqueViolation as error:
            # A statement that hung has got through just now.
            raise OperationalError("the events are being stored") from error
        if batch.wakes:
            self._bell.ring()
        if stale:
            log.info("intake.spooled_duplicates", events=len(stale))

    async def _store(self, batch: _Batch) -> set[UUID]:
        """Store what is new of the batch; the ids of what is not."""
        vault = self._database.vault
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await vault.ready({arrival.tenant for arrival in batch.arrivals})
        except TimeoutError:
            raise OperationalError("the keys of tenants could not be read in time") from None
        parameters = batch.parameters(vault)
        try:
            return await self._execute(parameters)
        except DeadlockDetected:
            # Batches take their keys in one order and can't block each other, but others lock keys as well.
            log.warning("intake.deadlock")
            return await self._execute(parameters)

    async def _execute(self, parameters: dict[str, Any]) -> set[UUID]:
        within = PATIENCE_SECONDS if self._spool is not None else None
        async with self._database.connection(Work.INTAKE) as connection, patience(connection, within):
            cursor = await connection.execute(_ACCEPT, parameters, prepare=True)
            return {row[0] for row in await cursor.fetchall()}

    async def _known_at_last(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[UUID, str]]:
        """`_known`, tried again when it fails: the batch is stored by now, and its callers should be told so."""
        for pause in FIND_PAUSES:
            try:
                return await self._known(keys)
            except psycopg.Error as error:
                log.warning("intake.find_failed", error=type(error).__name__)
                await asyncio.sleep(pause)
        try:
            return await self._known(keys)
        except psycopg.Error as error:
            # Of a kind that lets nobody write the batch again: without keys it would be stored twice.
            raise OperationalError("stored, but the events that hold the duplicates' keys could not be read") from error

    async def _known(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[UUID, str]]:
        """(event id, upstream id) of keys that an earlier arrival holds."""
        columns = (Texts(scope for scope, _ in keys), Texts(key for _, key in keys))
        async with self._database.connection(Work.ACCEPT) as connection:
            cursor = await connection.execute(_FIND, columns)
            return {(scope, key): (event, upstream) for scope, key, event, upstream in await cursor.fetchall()}


class _Batch:
    """The rows of one commit.

    All its events for the candidate share one Inngest seed, without gaps, so that the delivery loop can send
    them together and every event gets the ULID that its producer was told.
    """

    def __init__(self, arrivals: Sequence[Arrival], spooled: SpooledBatch | None = None) -> None:
        """
        Args:
            spooled: the same arrivals as they were spooled, which have their ids.
        """
        self._now = datetime.now(UTC)
        self._seed = Seed.new()
        self._header = self._seed.header() if spooled is None else spooled.seed
        self.arrivals = arrivals
        self._fixed = None if spooled is None else spooled.events
        self._ids: list[tuple[UUID, str]] = []
        self._first: dict[tuple[str, str], int] = {}
        self._repeats = False
        self._templates: dict[tuple[object, ...], tuple[int, Arrival]] = {}
        self._plans: dict[PlannedDispatch, int] = {}
        self._planned: dict[int, tuple[list[int], bool]] = {}
        self._expiries: dict[timedelta, datetime] = {}
        self._dispatches: list[tuple[bytes, bytes, int]] = []
        self._rows: list[tuple[Any, ...]] = []
        self._positions: dict[UUID, int] = {}
        self._bodies: list[tuple[str | None, bytes, str, bytes]] = []
        self._fill()

    def _fill(self) -> None:
        to_tell, others = self._seed.ulids(), Seed.new().ulids()
        positions = count()
        ids, rows, bodies, dispatches = self._ids, self._rows, self._bodies, self._dispatches
        fixed = self._fixed
        for index, arrival in enumerate(self.arrivals):
            event_id = new_id() if fixed is None else fixed[index].event_id
            dedupe = arrival.dedupe
            scope = key = expires = None
            if dedupe is not None:
                scope, key, lifetime = dedupe
                if self._first.setdefault((scope, key), index) != index:
                    self._repeats = True
                    ids.append((event_id, ""))
                    continue  # the same event twice in one batch: the first stands for both
                expires = self._expiry(lifetime)
            plans, to_candidate = self._numbered(arrival.dispatches)
            if fixed is not None:
                position, upstream_id = fixed[index].position, fixed[index].upstream_id
            elif to_candidate:
                position = self._positions[event_id] = next(positions)
                upstream_id = next(to_tell)
            else:
                position = None
                upstream_id = next(others)
            ids.append((event_id, upstream_id))
            row_id = event_id.bytes
            rows.append(
                (
                    row_id,
                    self._template(arrival),
                    arrival.tenant,
                    arrival.external_id,
                    arrival.delivery_id or upstream_id,
                    upstream_id,
                    arrival.occurred_at,
                    arrival.scheduled_at,
                    arrival.mapping_error,
                    position,
                    arrival.idempotency_key,
                    scope,
                    key,
                    expires,
                    arrival.ramp_key,
                )
            )
            for plan in plans:
                dispatches.append((new_id_bytes(), row_id, plan))
            tenant = arrival.tenant
            bodies.append((tenant, row_id, "data", arrival.data))
            if arrival.request is not None:
                bodies.append((tenant, row_id, "request", arrival.request))
            if arrival.headers:
                bodies.append((tenant, row_id, "headers", orjson.dumps(arrival.headers)))

    def _expiry(self, lifetime: timedelta) -> datetime:
        expires = self._expiries.get(lifetime)
        if expires is None:
            expires = self._expiries[lifetime] = self._now + lifetime
        return expires

    def _numbered(self, dispatches: tuple[PlannedDispatch, ...]) -> tuple[list[int], bool]:
        """The numbers of an arrival's plans, and whether the candidate is among them.

        Doors hand over the same tuple for all events of a kind, so it is looked up by identity.
        """
        found = self._planned.get(id(dispatches))
        if found is None:
            numbers = [self._plans.setdefault(dispatch, len(self._plans)) for dispatch in dispatches]
            to_candidate = any(dispatch.side is Side.CANDIDATE for dispatch in dispatches)
            found = self._planned[id(dispatches)] = (numbers, to_candidate)
        return found

    def _template(self, arrival: Arrival) -> int:
        """The number of what this arrival shares with others of the batch. Decisions are told apart by identity."""
        shared = (arrival.source, arrival.door, arrival.origin, arrival.name, id(arrival.decision), arrival.descent)
        return self._templates.setdefault(shared, (len(self._templates), arrival))[0]

    @property
    def wakes(self) -> bool:
        """Whether a delivery loop has something to do at once."""
        return any(plan.state is State.DUE and not plan.delay for plan in self._plans)

    def spooled(self) -> SpooledBatch:
        """Its events with what their producers are told, each once."""
        repeated = {index for index, (_event, upstream) in enumerate(self._ids) if not upstream}
        return SpooledBatch(
            self._header,
            tuple(
                SpooledEvent(event_id, upstream_id, self._positions.get(event_id), self.arrivals[index])
                for index, (event_id, upstream_id) in enumerate(self._ids)
                if index not in repeated
            ),
        )

    def parameters(self, vault: Vault) -> dict[str, Any]:
        """One array a column, for `accept.sql`.

        Args:
            vault: ready for all their tenants.
        """
        seal = vault.seal
        bodies = [(row_id, part, seal(tenant, row_id, part, content)) for tenant, row_id, part, content in self._bodies]
        plans = [
            (number, plan.side, plan.stage, plan.platform, plan.task, plan.state, plan.delay // _MILLISECOND)
            for plan, number in self._plans.items()
        ]
        return {
            "seed": self._header,
            **_columns(_TEMPLATE, [_template_row(number, arrival) for number, arrival in self._templates.values()]),
            **_columns(_PLAN, plans),
            **_columns(_ARRIVAL, self._rows),
            **_columns(_DISPATCH, self._dispatches),
            **_columns(_BODY, bodies),
        }

    def keys_of(self, stale: set[UUID]) -> list[tuple[str, str]]:
        """The keys of those events, which earlier ones hold."""
        return [key for key, index in self._first.items() if self._ids[index][0] in stale]

    def receipts(
        self, stale: set[UUID], known: dict[tuple[str, str], tuple[UUID, str]], *, spooled: bool = False
    ) -> list[Receipt]:
        """One for each arrival, in order."""
        if not stale and not self._repeats and not spooled:
            return [Receipt(event_id, upstream_id, False) for event_id, upstream_id in self._ids]
        receipts = []
        for index, arrival in enumerate(self.arrivals):
            event_id, upstream_id = self._ids[index]
            duplicate = False
            if arrival.dedupe is not None:
                key = (arrival.dedupe.scope, arrival.dedupe.key)
                first = self._first[key]
                duplicate = first != index or event_id in stale
                event_id, upstream_id = known.get(key) or self._ids[first]
            spot = Spot(self._header, self._positions.get(event_id)) if spooled else None
            receipts.append(Receipt(event_id, upstream_id, duplicate, spot))
        return receipts


def _template_row(number: int, arrival: Arrival) -> tuple[str | int | UUID | None, ...]:
    decision, descent = arrival.decision, arrival.descent
    authority = descent.authority if descent else decision.authority if decision else None
    decided = decision.decided if decision else None
    sides = descent.sides if descent else decision.sides if decision and decided is not None else None
    return (
        arrival.source,
        arrival.door,
        arrival.origin,
        arrival.name,
        decision.route if decision else None,
        decision.phase if decision else None,
        authority,
        descent.purpose if descent else "live",
        descent.parent_run if descent else None,
        None if sides is None else ",".join(sides),
        descent.task if descent else None,
        None if decided is None else ",".join(decided),
        number,
    )


def _columns(types: dict[str, type[Column]], rows: Sequence[tuple[Any, ...]]) -> dict[str, Column]:
    """Rows turned into one array a column."""
    if not rows:
        return {name: kind() for name, kind in types.items()}
    columns = zip(*rows, strict=True)
    return {name: kind(column) for (name, kind), column in zip(types.items(), columns, strict=True)}
