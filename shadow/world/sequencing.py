"""The loop that starts runs without authority once their twins have settled, and makes their world ready before.

Any number of loops in any number of processes share the work. A claim is a lease: the dispatch's `due_at` is pushed
ahead. What is written afterwards holds only while the lease does, and everything may be done twice: rows are copied as
they are, and a dispatch is let go once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import orjson
import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.cron_settings import SCHEDULE
from shadow.catalogue.model import Side
from shadow.causes.children import Child
from shadow.effects.evidence import data_of_events
from shadow.fanout.opening import open_pairs, patience_of, started_tasks
from shadow.fanout.stored_events import load_events
from shadow.fanout.wake import Wake, pause
from shadow.intake.plan import LONGEST_REST
from shadow.model.ids import derived_id, new_id
from shadow.model.world import COPIED, LATE, NOT_COPIED
from shadow.observe import metrics
from shadow.observe.fail_points import reach
from shadow.platforms.event import EventRow
from shadow.store.database import Connection, Database, Work
from shadow.world.copying import Worlds
from shadow.world.queues import Queues
from shadow.world.release import TwinsKnown, next_step
from shadow.world.twins import places, twins_of_children

log = structlog.get_logger(__name__)

Written = TypeVar("Written")

CHANNEL = "shadow_pairs"
"""On which it is told that a run has ended."""
BATCH = 200
LEASE = timedelta(minutes=1)
POLL_SECONDS = 1.0
COPIES = 8
"""Runs whose worlds are made ready at once."""
_GATHER_SECONDS = 0.02
_RETRY = timedelta(seconds=2)
"""After which a copy is tried again that failed for a while only."""
_DEADLOCK_RETRIES = 3

_CLAIM = b"""
WITH due AS (
    SELECT id FROM dispatches WHERE state = 'sequenced' AND due_at <= now()
    ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE dispatches AS dispatch SET lease = %(lease)s, due_at = now() + %(lease_time)s
FROM due WHERE dispatch.id = due.id
RETURNING dispatch.id, dispatch.event_id, dispatch.side, dispatch.platform, dispatch.task, dispatch.due_at, now()
"""
_ENDED = b"SELECT id, finished_at FROM runs WHERE id = ANY(%s::uuid[]) AND state = 'finished'"
_LAST_EFFECTS = b"""
SELECT run.id, max(effects.received_at) FROM runs AS run
JOIN effects ON effects.platform_run_id = run.platform_run_id AND effects.side = run.side AND effects.run_id IS NULL
WHERE run.id = ANY(%(runs)s::uuid[]) GROUP BY 1
UNION ALL
SELECT run_id, max(received_at) FROM effects WHERE run_id = ANY(%(runs)s::uuid[]) GROUP BY 1
"""
_REST = b"""
UPDATE dispatches AS dispatch SET due_at = rest.due_at, lease = NULL
FROM unnest(%(ids)s::uuid[], %(seen)s::timestamptz[], %(moments)s::timestamptz[]) AS rest (id, seen, due_at)
WHERE dispatch.id = rest.id AND dispatch.lease = %(lease)s AND dispatch.due_at = rest.seen
"""
_WORLDS = b"""
WITH held AS (
    SELECT run.id FROM runs AS run WHERE run.id = ANY(%(runs)s::uuid[]) ORDER BY run.id FOR UPDATE
)
UPDATE runs AS run SET world = made.world
FROM unnest(%(runs)s::uuid[], %(worlds)s::text[], %(dispatches)s::uuid[]) AS made (id, world, dispatch)
WHERE run.id = made.id AND run.id IN (SELECT id FROM held)
  AND EXISTS (SELECT FROM dispatches WHERE dispatches.id = made.dispatch AND dispatches.lease = %(lease)s)
"""
_RELEASE = b"""
UPDATE dispatches SET state = 'due', due_at = now(), lease = NULL
WHERE id IN (
    SELECT id FROM dispatches WHERE id = ANY(%(ids)s::uuid[]) AND lease = %(lease)s AND state = 'sequenced'
    ORDER BY id FOR UPDATE)
RETURNING id
"""
_DEADLINES = b"""
UPDATE pairs
SET deadline_at = moved.deadline_at,
    -- One that rests until its deadline goes on resting; any other may be in the judge's hands, and is looked at anew.
    due_at = CASE WHEN pairs.due_at = pairs.deadline_at THEN moved.deadline_at ELSE now() END
FROM unnest(%(ids)s::uuid[], %(patience)s::interval[]) AS given (id, patience),
     LATERAL (SELECT now() + given.patience AS deadline_at) AS moved
WHERE pairs.id = given.id AND pairs.id IN (
    SELECT id FROM pairs WHERE id = ANY(%(ids)s::uuid[]) ORDER BY id FOR UPDATE)
"""


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A dispatch that waits for its twins, and what it would start."""

    id: UUID
    event: EventRow
    side: Side
    tasks: Sequence[ResolvedTask]
    late_at: datetime
    """The end of its patience."""
    seen: datetime
    """Its due time while it is ours: another one says that something was learned since."""
    child: Child | None = None
    """Of an event that a run emitted: which child it is."""

    @property
    def authority(self) -> Side:
        return Side.LEGACY if self.side is Side.CANDIDATE else Side.CANDIDATE

    @property
    def is_child(self) -> bool:
        """Whether its twins are of another event, which the parent's twin emits."""
        return self.event.authority is None

    @property
    def twins(self) -> list[UUID]:
        """Of an event that both sides got."""
        return [derived_id(self.event.id, task.id, self.authority) for task in self.tasks]

    def pair(self, task: ResolvedTask) -> UUID:
        return derived_id(self.event.id, task.id) if self.child is None else self.child.pair(task.id)

    def run(self, task: ResolvedTask) -> UUID:
        """The run that it starts for one of the tasks."""
        return derived_id(self.event.id, task.id, self.side)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A dispatch to be let go."""

    claimed: _Claimed
    late: bool
    worlds: Mapping[UUID, str]
    """By run of it, what became of the rows that it needs."""


@dataclass(slots=True)
class _Claims:
    """What a claim found."""

    waiting: list[_Claimed]
    free: list[UUID]
    """Dispatches that have nothing to wait for any more: the catalogue has changed, or their event is gone."""
    now: datetime
    """The database's time."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one turn of the loop did, in dispatches."""

    claimed: int = 0
    released: int = 0
    rest: timedelta | None = None
    """Until the first of those that wait on is to be looked at again."""


class Sequencer:
    """Lets sequenced dispatches go until it is stopped."""

    def __init__(
        self, database: Database, catalogue: ResolvedCatalogue, *, batch: int = BATCH, lease: timedelta = LEASE
    ) -> None:
        self._database = database
        self._catalogue = catalogue
        self._batch = batch
        self._lease_time = lease
        self._worlds = Worlds(catalogue)
        self._queues = Queues(database, self._worlds)
        self._copies = asyncio.Semaphore(COPIES)
        self._wake = Wake(database, CHANNEL)
        self._woken = self._wake.subscribe()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._wake.start()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End at once: what was claimed and not let go is claimed again when its lease ends."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._wake.stop()
        await self._worlds.close()

    async def once(self) -> Round:
        """Look at what is due, and let each of it go or rest on."""
        lease = new_id()
        claims = await self._claim(lease)
        if claims is None:
            return Round()
        known = await self._known(claims.waiting)
        ending: list[tuple[_Claimed, bool]] = []
        resting: list[tuple[_Claimed, datetime]] = []
        for item in claims.waiting:
            step = next_step(known[item.id], claims.now)
            if step.look_at is None:
                ending.append((item, step.late))
            else:
                resting.append((item, min(step.look_at, claims.now + LONGEST_REST)))
        ready: list[_Ready] = []
        made = await asyncio.gather(*(self._made_ready(item, late, claims.now) for item, late in ending))
        for (item, _late), one in zip(ending, made, strict=True):
            if one is None:
                resting.append((item, claims.now + _RETRY))
            else:
                ready.append(one)
        released = await self._release(ready, claims, lease)
        await self._rest(resting, lease)
        rest = min((moment - claims.now for _item, moment in resting), default=None)
        return Round(len(claims.waiting) + len(claims.free), released, rest)

    async def _claim(self, lease: UUID) -> _Claims | None:
        """None when nothing is due."""
        async with self._database.connection(Work.WORLD) as conn:
            cursor = await conn.execute(_CLAIM, {"limit": self._batch, "lease": lease, "lease_time": self._lease_time})
            rows = await cursor.fetchall()
            if not rows:
                return None
            events = {event.id: event for event in await load_events(conn, {row[1] for row in rows})}
        children = await places(self._database, self._catalogue, list(events.values()))
        claims = _Claims([], [], rows[0][6])
        for dispatch, event_id, told_side, platform, task, seen, _now in rows:
            event, side = events.get(event_id), Side(told_side)
            late_at = None if event is None else self._late_at(event, side, platform, task)
            if event is None or late_at is None:
                claims.free.append(dispatch)  # the lane says what is wrong with it
                continue
            child = children.get(event.id)
            if event.authority is None and (child is None or not child.paired):
                claims.free.append(dispatch)  # its parent has no twin that would emit one
                continue
            tasks = started_tasks(self._catalogue, event, side, platform, task)
            claims.waiting.append(_Claimed(dispatch, event, side, tasks, late_at, seen, child))
        return claims

    def _late_at(self, event: EventRow, side: Side, platform: str, task: str | None) -> datetime | None:
        """The end of a dispatch's patience; None when it need not wait."""
        patience = patience_of(self._catalogue, event, side, platform, task)
        try:
            return None if patience is None else event.starts_at + patience
        except OverflowError:  # it starts at the end of time
            return None

    async def _known(self, claimed: Sequence[_Claimed]) -> dict[UUID, TwinsKnown]:
        last: dict[UUID, datetime] = {}
        async with self._database.connection(Work.WORLD) as conn:
            twins = await _twins(conn, claimed)
            runs = [run for item in claimed for run in twins[item.id]]
            ended = dict(await (await conn.execute(_ENDED, (runs,))).fetchall())
            if ended:
                cursor = await conn.execute(_LAST_EFFECTS, {"runs": list(ended)})
                for run, moment in await cursor.fetchall():
                    last[run] = max(moment, last.get(run, moment))
        return {
            item.id: TwinsKnown(
                finished_at=[ended.get(run) for run in twins[item.id]],
                last_effect_at=max((last[run] for run in twins[item.id] if run in last), default=None),
                settle=max(task.settle for task in item.tasks),
                late_at=item.late_at,
            )
            for item in claimed
        }

    async def _made_ready(self, item: _Claimed, late: bool, now: datetime) -> _Ready | None:
        """Copy what its runs need; None when that is to be tried again."""
        needing = [task for task in item.tasks if task.world]
        worlds = {item.run(task): LATE for task in item.tasks} if late else {}
        try:
            data = await self._data(item.event) if needing else None
            for task in needing:
                async with self._copies:
                    world = await self._world(task, data, item)
                if world != COPIED or not late:
                    worlds[item.run(task)] = world
        except (psycopg.OperationalError, TimeoutError) as error:
            log.warning("world.unreachable", of=str(item.event.id), error=type(error).__name__)
            if now < item.late_at:
                return None
            for task in needing:
                worlds[item.run(task)] = f"{NOT_COPIED}: a database could not be reached"
        except Exception as error:
            # What one event holds must not keep the others waiting.
            log.exception("world.failed", of=str(item.event.id))
            for task in needing:
                worlds[item.run(task)] = f"{NOT_COPIED}: {type(error).__name__}"
        return _Ready(item, late, worlds)

    async def _world(self, task: ResolvedTask, data: Any, item: _Claimed) -> str:
        event = item.event
        if event.source != SCHEDULE or event.occurred_at is None:
            return await self._worlds.copy(task, data, event.starts_at, item.authority, item.side)
        if task.cron is not None and task.cron.drains:
            return await self._queues.put(task, event, data, derived_id(event.id, task.id, item.authority))
        # Of a tick the rows count as they were at its nominal time: its run may be found a while after it began.
        return await self._worlds.copy(task, data, event.occurred_at, item.authority, item.side)

    async def _data(self, event: EventRow) -> Any:
        async with self._database.connection(Work.WORLD) as conn:
            data = await data_of_events(conn, {event.id})
        return orjson.loads(data.get(event.id, b"{}"))

    async def _release(self, ready: Sequence[_Ready], claims: _Claims, lease: UUID) -> int:
        """Let them go, with their pairs' deadlines counted from now; how many were still ours."""
        if not ready and not claims.free:
            return 0
        events = {one.claimed.event.id: one.claimed.event for one in ready}
        await self._opened([events[key] for key in sorted(events)])
        released = await self._committed(lambda conn: _let_go(conn, ready, claims.free, lease))
        if released:
            reach("world.released")
        for one in ready:
            if one.claimed.id in released:
                waited = claims.now - one.claimed.event.starts_at
                metrics.sequenced("late" if one.late else "settled", max(waited.total_seconds(), 0.0))
                if one.late:
                    log.warning("sequencing.late", of=str(one.claimed.event.id), side=one.claimed.side.value)
        return len(released)

    async def _opened(self, events: Sequence[EventRow]) -> None:
        """Write the runs and pairs, which late ones may not have: their twins were never handed over."""
        try:
            await self._committed(lambda conn: open_pairs(conn, self._catalogue, events))
        except psycopg.OperationalError:
            raise
        except Exception as error:
            log.warning("sequencing.batch_unpaired", events=len(events), error=type(error).__name__)
        else:
            return
        for event in events:
            try:
                await self._committed(partial(open_pairs, catalogue=self._catalogue, events=[event]))
            except psycopg.OperationalError:
                raise
            except Exception as error:
                # The lane will fail at it too, and make a dead letter of it.
                log.error("sequencing.unpaired", of=str(event.id), error=type(error).__name__)

    async def _rest(self, resting: Sequence[tuple[_Claimed, datetime]], lease: UUID) -> None:
        if resting:
            parameters = {
                "ids": [item.id for item, _moment in resting],
                "seen": [item.seen for item, _moment in resting],
                "moments": [moment for _item, moment in resting],
                "lease": lease,
            }
            async with self._database.connection(Work.WORLD) as conn:
                await conn.execute(_REST, parameters)

    async def _committed(self, write: Callable[[Connection], Awaitable[Written]]) -> Written:
        """Do `write` in a transaction of its own; again when it was chosen to end a deadlock."""
        for _ in range(_DEADLOCK_RETRIES):
            try:
                async with self._database.connection(Work.WORLD) as conn:
                    return await write(conn)
            except psycopg.errors.DeadlockDetected:
                log.info("sequencing.deadlock")
        async with self._database.connection(Work.WORLD) as conn:
            return await write(conn)

    async def _run_once(self) -> float:
        """One round; for how many seconds there is nothing to do then, unless something is learned."""
        try:
            done = await self.once()
        except psycopg.OperationalError as error:
            log.warning("sequencing.unreachable", error=type(error).__name__)
            return POLL_SECONDS
        except Exception as error:
            # A bug must not end the loop: the leases of this round expire and others may go on.
            log.exception("sequencing.round_failed", error=type(error).__name__)
            return POLL_SECONDS
        if done.claimed >= self._batch:
            return 0.0
        return POLL_SECONDS if done.rest is None else min(POLL_SECONDS, max(done.rest.total_seconds(), 0.0))

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            seconds = await self._run_once()
            if seconds > 0:
                await pause(self._woken, seconds)
                await asyncio.sleep(_GATHER_SECONDS)


async def _twins(conn: Connection, claimed: Sequence[_Claimed]) -> dict[UUID, list[UUID]]:
    """By dispatch, the runs that are to settle before it."""
    keys = {
        derived_id(item.id, task.id): (item, item.pair(task))
        for item in claimed
        if item.is_child and item.child is not None
        for task in item.tasks
    }
    pairs = {key: pair for key, (_item, pair) in keys.items()}
    parents = {key: item.event.parent_run for key, (item, _pair) in keys.items() if item.event.parent_run is not None}
    found = await twins_of_children(conn, pairs, parents) if keys else {}
    return {
        item.id: [found[key] for task in item.tasks if (key := derived_id(item.id, task.id)) in found]
        if item.is_child
        else item.twins
        for item in claimed
    }


async def _let_go(conn: Connection, ready: Sequence[_Ready], free: Sequence[UUID], lease: UUID) -> set[UUID]:
    worlds = [(run, world, one.claimed.id) for one in ready for run, world in one.worlds.items()]
    if worlds:
        await conn.execute(
            _WORLDS,
            {
                "runs": [run for run, _world, _dispatch in worlds],
                "worlds": [world for _run, world, _dispatch in worlds],
                "dispatches": [dispatch for _run, _world, dispatch in worlds],
                "lease": lease,
            },
        )
    cursor = await conn.execute(_RELEASE, {"ids": [*(one.claimed.id for one in ready), *free], "lease": lease})
    released = {row[0] for row in await cursor.fetchall()}
    pairs = {
        one.claimed.pair(task): task.deadline
        for one in ready
        if one.claimed.id in released
        for task in one.claimed.tasks
    }
    if pairs:
        await conn.execute(_DEADLINES, {"ids": list(pairs), "patience": list(pairs.values())})
    if released:
        await conn.execute(b"NOTIFY shadow_dispatches")
    return released
