"""The queue of dispatches: claim what is due, write back what became of it.

A claim gives each row a lease and pushes its due time past the time the work may take, so that the row comes back
by itself when the process dies. No transaction is held while a platform is called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import orjson
import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import Side
from shadow.effects import evidence
from shadow.fanout.handoff import Started, record_started
from shadow.fanout.issued_changes import end_unstarted
from shadow.fanout.opening import Keyed, Openings, Run, is_plain, is_settled, open_pairs, patience_of, runs_of, tasks_of
from shadow.fanout.stored_events import Originals, load_events, load_originals
from shadow.intake.arrival import Stage
from shadow.model.ids import Seed, derived_id, new_id
from shadow.model.reasons import CHANGED_BY_PRODUCER
from shadow.platforms.adapter import Delivery
from shadow.platforms.event import EventRow
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

_LONGEST_ERROR = 300
_PATIENCE_SECONDS = 2.0
"""For another lane that opens what this one needs as well."""
_CLAIM = b"""
WITH due AS (
    SELECT id FROM dispatches
    WHERE side = %(side)s AND state = 'due' AND due_at <= now() AND platform = %(platform)s AND stage <> 'map'
    ORDER BY due_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE dispatches AS dispatch
SET lease = %(lease)s, due_at = now() + %(lease_time)s, attempts = dispatch.attempts + 1
FROM due WHERE dispatch.id = due.id
RETURNING dispatch.id, dispatch.event_id, dispatch.stage, dispatch.task, dispatch.attempts, dispatch.seed,
          dispatch.position, dispatch.idempotency_key
"""
_RUN_STATES = b"SELECT id, state, platform_run_id FROM runs WHERE id = ANY(%s::uuid[])"
_WRITE_BACK = b"""
WITH claim AS (
    SELECT dispatch.id, result.state, result.wait, result.uncounted, result.error
    FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::interval[], %s::int[], %s::text[])
         AS result (id, lease, state, wait, uncounted, error)
    JOIN dispatches AS dispatch ON dispatch.id = result.id AND dispatch.lease = result.lease
    ORDER BY dispatch.id FOR UPDATE OF dispatch
)
UPDATE dispatches AS dispatch
SET state = claim.state, due_at = now() + claim.wait, lease = NULL,
    attempts = dispatch.attempts - claim.uncounted, error = COALESCE(claim.error, dispatch.error)
FROM claim WHERE dispatch.id = claim.id
"""
_GONE = b"""
UPDATE dispatches SET state = 'dead', lease = NULL, error = gone.error
FROM unnest(%s::uuid[], %s::text[]) AS gone (id, error) WHERE dispatches.id = gone.id
"""
_UNCLAIMABLE = b"UPDATE dispatches SET state = 'dead', lease = NULL, error = %s WHERE id = %s"
_FINISH = b"""
DELETE FROM dispatches AS dispatch USING unnest(%s::uuid[], %s::uuid[]) AS done (id, lease)
WHERE dispatch.id = done.id AND dispatch.lease = done.lease
RETURNING dispatch.id
"""
_CHANGED = b"""
UPDATE pairs SET incomparable = %s, due_at = now()
WHERE id IN (
    SELECT id FROM pairs WHERE id IN (SELECT pair_id FROM runs WHERE id = ANY(%s::uuid[])) ORDER BY id FOR UPDATE)
"""
_TOO_LATE = "the run had ended before it could be cancelled"
_RESEND = b"""
UPDATE dispatches SET state = 'due', due_at = now(), attempts = LEAST(attempts, 1), lease = NULL
WHERE id = ANY(%s::uuid[]) AND state = 'dead' AND stage <> 'map'
  AND NOT (side = 'candidate' AND stage = 'deliver' AND EXISTS (
      SELECT FROM events WHERE events.id = dispatches.event_id AND mapping_error IS NOT NULL))
