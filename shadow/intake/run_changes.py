"""What a producer does to a run after it was started: cancel, reschedule, replay.

A change is written down as expected before the platform is asked for it, since nobody would ask again for one that
went through: the pair is marked, and the cancellation of the twin waits for a while. The platform's answer confirms
it or takes it back. Without one it stands: the pair is no evidence either way, and the twin has no authority.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import InngestPlatform, Side, TriggerPlatform
from shadow.cutover.decision import Decision
from shadow.intake.plan import sequence_patience
from shadow.model.alias import key_alias
from shadow.model.ids import derived_id, new_id
from shadow.model.reasons import CHANGED_BY_PRODUCER
from shadow.store.database import Connection

_LATEST_START = timedelta(days=365 * 50)
"""As far ahead as a start may be moved; what is computed from it must stay within the calendar."""
_SLACK = timedelta(minutes=1)
"""How far the platform's clock may differ from ours."""

_FIND = b"""
SELECT run.id, run.event_id, run.pair_id, run.task, run.state, run.authority
FROM run_aliases AS known JOIN runs AS run ON run.id = known.run_id
WHERE known.platform = %s AND known.alias = %s
"""
_CANCEL = b"""
INSERT INTO dispatches (id, event_id, side, stage, platform, task, due_at)
SELECT %(id)s, %(event)s, 'candidate', 'cancel', %(platform)s, %(task)s, now() + %(patience)s
WHERE NOT EXISTS (SELECT FROM dispatches WHERE event_id = %(event)s AND stage = 'cancel' AND task = %(task)s)
RETURNING id
"""
_CANCEL_NOW = b"""
UPDATE dispatches SET due_at = now()
WHERE event_id = %s AND stage = 'cancel' AND task = %s AND state = 'due' AND lease IS NULL AND attempts = 0
"""
_NOT_STARTED = b"""
DELETE FROM dispatches
WHERE event_id = %(event)s AND side = 'candidate' AND stage = 'deliver' AND state = 'sequenced'
  AND NOT EXISTS (SELECT FROM pairs WHERE event_id = %(event)s AND task <> %(task)s)
RETURNING id
"""
_NOTHING_TO_CANCEL = b"""
DELETE FROM dispatches
WHERE event_id = %s AND stage = 'cancel' AND task = %s AND lease IS NULL AND attempts = 0
"""
_NO_CANCEL = b"DELETE FROM dispatches WHERE id = %s AND lease IS NULL AND attempts = 0"
_MARK = b"""
UPDATE pairs SET incomparable = %s, due_at = now()
WHERE id = %s AND verdict IS NULL AND incomparable IS NULL
"""
_CONFIRM = b"""
UPDATE pairs SET incomparable = %(reason)s, due_at = now()
WHERE id = %(pair)s AND (verdict IS NULL AND incomparable IS NULL OR incomparable = %(reason)s)
"""
_UNMARK = b"UPDATE pairs SET incomparable = NULL, due_at = now() WHERE id = %s AND incomparable = %s"
# What has never been tried can't be anywhere but here. Data that are fetched have not been handed over either.
_STILL_HERE = b"""
SELECT id FROM dispatches
WHERE event_id = %s AND side = 'candidate' AND state IN ('held', 'sequenced', 'due')
  AND (stage = 'map' OR stage = 'deliver' AND (state = 'sequenced' OR lease IS NULL AND attempts = 0))
ORDER BY id FOR UPDATE
"""
_LOCK_RUNS = b"SELECT id FROM runs WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE"
_LOOK_AGAIN = b"UPDATE dispatches SET due_at = now() WHERE event_id = %s AND state = 'sequenced'"
_MOVE_RUN = b"""
UPDATE runs SET scheduled_at = %(at)s,
    poll_at = CASE WHEN poll_at IS NOT NULL THEN GREATEST(now(), %(at)s) + %(every)s END
WHERE id = %(run)s AND state <> 'finished'
"""
_MOVE_EVENT = b"UPDATE events SET scheduled_at = %s WHERE id = %s"
# Where it stands in the gate's order moves along: nobody knows anything of its outcome yet.
_MOVE_PAIR = b"""
UPDATE pairs SET deadline_at = %(deadline)s, due_at = now(), starts_at = greatest(%(at)s, event.accepted_at)
FROM events AS event WHERE pairs.id = %(pair)s AND event.id = pairs.event_id
"""
_UNSOLICITED = b"""
INSERT INTO runs (id, task, side, platform, platform_run_id, authority, state, parent_run, decided)
VALUES (%s, %s, 'legacy', %s, %s, %s, 'sent', %s, true)
"""
_EXPECT_REPLAY = b"INSERT INTO expected_replays (id, platform, task, original) VALUES (%s, %s, %s, %s)"
_FORGET_REPLAY = b"DELETE FROM expected_replays WHERE id = %s"
_ALIAS = b"""
INSERT INTO run_aliases (platform, alias, run_id) VALUES (%s, %s, %s)
ON CONFLICT (platform, alias) DO NOTHING RETURNING run_id
"""
_NAMELESS = b"""
SELECT run.id FROM run_aliases AS known
JOIN runs AS run ON run.id = known.run_id
JOIN events AS event ON event.id = run.event_id
WHERE known.platform = %s AND known.alias = %s AND run.platform_run_id IS NULL AND event.accepted_at <= %s
FOR UPDATE OF run
"""
_NAME = b"UPDATE runs SET platform_run_id = %s WHERE id = %s"


