"""What clients do to runs that were issued: cancel them, or move the start of those that are delayed.

A run rests in the queue until its delay is over, so that most changes are made there and nobody else is asked. What the
candidate's platform may have is cancelled there, by the workers. Locks are taken as `fanout/handoff.py` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.fanout.opening import open_pairs
from shadow.fanout.stored_events import load_events
from shadow.intake.plan import sequence_patience
from shadow.model.ids import derived_id, new_id
from shadow.model.reasons import CHANGED_BY_PRODUCER
from shadow.store.database import Connection, Database, Work

_WAITING = b"""
SELECT id, lease IS NOT NULL AND due_at > now(), attempts FROM dispatches
WHERE event_id = %s AND side = 'candidate' AND stage IN ('deliver', 'map') ORDER BY id FOR UPDATE
"""
_REMOVE = b"DELETE FROM dispatches WHERE id = %s"
_RUN = b"SELECT state FROM runs WHERE id = %s FOR UPDATE"
_END = b"""
UPDATE runs SET state = 'finished', status = %s, finished_at = now(), poll_at = NULL
WHERE id IN (SELECT id FROM runs WHERE id = ANY(%s::uuid[]) AND state <> 'finished' ORDER BY id FOR UPDATE)
"""
_TWIN_NEVER_STARTS = b"""
DELETE FROM dispatches WHERE id IN (
    SELECT id FROM dispatches WHERE event_id = ANY(%s::uuid[]) AND side = 'legacy' AND stage = 'deliver'
      AND (state = 'sequenced' OR state = 'due' AND lease IS NULL AND attempts = 0) ORDER BY id FOR UPDATE)
RETURNING event_id
"""
_CANCEL = b"""
INSERT INTO dispatches (id, event_id, side, stage, platform, task)
SELECT %(id)s, %(event)s, %(side)s, 'cancel', %(platform)s, %(task)s
WHERE NOT EXISTS (SELECT FROM dispatches
                  WHERE event_id = %(event)s AND stage = 'cancel' AND task = %(task)s AND side = %(side)s)
"""
_LOOK_SOON = b"""
UPDATE runs SET poll_at = LEAST(poll_at, now() + interval '1 second') WHERE id = %s AND poll_at IS NOT NULL
"""
_MARK = b"""
UPDATE pairs SET incomparable = %s, due_at = now()
WHERE id IN (SELECT id FROM pairs WHERE id = ANY(%s::uuid[]) AND verdict IS NULL ORDER BY id FOR UPDATE)
"""
_IS_DELAYED = b"SELECT scheduled_at > now() FROM events WHERE id = %s FOR UPDATE"
_MOVE_DISPATCH = b"UPDATE dispatches SET due_at = %s WHERE id = %s"
_MOVE_EVENT = b"UPDATE events SET scheduled_at = %s WHERE id = %s"
_MOVE_RUNS = b"""
UPDATE runs SET scheduled_at = %s
WHERE id IN (SELECT id FROM runs WHERE id = ANY(%s::uuid[]) AND state <> 'finished' ORDER BY id FOR UPDATE)
"""
_TWIN_WAITS = b"UPDATE dispatches SET due_at = now() WHERE event_id = %s AND side = 'legacy' AND state = 'sequenced'"
_MOVE_PAIR = b"UPDATE pairs SET deadline_at = %s, due_at = now() WHERE id = %s"


class Change(Enum):
    """What became of a change."""

    DONE = auto()
    """Of the run here, which has not started: nobody else need do anything."""
    ASKED = auto()
    """The workers ask the candidate's platform for it."""
    NOTHING = auto()
    """There is nothing to change: it has ended, or is not delayed."""
    BUSY = auto()
    """It is being handed over at this moment: to be tried again."""


@dataclass(frozen=True, slots=True)
class _Place:
    event: UUID
    task: str

    @property
    def run(self) -> UUID:
        return derived_id(self.event, self.task, Side.CANDIDATE)

    @property
    def twin(self) -> UUID:
        return derived_id(self.event, self.task, Side.LEGACY)

    @property
    def pair(self) -> UUID:
        return derived_id(self.event, self.task)