RETURNING id, event_id, side, platform, task, stage
"""
_SEQUENCE = b"UPDATE dispatches SET state = 'sequenced' WHERE id = ANY(%s::uuid[])"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A dispatch that this process works on for as long as its lease lasts."""

    id: UUID
    event: EventRow
    stage: Stage
    platform: str
    task: str | None
    attempt: int
    """From 1."""
    lease: UUID
    delivery: Delivery
    """What to hand over; of a cancellation, what had been."""
    run_ended: bool = False
    """Of a cancellation: there is nothing left to cancel."""
    platform_run_id: str | None = None
    """Of a cancellation: the run to cancel, where the platform has named it."""
    runs: tuple[Run, ...] | None = None
    """Those that it starts; None where that may yet change."""


@dataclass(frozen=True, slots=True)
class Later:
    """To be tried again after a while."""

    wait: timedelta
    counted: bool
    """Whether this was an attempt."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Dead:
    """Given up; it stays as a dead letter until a person sends it again."""

    error: str


@dataclass(frozen=True, slots=True)
class Taken:
    """The platform has it."""

    platform_run_id: str | None = None
    upstream_id: str | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """Nothing is left to do. `changed`: the producer changed its own run and the twin could not follow."""

    changed: bool = False


@dataclass(frozen=True, slots=True)
class Expired:
    """Its run was issued with a time by which it should have started, and has not: it never starts."""


Fate = Taken | Later | Dead | Dropped | Expired


@dataclass(frozen=True, slots=True)
class _Row:
    """What the claim returns of a dispatch."""

    id: UUID
    event_id: UUID
    stage: str
    task: str | None
    attempt: int
    seed: str | None
    position: int | None
    idempotency_key: str | None


class _Opening:
    """What one claim opens, and what it leaves to another lane."""

    def __init__(self, openings: Openings, catalogue: ResolvedCatalogue) -> None:
        self._openings = openings
        self._catalogue = catalogue
        self._mine: set[UUID] = set()
        self._theirs: dict[UUID, asyncio.Future[bool]] = {}
        self._events: dict[UUID, EventRow] = {}

    def begin(self, events: Iterable[EventRow]) -> set[UUID]:
        """The events that the caller need not open."""
        self._events = {event.id: event for event in events if is_settled(self._catalogue, event)}
        self._mine, self._theirs = self._openings.begin(self._events)
        return self._events.keys() - self._mine

    def is_elsewhere(self, event: UUID) -> bool:
        """Whether another lane is at it just now, and makes its evidence too."""
        return event in self._theirs

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """The transaction is over."""
        self._openings.end(self._mine, well=kind is None)

    async def failed_elsewhere(self) -> list[EventRow]:
        """Once the caller's own are committed: those of the others' that were not opened, in time."""
        if self._theirs:
            await asyncio.wait(set(self._theirs.values()), timeout=_PATIENCE_SECONDS)
        return [self._events[event] for event, told in self._theirs.items() if not (told.done() and told.result())]


class Queue:
    """One side's dispatches."""

    def __init__(
        self, database: Database, catalogue: ResolvedCatalogue, side: Side, openings: Openings | None = None
    ) -> None:
        """
        Args:
            openings: shared with the other side's queue.
        """
        self._database = database
        self._openings = openings or Openings()
        self._catalogue = catalogue
        self._side = side
        self._work = Work.LEGACY if side is Side.LEGACY else Work.CANDIDATE

    async def claim(self, platform: str, limit: int, lease_time: timedelta) -> list[Claimed]:
        """The longest due dispatches of that platform, with all that is needed to deliver them.

        Their runs and pairs are written in the same transaction, so that no platform knows of a run before the
        database does. A dispatch with which that fails becomes a dead letter, so that it can't stop the others.

        Raises:
            psycopg.Error: the database is away, busy, or not as it must be; no dispatch is at fault.
        """
        lease = new_id()
        opening = _Opening(self._openings, self._catalogue)
        try:
            with opening:
                async with self._database.connection(self._work) as conn:
                    rows = await self._leased(conn, platform, limit, lease, lease_time)
                    claimed = await self._opened(conn, platform, rows, lease, opening)
            await self._open_failed(await opening.failed_elsewhere())
            return claimed
        except Exception as error:
            if not _is_of_a_row(error):
                raise
            log.warning("fanout.claim_isolated", platform=platform, error=type(error).__name__)
        claimed = []
        for _ in range(limit):
            alone = await self._claim_alone(platform, lease, lease_time)
            if alone is None:
                break
            claimed += alone
        return claimed

    async def _claim_alone(self, platform: str, lease: UUID, lease_time: timedelta) -> list[Claimed] | None:
        """The longest due dispatch, or none where it can't be claimed and is dead now; None when nothing is due."""
        async with self._database.connection(self._work) as conn:
            rows = await self._leased(conn, platform, 1, lease, lease_time)
            if not rows:
                return None
            try:
                async with conn.transaction():
                    return await self._opened(conn, platform, rows, lease)
            except Exception as error:
                if not _is_of_a_row(error):
                    raise
                log.error(  # without its message, in which the database may show values
                    "fanout.unclaimable", platform=platform, dispatch=str(rows[0].id), error=type(error).__name__
                )
                await conn.execute(_UNCLAIMABLE, (_reason(error), rows[0].id))
                return []

    async def _leased(
        self, conn: Connection, platform: str, limit: int, lease: UUID, lease_time: timedelta
    ) -> list[_Row]:
        """Rows that are this process's for as long as the lease lasts."""
        cursor = await conn.execute(
            _CLAIM,
            {
                "side": self._side.value,
                "platform": platform,
                "limit": limit,
                "lease": lease,
                "lease_time": lease_time,
            },
        )
        return [_Row(*row) for row in await cursor.fetchall()]

    async def _opened(
        self, conn: Connection, platform: str, rows: Sequence[_Row], lease: UUID, opening: _Opening | None = None
    ) -> list[Claimed]:
        """The rows with their events, whose runs and pairs are written, or are being written by another lane.

        Args:
            opening: None: they are written here, whoever else may be about it.
        """
        if not rows:
            return []
        ids = {row.event_id for row in rows}
        events = {event.id: event for event in await load_events(conn, ids)}
        settled = opening.begin(events.values()) if opening is not None else set()
        originals = await load_originals(conn, ids)
        gone = {row.id: why for row in rows if (why := _why_gone(events, originals, row.event_id)) is not None}
        if gone:
            await conn.execute(_GONE, (list(gone), list(gone.values())))
        mine = rows if opening is None else [row for row in rows if not opening.is_elsewhere(row.event_id)]
        await self._keep_evidence(conn, mine, events, originals)
        twins = await self._twins(conn, rows)
        there = [row for row in rows if row.id not in gone]
        deliveries = {row.id: self._delivery(row, events[row.event_id], originals[row.event_id].parts) for row in there}
        keyed = [
            self._keyed(platform, delivery, delivery.task)
            for delivery in deliveries.values()
            if delivery.stage is Stage.DELIVER and delivery.task is not None
        ]
        here = sorted((event for event in events.values() if event.id not in settled), key=lambda event: event.id)
        await open_pairs(conn, self._catalogue, here, keyed)
        starts = self._starts(platform, events.values())
        return [
            Claimed(
                row.id,
                delivery.event,
                delivery.stage,
                platform,
                row.task,
                row.attempt,
                lease,
                delivery,
                *twins.get(row.id, (False, None)),
                starts.get((row.event_id, row.task)) if delivery.stage is Stage.DELIVER else None,
            )
            for row in there
            for delivery in (deliveries[row.id],)
        ]

    def _starts(self, platform: str, events: Iterable[EventRow]) -> dict[tuple[UUID, str | None], tuple[Run, ...]]:
        """By event and the task that a dispatch names: the runs that it starts, of events of which that is settled."""
        starts: dict[tuple[UUID, str | None], tuple[Run, ...]] = {}
        for run in runs_of(self._catalogue, [event for event in events if is_plain(event)], {}):
            if run.side is self._side and run.platform == platform:
                starts[run.event.id, run.task.id] = (run,)
                starts[run.event.id, None] = (*starts.get((run.event.id, None), ()), run)
        return starts

    async def _open_failed(self, events: Sequence[EventRow]) -> None:
        """Open what another lane was to open and has not. Of what has been claimed nothing has been handed over yet."""
        if events:
            async with self._database.connection(self._work) as conn:
                await open_pairs(conn, self._catalogue, sorted(events, key=lambda event: event.id))

    async def _keep_evidence(
        self,
        conn: Connection,
        rows: Sequence[_Row],
        events: Mapping[UUID, EventRow],
        originals: Mapping[UUID, Originals],
    ) -> None:
        """Keep a redacted copy of what is delivered, while it is open: for the judge, and for people."""
        without = {
            row.event_id: (events[row.event_id].tenant, found.parts["data"])
            for row in rows
            if row.event_id in events
            and (found := originals.get(row.event_id)) is not None
            and "data" in found.parts
            and not found.has_evidence
        }
        if without:
            await evidence.keep_of_events(conn, without)

    async def write_back(self, fates: Sequence[tuple[Claimed, Fate]]) -> None:
        """Write what became of claimed dispatches, in one transaction. Results of a lost lease are void."""
        taken = [
            Started(
                claimed.id,
                claimed.event.id,
                self._side,
                claimed.task,
                claimed.platform,
                fate.platform_run_id,
                claimed.lease,
                fate.upstream_id,
                claimed.event,
                claimed.runs,
            )
            for claimed, fate in fates
            if isinstance(fate, Taken)
        ]
        async with self._database.connection(self._work) as conn:
            await self._keep(conn, fates)
            await self._drop(conn, [(claimed, fate) for claimed, fate in fates if isinstance(fate, Dropped)])
            await self._expire(conn, [claimed for claimed, fate in fates if isinstance(fate, Expired)])
            await record_started(conn, self._catalogue, taken)

    async def _keep(self, conn: Connection, fates: Sequence[tuple[Claimed, Fate]]) -> None:
        """Those that stay in the queue, to be tried later or as dead letters."""
        kept = [(claimed, fate) for claimed, fate in fates if isinstance(fate, Later | Dead)]
        if not kept:
            return
        waits = [fate.wait if isinstance(fate, Later) else timedelta(0) for _claimed, fate in kept]
        counted = [fate.counted if isinstance(fate, Later) else True for _claimed, fate in kept]
        # A platform that refuses something may quote it.
        await evidence.ready(conn, {claimed.event.tenant for claimed, _fate in kept})
        errors = [
            fate.error and evidence.redactor(conn.vault, claimed.event.tenant).text(fate.error)
            for claimed, fate in kept
        ]
        await conn.execute(
            _WRITE_BACK,
            (
                [claimed.id for claimed, _fate in kept],
                [claimed.lease for claimed, _fate in kept],
                ["due" if isinstance(fate, Later) else "dead" for _claimed, fate in kept],
                waits,
                [0 if count else 1 for count in counted],
                errors,
            ),
        )

    async def _drop(self, conn: Connection, dropped: Sequence[tuple[Claimed, Dropped]]) -> None:
        if not dropped:
            return
        await conn.execute(
            _FINISH,
            ([claimed.id for claimed, _fate in dropped], [claimed.lease for claimed, _fate in dropped]),
        )
        changed = [
            derived_id(claimed.event.id, claimed.task, self._side)
            for claimed, fate in dropped
            if fate.changed and claimed.task is not None
        ]
        if changed:
            await conn.execute(_CHANGED, (f"{CHANGED_BY_PRODUCER}: {_TOO_LATE}", changed))
            await conn.execute(b"NOTIFY shadow_pairs")

    async def _expire(self, conn: Connection, expired: Sequence[Claimed]) -> None:
        if not expired:
            return
        cursor = await conn.execute(
            _FINISH, ([claimed.id for claimed in expired], [claimed.lease for claimed in expired])
        )
        gone = {row[0] for row in await cursor.fetchall()}
        runs = [
            (claimed.event.id, task.id)
            for claimed in expired
            if claimed.id in gone
            for task in tasks_of(self._catalogue, claimed.event)
        ]
        await end_unstarted(conn, runs, "expired")
        await conn.execute(b"NOTIFY shadow_pairs")

    async def _twins(self, conn: Connection, rows: Sequence[_Row]) -> dict[UUID, tuple[bool, str | None]]:
        """Of the runs that cancellations are about: whether they have ended, and the platform's id."""
        runs = {
            derived_id(row.event_id, row.task, self._side): row.id
            for row in rows
            if row.stage == Stage.CANCEL and row.task is not None
        }
        if not runs:
            return {}
        cursor = await conn.execute(_RUN_STATES, (list(runs),))
        return {runs[run]: (state == "finished", known) for run, state, known in await cursor.fetchall()}

    def _keyed(self, platform: str, delivery: Delivery, task: ResolvedTask) -> Keyed:
        return Keyed(platform, task.id, delivery.key, derived_id(delivery.event.id, task.id, self._side))

    def _delivery(self, row: _Row, event: EventRow, bodies: dict[str, bytes]) -> Delivery:
        headers = orjson.loads(bodies["headers"]) if "headers" in bodies else []
        return Delivery(
            dispatch_id=row.id,
            event=event,
            data=bodies["data"],
            task=self._catalogue.tasks.get(row.task) if row.task is not None else None,
            request=bodies.get("request"),
            headers=tuple((str(name), str(value)) for name, value in headers),
            seed=Seed.parse(row.seed) if row.seed is not None else None,
            position=row.position or 0,
            idempotency_key=row.idempotency_key,
            attempt=row.attempt,
            stage=Stage(row.stage),
        )