Decides = Callable[[str], Decision]
"""What governs a route now."""


@dataclass(frozen=True, slots=True)
class _Known:
    id: UUID
    event_id: UUID
    pair_id: UUID
    task: str


@dataclass(frozen=True, slots=True)
class Expected:
    """A change of a run that has a twin, written down before the platform is asked for it."""

    run: _Known
    marked: bool
    """The pair is marked because of this change."""
    cancellation: UUID | None = None
    """The dispatch that shall cancel the twin, where this change brought it."""


@dataclass(frozen=True, slots=True)
class ExpectedReplay:
    """Another run of one without authority, written down before the platform is asked for it: the gateway must not
    take it for a run of its own when it calls out before its name is known."""

    id: UUID


async def is_known(conn: Connection, platform: str, run: str) -> bool:
    """Whether the run is known by that id."""
    return await (await conn.execute(_FIND, (platform, run))).fetchone() is not None


async def name_run(conn: Connection, platform: str, run: str, task: str, key: str, created_at: datetime) -> UUID | None:
    """Tie a run's id to the run that was started under that key by a batch whose answer named no runs.

    Args:
        task: the catalogue's id.
        created_at: of the platform's run: an older one had the same key before, and is another. So is one that has
            the key when the run that was started under it has a name already.

    Returns:
        the run that is named now; None where there is none, or its name is known already.
    """
    cursor = await conn.execute(_NAMELESS, (platform, key_alias(task, key), created_at + _SLACK))
    if (row := await cursor.fetchone()) is None:
        return None
    cursor = await conn.execute(_ALIAS, (platform, run, row[0]))
    if await cursor.fetchone() is None:
        return None
    await conn.execute(_NAME, (run, row[0]))
    return UUID(str(row[0]))


async def expect_cancelled(
    conn: Connection, catalogue: ResolvedCatalogue, platform: str, run: str, patience: timedelta
) -> Expected | None:
    """The producer is about to cancel a legacy run; None where nothing follows from it.

    Cancelling a run that has finished changes nothing, here as upstream.

    Args:
        patience: how long the cancellation of the twin is left to the door, which confirms it or takes it back.
    """
    known = await _changeable(conn, platform, run)
    if known is None:
        return None
    cancellation: UUID | None = None
    task = catalogue.tasks.get(known.task)
    if task is not None:
        cursor = await conn.execute(
            _CANCEL,
            {
                "id": new_id(),
                "event": known.event_id,
                "platform": task.candidate.platform,
                "task": known.task,
                "patience": patience,
            },
        )
        row = await cursor.fetchone()
        cancellation = row[0] if row is not None else None
    return Expected(known, await _mark(conn, known), cancellation)


async def expect_rescheduled(conn: Connection, platform: str, run: str) -> Expected | None:
    """The producer is about to move a delayed legacy run; None where nothing follows from it."""
    known = await _changeable(conn, platform, run)
    return None if known is None else Expected(known, await _mark(conn, known))


async def expect_replayed(conn: Connection, platform: str, run: str) -> ExpectedReplay | None:
    """The producer is about to replay a legacy run; None where its route alone decides what the new one may."""
    row = await (await conn.execute(_FIND, (platform, run))).fetchone()
    if row is None or row[5] == "real":
        return None
    expected = ExpectedReplay(new_id())
    await conn.execute(_EXPECT_REPLAY, (expected.id, platform, row[3], row[0]))
    return expected


async def cancelled(conn: Connection, expected: Expected) -> None:
    """The platform cancelled it: the twin is cancelled too, and the pair says why it is no evidence."""
    known = expected.run
    waiting = await conn.execute(_NOT_STARTED, {"event": known.event_id, "task": known.task})
    # What still waited for the run that is cancelled now never starts, so there is nothing to cancel.
    undo = _NOTHING_TO_CANCEL if waiting.rowcount else _CANCEL_NOW
    await conn.execute(undo, (known.event_id, known.task))
    await _confirm(conn, expected)
    await conn.execute(b"NOTIFY shadow_dispatches")


