"""What is written down when an event has been handed over: that its runs were started.

Locks are taken in one order by all who share these rows (dispatches that are due, runs, aliases, dispatches that
wait for a twin, pairs, tallies; within each by id), so that loops, doors and the judge can't deadlock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import InngestPlatform, Side, TriggerPlatform
from shadow.causes.children import place
from shadow.causes.emissions import note_emissions
from shadow.causes.late_parents import with_parents
from shadow.fanout import adoption
from shadow.fanout.opening import Run, open_pairs_of, open_runs, patience_of, runs_of
from shadow.fanout.stored_events import load_events
from shadow.intake.arrival import Door, Stage
from shadow.platforms.event import EventRow
from shadow.store.database import Connection

log = structlog.get_logger(__name__)

_TAKE_OFF = b"""
WITH valid AS MATERIALIZED (
    SELECT dispatch.id FROM dispatches AS dispatch
    JOIN unnest(%s::uuid[], %s::uuid[]) AS claim (id, lease) ON claim.id = dispatch.id AND claim.lease = dispatch.lease
    ORDER BY dispatch.id FOR UPDATE OF dispatch
)
DELETE FROM dispatches WHERE id IN (SELECT id FROM valid) RETURNING id
"""
_SENT = b"""
WITH locked AS MATERIALIZED (SELECT id FROM runs WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE)
UPDATE runs AS run
SET platform_run_id = COALESCE(run.platform_run_id, sent.platform_run_id),
    state = CASE WHEN run.state = 'finished' THEN 'finished' ELSE 'sent' END,
    poll_at = CASE WHEN run.state <> 'finished' AND sent.poll_every IS NOT NULL
                   THEN COALESCE(run.poll_at, GREATEST(now(), run.scheduled_at) + sent.poll_every) END
FROM unnest(%s::uuid[], %s::text[], %s::interval[]) AS sent (id, platform_run_id, poll_every)
-- All are locked before the first is written.
WHERE run.id = sent.id AND (SELECT count(*) FROM locked) > 0
RETURNING run.id, run.platform_run_id, sent.platform_run_id
"""
_RENAMED = b"""
UPDATE events AS event SET upstream_id = given.upstream_id
FROM unnest(%s::uuid[], %s::text[]) AS given (id, upstream_id)
WHERE event.id = given.id
"""
_DONE = b"DELETE FROM dispatches WHERE id = ANY(%s::uuid[])"
_DONE_UNNAMED = b"""
DELETE FROM dispatches AS dispatch
USING unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS done (event_id, side, platform, task)
WHERE dispatch.event_id = done.event_id AND dispatch.side = done.side AND dispatch.platform = done.platform
  AND dispatch.task IS NOT DISTINCT FROM done.task AND dispatch.stage IN ('deliver', 'forward')
  AND dispatch.event_id = ANY(%s::uuid[])
"""
_HELD = b"""
SELECT id, event_id, side, platform, task, stage FROM dispatches WHERE event_id = ANY(%s::uuid[]) AND state = 'held'
ORDER BY id FOR UPDATE
"""
_RELEASE = b"""
UPDATE dispatches AS dispatch SET state = released.state, due_at = now()
FROM unnest(%s::uuid[], %s::text[]) AS released (id, state) WHERE dispatch.id = released.id
"""
_LOOK_AGAIN = b"""
UPDATE dispatches SET due_at = now()
WHERE id IN (
    SELECT id FROM dispatches WHERE event_id = ANY(%s::uuid[]) AND state = 'sequenced' ORDER BY id FOR UPDATE)