def _why_gone(events: Mapping[UUID, EventRow], originals: Mapping[UUID, Originals], event_id: UUID) -> str | None:
    """Why a dispatch of that event can never be delivered; None where it can."""
    if event_id not in events:
        return "its event is gone"
    found = originals.get(event_id)
    if found is not None and found.forgotten is not None:
        return str(found.forgotten)
    if found is None or "data" not in found.parts:
        return "expired: its originals have been deleted (retention.originals in the catalogue)"
    return None


def _is_of_a_row(error: Exception) -> bool:
    """Whether an error may come of what one row holds, and not of the connection, the server or the schema."""
    if isinstance(error, psycopg.Error):
        of_a_row = psycopg.DataError | psycopg.IntegrityError | psycopg.errors.ProgramLimitExceeded
        return isinstance(error, of_a_row)
    return not isinstance(error, OSError)


def _reason(error: Exception) -> str:
    """Why a dispatch could not be claimed. The first line only: in the others the database shows values."""
    line = str(error).partition("\n")[0].replace("\x00", "")
    text = f"could not be claimed: {type(error).__name__}: {line}"
    return text.encode(errors="replace").decode()[:_LONGEST_ERROR]


async def resend(conn: Connection, catalogue: ResolvedCatalogue, ids: Sequence[UUID]) -> list[UUID]:
    """Send dead letters again, with all attempts but one forgotten and under the same keys.

    A run without authority that goes after its twin waits for it now, too: that may not have settled yet, and the rows
    that it needs are copied as they are by then. A dead letter of a failed mapping is left alone: there is no event
    yet that could be sent.

    Returns:
        those that were dead and are on their way now.
    """
    cursor = await conn.execute(_RESEND, (list(ids),))
    rows = await cursor.fetchall()
    events = {event.id: event for event in await load_events(conn, {row[1] for row in rows})}
    sequenced = [
        dispatch
        for dispatch, event_id, side, platform, task, stage in rows
        if stage == Stage.DELIVER
        and (event := events.get(event_id)) is not None
        and patience_of(catalogue, event, Side(side), platform, task) is not None
    ]
    if sequenced:
        await conn.execute(_SEQUENCE, (sequenced,))
        await conn.execute(b"NOTIFY shadow_pairs")
    if rows:
        await conn.execute(b"NOTIFY shadow_dispatches")
    return [row[0] for row in rows]