async def rescheduled(
    conn: Connection, catalogue: ResolvedCatalogue, expected: Expected, starts_at: datetime | None, now: datetime
) -> None:
    """The platform moved it: the twin starts at the new time too, where the candidate has not been told of it yet.

    Otherwise the twin keeps the old time, and the pair is no evidence.

    Args:
        starts_at: as the platform says it; None when it does not.
    """
    known = expected.run
    task = catalogue.tasks.get(known.task)
    if starts_at is None or task is None:
        await _confirm(conn, expected)
        return
    at = min(starts_at, now + _LATEST_START)
    platforms = {
        derived_id(known.event_id, known.task, Side.LEGACY): task.legacy.platform,
        derived_id(known.event_id, known.task, Side.CANDIDATE): task.candidate.platform,
    }
    await conn.execute(_LOCK_RUNS, (list(platforms),))  # before dispatches that wait for a twin, as everybody
    if not await _is_still_here(conn, known.event_id):
        await _confirm(conn, expected)
        return
    for run, platform in sorted(platforms.items()):
        settings = catalogue.platforms[platform]
        every = settings.poll_every if isinstance(settings, TriggerPlatform | InngestPlatform) else None
        await conn.execute(_MOVE_RUN, {"at": at, "every": every, "run": run})
    await conn.execute(_MOVE_EVENT, (at, known.event_id))
    await conn.execute(_LOOK_AGAIN, (known.event_id,))
    patience = sequence_patience([task]) or timedelta(0)
    await conn.execute(_MOVE_PAIR, {"deadline": at + patience + task.deadline, "at": at, "pair": known.pair_id})
    if expected.marked:
        await conn.execute(_UNMARK, (known.pair_id, CHANGED_BY_PRODUCER))
    await conn.execute(b"NOTIFY shadow_pairs")


async def refused(conn: Connection, expected: Expected | ExpectedReplay) -> None:
    """The platform did not change the run: nothing has happened."""
    if isinstance(expected, ExpectedReplay):
        await conn.execute(_FORGET_REPLAY, (expected.id,))
        return
    if expected.cancellation is not None:
        await conn.execute(_NO_CANCEL, (expected.cancellation,))
    if expected.marked:
        await conn.execute(_UNMARK, (expected.run.pair_id, CHANGED_BY_PRODUCER))
        await conn.execute(b"NOTIFY shadow_pairs")


async def replayed(
    conn: Connection,
    catalogue: ResolvedCatalogue,
    decides: Decides,
    platform: str,
    run: str,
    new_run: str,
    expected: ExpectedReplay | None,
) -> None:
    """The producer replayed a legacy run: the new one is known, but belongs to no event (unsolicited).

    It has authority where the first one had it and legacy has all of the route still: it is legacy that runs it.
    """
    row = await (await conn.execute(_FIND, (platform, run))).fetchone()
    if row is None:
        return
    original, _event, _pair, task, _state, authority = row
    if authority == "real" and not _is_legacys(catalogue, decides, task):
        authority = "none"
    identifier = new_id()
    cursor = await conn.execute(_ALIAS, (platform, new_run, identifier))
    if await cursor.fetchone() is not None:
        await conn.execute(_UNSOLICITED, (identifier, task, platform, new_run, authority, original))
    if expected is not None:
        await conn.execute(_FORGET_REPLAY, (expected.id,))


def _is_legacys(catalogue: ResolvedCatalogue, decides: Decides, task: str) -> bool:
    known = catalogue.tasks.get(task)
    return known is not None and decides(known.route).whole(Side.LEGACY)


async def _changeable(conn: Connection, platform: str, run: str) -> _Known | None:
    """The run, if it has a twin and is not known to have ended."""
    row = await (await conn.execute(_FIND, (platform, run))).fetchone()
    if row is None:
        return None
    identifier, event_id, pair_id, task, state, _authority = row
    return _Known(identifier, event_id, pair_id, task) if pair_id is not None and state != "finished" else None


async def _is_still_here(conn: Connection, event_id: UUID) -> bool:
    """Whether the candidate can't have been told of the event; then it isn't until the transaction ends."""
    return await (await conn.execute(_STILL_HERE, (event_id,))).fetchone() is not None


async def _mark(conn: Connection, known: _Known) -> bool:
    cursor = await conn.execute(_MARK, (CHANGED_BY_PRODUCER, known.pair_id))
    if cursor.rowcount:
        await conn.execute(b"NOTIFY shadow_pairs")
    return cursor.rowcount > 0


async def _confirm(conn: Connection, expected: Expected) -> None:
    """Also where another change had marked it, which may have been refused since."""
    await conn.execute(_CONFIRM, {"reason": CHANGED_BY_PRODUCER, "pair": expected.run.pair_id})
    await conn.execute(b"NOTIFY shadow_pairs")