"""
# What waits for the twin of a child is another event: what the twin of the child's parent emitted. One that nobody has
# emitted yet is waited for until the parent itself has settled.
_LOOK_AGAIN_AT_CHILDREN = b"""
WITH parent AS MATERIALIZED (
    SELECT run.id, run.pair_id FROM runs AS run WHERE run.event_id = ANY(%(events)s::uuid[]) AND run.authority = 'real'
    UNION
    SELECT run.id, run.pair_id FROM events AS child JOIN runs AS run ON run.id = child.parent_run
    WHERE child.id = ANY(%(events)s::uuid[]) AND run.authority = 'real'
),
other AS MATERIALIZED (
    SELECT CASE pair.legacy_run WHEN parent.id THEN pair.candidate_run ELSE pair.legacy_run END AS id
    FROM parent JOIN pairs AS pair ON pair.id = parent.pair_id
)
UPDATE dispatches SET due_at = now()
-- Where nothing waits, nothing of all this is looked up.
WHERE EXISTS (SELECT FROM dispatches WHERE state = 'sequenced') AND id IN (
    SELECT waiting.id FROM other JOIN events AS twin ON twin.parent_run = other.id
    JOIN dispatches AS waiting ON waiting.event_id = twin.id AND waiting.state = 'sequenced'
    ORDER BY waiting.id FOR UPDATE OF waiting)
"""


@dataclass(frozen=True, slots=True)
class Started:
    """A platform took a dispatch."""

    dispatch_id: UUID | None
    """None where only the event, side, platform and task are known: at the door that forwarded the call."""
    event_id: UUID
    side: Side
    task: str | None
    """None where the platform fans out by itself, or a webhook was passed on: then all that run there."""
    platform: str
    platform_run_id: str | None = None
    lease: UUID | None = None
    """Of the claim; None for a door, which holds none."""
    upstream_id: str | None = None
    """The id that the platform gave the event, where it gives one."""
    event: EventRow | None = None
    runs: tuple[Run, ...] | None = None
    """Those that it starts, as they and their pairs were opened when it was claimed, with its event; None where that
    has to be found out: nobody has claimed it, or the event's place may have become known since."""


async def record_started(
    conn: Connection,
    catalogue: ResolvedCatalogue,
    started: Sequence[Started],
    said: Mapping[UUID, str] | None = None,
) -> None:
    """Write down which dispatches their platforms took, and let go what was held for them.

    Harmless to repeat. What comes with a lease that has been lost is void: whoever claimed the dispatch since
    delivers it again, under the same key.

    Args:
        said: by event, the platform's id of the run that emitted it, as that run says.
    """
    started = await _taken_off(conn, started)
    if not started:
        return
    opened = {item.event_id: item.event for item in started if item.runs is not None and item.event is not None}
    loaded = await load_events(conn, ids) if (ids := {item.event_id for item in started} - opened.keys()) else []
    events = await with_parents(conn, catalogue, sorted(loaded, key=lambda event: event.id), said or {})
    children = await place(conn, catalogue, events)
    runs = runs_of(catalogue, events, children)
    await open_runs(conn, runs)
    stored = opened | {event.id: event for event in events}
    sent = [(run, item) for item in started for run in (item.runs or ())]
    sent += _started_runs(runs, [item for item in started if item.runs is None])
    incomparable = await _mark_sent(conn, catalogue, sent)
    await _mark_renamed(conn, stored, started)
    await _delete_unleased(conn, [item for item in started if item.lease is None])
    # Only what was asked of Trigger.dev is held for the other side.
    holding = {event.id: event for event in stored.values() if event.id not in opened or event.door == Door.TRIGGER}
    released = await _release(conn, catalogue, holding) if holding else 0
    if incomparable.due:  # runs whose end was told before their start
        await look_again(conn, stored)
    # A call is an emission once its platform has taken it: what was refused has called for nothing.
    emitted = [event for event in events if event.door in (Door.TRIGGER, Door.PLATFORM)]
    await note_emissions(conn, catalogue, emitted, said, placed=True)
    await open_pairs_of(conn, catalogue, runs, children)
    await adoption.disturb(conn, incomparable)
    if released:
        await conn.execute(b"NOTIFY shadow_dispatches")


def _started_runs(runs: Sequence[Run], started: Sequence[Started]) -> list[tuple[Run, Started]]:
    of_event: dict[UUID, list[Run]] = {}
    for run in runs:
        of_event.setdefault(run.event.id, []).append(run)
    return [
        (run, item)
        for item in started
        for run in of_event.get(item.event_id, ())
        if run.side == item.side and run.platform == item.platform and item.task in (None, run.task.id)
    ]