async def cancel(database: Database, catalogue: ResolvedCatalogue, event: UUID, task: str) -> Change:
    """Cancel an issued run, and its twin without authority.

    Raises:
        psycopg.Error: the database is away.
    """
    place = _Place(event, task)
    await _open(database, catalogue, event)
    async with database.connection(Work.ACCEPT) as conn:
        waiting = await (await conn.execute(_WAITING, (event,))).fetchone()
        if waiting is not None and waiting[1]:
            return Change.BUSY
        state = await (await conn.execute(_RUN, (place.run,))).fetchone()
        if waiting is None and (state is None or state[0] == "finished"):
            return Change.NOTHING
        if waiting is not None:
            await conn.execute(_REMOVE, (waiting[0],))
            await end_unstarted(conn, [(event, task)], "cancelled")
        is_there = waiting is None or waiting[2] > 0  # its hand-over may have succeeded without our knowledge
        if is_there:
            await _ask(conn, catalogue, place, Side.CANDIDATE)
            await conn.execute(_LOOK_SOON, (place.run,))
        await _cancel_twin(conn, catalogue, place)
        await conn.execute(_MARK, (CHANGED_BY_PRODUCER, [place.pair]))
        await conn.execute(b"NOTIFY shadow_dispatches")
        await conn.execute(b"NOTIFY shadow_pairs")
        return Change.ASKED if is_there else Change.DONE


async def reschedule(database: Database, catalogue: ResolvedCatalogue, event: UUID, task: str, at: datetime) -> Change:
    """Move the start of a delayed run that was issued, and that of its twin.

    Raises:
        psycopg.Error: the database is away.
    """
    place = _Place(event, task)
    await _open(database, catalogue, event)
    settings = catalogue.tasks[task]
    async with database.connection(Work.ACCEPT) as conn:
        waiting = await (await conn.execute(_WAITING, (event,))).fetchone()
        if waiting is None or (waiting[2] > 0 and not waiting[1]):
            return Change.NOTHING
        if waiting[1]:
            return Change.BUSY
        delayed = await (await conn.execute(_IS_DELAYED, (event,))).fetchone()
        if delayed is None or not delayed[0]:
            return Change.NOTHING
        await conn.execute(_MOVE_DISPATCH, (at, waiting[0]))
        await conn.execute(_MOVE_RUNS, (at, [place.run, place.twin]))
        await conn.execute(_MOVE_EVENT, (at, event))
        await conn.execute(_TWIN_WAITS, (event,))
        patience = sequence_patience([settings])
        if patience is None:  # its twin was told the old time, if there is one
            await conn.execute(_MARK, (CHANGED_BY_PRODUCER, [place.pair]))
        deadline = at + settings.deadline + (patience or timedelta(0))
        await conn.execute(_MOVE_PAIR, (deadline, place.pair))
        await conn.execute(b"NOTIFY shadow_dispatches")
        await conn.execute(b"NOTIFY shadow_pairs")
        return Change.DONE


async def end_unstarted(conn: Connection, runs: Sequence[tuple[UUID, str]], status: str) -> None:
    """Issued runs (event and task) that never start, and whose hand-over is gone; nor do their twins, where these have
    not started either."""
    if not runs:
        return
    places = [_Place(event, task) for event, task in runs]
    await conn.execute(_END, (status, [place.run for place in places]))
    cursor = await conn.execute(_TWIN_NEVER_STARTS, ([place.event for place in places],))
    alone = {row[0] for row in await cursor.fetchall()}
    if alone:
        await conn.execute(_END, (status, [place.twin for place in places if place.event in alone]))
    await conn.execute(_MARK, (f"{CHANGED_BY_PRODUCER}: {status}", [place.pair for place in places]))


async def _open(database: Database, catalogue: ResolvedCatalogue, event: UUID) -> None:
    """Write its run and pair, which claiming it would have written: in a transaction of its own, for the locks."""
    async with database.connection(Work.ACCEPT) as conn:
        await open_pairs(conn, catalogue, await load_events(conn, [event]))


async def _cancel_twin(conn: Connection, catalogue: ResolvedCatalogue, place: _Place) -> None:
    """Cancel the run of legacy without authority that stands beside it, if there is one that has started."""
    row = await (await conn.execute(_RUN, (place.twin,))).fetchone()
    if row is None or row[0] == "finished":
        return
    cursor = await conn.execute(_TWIN_NEVER_STARTS, ([place.event],))
    if await cursor.fetchone() is None:
        await _ask(conn, catalogue, place, Side.LEGACY)
    else:
        await conn.execute(_END, ("cancelled", [place.twin]))


async def _ask(conn: Connection, catalogue: ResolvedCatalogue, place: _Place, side: Side) -> None:
    task = catalogue.tasks[place.task]
    platform = task.candidate.platform if side is Side.CANDIDATE else task.legacy.platform
    values = {"id": new_id(), "event": place.event, "side": side.value, "platform": platform, "task": place.task}
    await conn.execute(_CANCEL, values)