async def _release(conn: Connection, catalogue: ResolvedCatalogue, stored: Mapping[UUID, EventRow]) -> int:
    """Let go what was held until legacy took the event: to its platform, or to wait on until legacy has settled."""
    cursor = await conn.execute(_HELD, (sorted(stored),))
    states = {
        dispatch: "sequenced"
        if stage == Stage.DELIVER and patience_of(catalogue, stored[event_id], Side(side), platform, task) is not None
        else "due"
        for dispatch, event_id, side, platform, task, stage in await cursor.fetchall()
    }
    if states:
        await conn.execute(_RELEASE, (list(states), list(states.values())))
    return len(states)


async def look_again(conn: Connection, events: Collection[UUID]) -> None:
    """A run with authority has ended: what waits for it to settle is to be looked at.

    Locks dispatches, after the runs that the caller has locked and before pairs.
    """
    if events:
        own = await conn.execute(_LOOK_AGAIN, (sorted(events),))
        of_children = await conn.execute(_LOOK_AGAIN_AT_CHILDREN, {"events": sorted(events)})
        if own.rowcount or of_children.rowcount:
            # Whether there is anything for the judge, too, its pair says.
            await conn.execute(b"NOTIFY shadow_pairs")


async def _taken_off(conn: Connection, started: Sequence[Started]) -> list[Started]:
    """Take those off the queue whose lease still holds; a door's have none and hold always.

    Returns:
        those that hold.
    """
    leased = [item for item in started if item.lease is not None]
    if not leased:
        return list(started)
    cursor = await conn.execute(_TAKE_OFF, ([item.dispatch_id for item in leased], [item.lease for item in leased]))
    valid = {row[0] for row in await cursor.fetchall()}
    lost = sum(item.dispatch_id not in valid for item in leased)
    if lost:
        log.info("fanout.lease_lost", dispatches=lost)
    return [item for item in started if item.lease is None or item.dispatch_id in valid]


async def _mark_sent(
    conn: Connection, catalogue: ResolvedCatalogue, sent: Sequence[tuple[Run, Started]]
) -> adoption.Disturbed:
    """Write the runs' platform ids and when to ask for them first."""
    ids = sorted({run.id for run, _item in sent})
    if not ids:
        return adoption.Disturbed()
    cursor = await conn.execute(
        _SENT,
        (
            ids,
            [run.id for run, _item in sent],
            [item.platform_run_id for _run, item in sent],
            [_poll_every(catalogue, run.platform) for run, _item in sent],
        ),
    )
    second = {row[0] for row in await cursor.fetchall() if row[1] != row[2] and row[2] is not None}
    if second:
        log.warning("fanout.second_run", runs=[str(run) for run in sorted(second)])
    return await adoption.link(
        conn,
        [
            adoption.Link(run.platform, item.platform_run_id, run.id, run.pair_id)
            for run, item in sent
            if item.platform_run_id is not None and run.id not in second
        ],
    )


def _poll_every(catalogue: ResolvedCatalogue, platform: str) -> timedelta | None:
    """None where outcomes can't be asked for."""
    settings = catalogue.platforms[platform]
    return settings.poll_every if isinstance(settings, TriggerPlatform | InngestPlatform) else None


async def _mark_renamed(conn: Connection, stored: dict[UUID, EventRow], started: Sequence[Started]) -> None:
    """The platform gave an event another id than was computed: from now on it is looked for by that one."""
    renamed = {
        item.event_id: item.upstream_id
        for item in started
        if item.upstream_id is not None
        and item.event_id in stored
        and stored[item.event_id].upstream_id != item.upstream_id
    }
    if renamed:
        await conn.execute(_RENAMED, (list(renamed), list(renamed.values())))


async def _delete_unleased(conn: Connection, started: Sequence[Started]) -> None:
    """What a door handed over itself is not handed over by the workers any more."""
    named = [item.dispatch_id for item in started if item.dispatch_id is not None]
    if named:
        await conn.execute(_DONE, (named,))
    unnamed = [item for item in started if item.dispatch_id is None]
    if not unnamed:
        return
    await conn.execute(
        _DONE_UNNAMED,
        (
            [item.event_id for item in unnamed],
            [item.side.value for item in unnamed],
            [item.platform for item in unnamed],
            [item.task for item in unnamed],
            sorted({item.event_id for item in unnamed}),
        ),
    )
