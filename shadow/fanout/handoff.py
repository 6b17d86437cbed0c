"""What is written down when an event is handed over: its runs and pairs, and then that they were started.

Locks are taken in one order by all who share these rows (dispatches that are due, runs, aliases, dispatches that
wait for a twin, pairs, tallies; within each by id), so that loops, doors and the judge can't deadlock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import InngestPlatform, Origin, Side, TriggerPlatform
from shadow.causes.authority import Cause, ParentAuthority, Purpose, waits_for_its_twin
from shadow.causes.children import Child, place
from shadow.causes.emissions import note_emissions
from shadow.causes.late_parents import with_parents
from shadow.causes.pairs import ChildPair, count_opened, open_child_pairs
from shadow.effects.business_keys import KeyedRun, note_keys
from shadow.fanout import adoption
from shadow.fanout.stored_events import Originals, load_events, load_originals
from shadow.intake.arrival import Door, Stage
from shadow.intake.plan import fed, is_second, sequence_patience
from shadow.intake.storable import storable
from shadow.model.alias import key_alias
from shadow.model.ids import derived_id
from shadow.platforms.event import EventRow
from shadow.store.database import Connection

log = structlog.get_logger(__name__)

_OPEN_RUNS = b"""
INSERT INTO runs (id, event_id, pair_id, task, side, platform, authority, state, scheduled_at, parent_run)
SELECT id, event_id, pair_id, task, side, platform, authority, 'expected', scheduled_at, parent_run
FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[],
            %s::uuid[])
     AS run (id, event_id, pair_id, task, side, platform, authority, scheduled_at, parent_run)
ORDER BY id
ON CONFLICT (id) DO NOTHING
RETURNING id
"""
_OPEN_PAIRS = b"""
WITH fresh AS (
    INSERT INTO pairs (id, event_id, task, tenant, legacy_run, candidate_run, state, deadline_at, due_at, starts_at)
    SELECT id, event_id, task, tenant, legacy_run, candidate_run, 'open', deadline_at, deadline_at, starts_at
    FROM unnest(%(id)s::uuid[], %(event_id)s::uuid[], %(task)s::text[], %(tenant)s::text[], %(legacy_run)s::uuid[],
                %(candidate_run)s::uuid[], %(deadline_at)s::timestamptz[], %(starts_at)s::timestamptz[])
         AS pair (id, event_id, task, tenant, legacy_run, candidate_run, deadline_at, starts_at)
    ORDER BY id
    ON CONFLICT (id) DO NOTHING
    RETURNING id
)
INSERT INTO tallies (task, day, tenant, opened)
SELECT task, day, tenant, count(*)
FROM unnest(%(id)s::uuid[], %(task)s::text[], %(day)s::date[], %(owner)s::text[]) AS pair (id, task, day, tenant)
WHERE id IN (SELECT id FROM fresh)
GROUP BY task, day, tenant
ORDER BY task, day, tenant
ON CONFLICT (task, day, tenant) DO UPDATE SET opened = tallies.opened + excluded.opened
"""
_KEYS = b"""
INSERT INTO run_aliases (platform, alias, run_id)
SELECT platform, alias, run_id FROM unnest(%s::text[], %s::text[], %s::uuid[]) AS known (platform, alias, run_id)
ORDER BY platform, alias
ON CONFLICT (platform, alias) DO NOTHING
"""
_VALID = b"""
SELECT dispatch.id FROM dispatches AS dispatch
JOIN unnest(%s::uuid[], %s::uuid[]) AS claim (id, lease) ON claim.id = dispatch.id AND claim.lease = dispatch.lease
ORDER BY dispatch.id FOR UPDATE OF dispatch
"""
_LOCK_RUNS = b"SELECT id FROM runs WHERE id = ANY(%s::uuid[]) ORDER BY id FOR UPDATE"
_SENT = b"""
UPDATE runs AS run
SET platform_run_id = COALESCE(run.platform_run_id, sent.platform_run_id),
    state = CASE WHEN run.state = 'finished' THEN 'finished' ELSE 'sent' END,
    poll_at = CASE WHEN run.state <> 'finished' AND sent.poll_every IS NOT NULL
                   THEN COALESCE(run.poll_at, GREATEST(now(), run.scheduled_at) + sent.poll_every) END
FROM unnest(%s::uuid[], %s::text[], %s::interval[]) AS sent (id, platform_run_id, poll_every)
WHERE run.id = sent.id AND run.id = ANY(%s::uuid[])
RETURNING run.id, run.platform_run_id, sent.platform_run_id
"""
_RENAMED = b"""
UPDATE events AS event SET upstream_id = given.upstream_id
FROM unnest(%s::uuid[], %s::text[]) AS given (id, upstream_id)
WHERE event.id = given.id AND event.id = ANY(%s::uuid[])
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
WHERE id IN (
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


@dataclass(frozen=True, slots=True)
class Keyed:
    """A run and the key under which its platform is asked to start it."""

    platform: str
    task: str
    key: str
    run_id: UUID


@dataclass(frozen=True, slots=True)
class _Run:
    id: UUID
    event: EventRow
    pair_id: UUID | None
    task: ResolvedTask
    side: Side
    platform: str


async def open_pairs(
    conn: Connection,
    catalogue: ResolvedCatalogue,
    events: Sequence[EventRow],
    keyed: Sequence[Keyed] = (),
) -> None:
    """Write the runs that the events shall have, and for those that both sides get the pairs; count them once.

    Harmless to repeat, by anybody: ids are derived from the event's.

    Args:
        keyed: runs that are about to be started under a key, so that they can be found by it should the answer be
            lost.
    """
    children = await place(conn, catalogue, events)
    await _open_runs(conn, catalogue, events, children)
    keyed = [item for item in keyed if storable(item.key)]  # a longer one is sent, but can't be searched
    if keyed:
        await conn.execute(
            _KEYS,
            (
                [item.platform for item in keyed],
                [key_alias(item.task, item.key) for item in keyed],
                [item.run_id for item in keyed],
            ),
        )
    await _open_pairs(conn, catalogue, events, children)


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
    started = await _valid(conn, started)
    if not started:
        return
    loaded = await load_events(conn, {item.event_id for item in started})
    events = await with_parents(conn, catalogue, sorted(loaded, key=lambda event: event.id), said or {})
    stored = {event.id: event for event in events}
    children = await place(conn, catalogue, events)
    await _open_runs(conn, catalogue, events, children)
    sent = [(run, item) for item in started for run in _started_runs(catalogue, stored, item, children)]
    incomparable = await _mark_sent(conn, catalogue, sent)
    await _mark_renamed(conn, stored, started)
    await conn.execute(_DONE, ([item.dispatch_id for item in started if item.dispatch_id is not None],))
    await _delete_unnamed(conn, [item for item in started if item.dispatch_id is None])
    released = await _release(conn, catalogue, stored)
    if incomparable.due:  # runs whose end was told before their start
        await look_again(conn, stored)
    # A call is an emission once its platform has taken it: what was refused has called for nothing.
    emitted = [event for event in events if event.door in (Door.TRIGGER, Door.PLATFORM)]
    await note_emissions(conn, catalogue, emitted, said, placed=True)
    await _open_pairs(conn, catalogue, events, children)
    await adoption.disturb(conn, incomparable)
    if released:
        await conn.execute(b"NOTIFY shadow_dispatches")


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
        await conn.execute(_LOOK_AGAIN, (sorted(events),))
        await conn.execute(_LOOK_AGAIN_AT_CHILDREN, {"events": sorted(events)})


def tasks_of(catalogue: ResolvedCatalogue, event: EventRow) -> list[ResolvedTask]:
    """The tasks that the event feeds."""
    return fed(catalogue, event.name, event.source, event.origin, event.task)


def sides_of(event: EventRow) -> tuple[Side, ...]:
    """The sides that get the event: what was decided when it was accepted, or the side of the worker it is from.

    An event that a run emitted goes to one side only; its twin is another event, see `causes/children.py`.
    """
    if event.sides is not None:
        return tuple(Side(side) for side in event.sides)
    decision = event.decision
    if decision is None:
        return ()
    return decision.sides if event.origin == Origin.PRODUCER else (Side(event.origin),)


def started_tasks(
    catalogue: ResolvedCatalogue, event: EventRow, side: Side, platform: str, task: str | None
) -> list[ResolvedTask]:
    """The tasks that a dispatch starts: the one that it names, or all that the candidate's platform fans out to."""
    return [
        one
        for one in tasks_of(catalogue, event)
        if platform == (one.legacy.platform if side is Side.LEGACY else one.candidate.platform)
        and task in (None, one.id)
    ]


def patience_of(
    catalogue: ResolvedCatalogue, event: EventRow, side: Side, platform: str, task: str | None
) -> timedelta | None:
    """How long, from the event's start, a dispatch waits for its twins to settle at most; None: it does not wait."""
    is_beside = is_second(side, Side(event.authority) if event.authority else None, sides_of(event))
    if not is_beside and not _follows(event, side):
        return None
    return sequence_patience(started_tasks(catalogue, event, side, platform, task))


def _follows(event: EventRow, side: Side) -> bool:
    """Whether it is a child without authority, whose twin, another event, has it."""
    if event.parent_run is None or event.authority is not None:
        return False
    if event.origin != side.value or event.origin == Origin.PRODUCER:
        return False
    cause = Cause(Origin(event.origin), ParentAuthority.NONE, Purpose(event.purpose))
    return waits_for_its_twin(cause, event.decision)


def _deadline(catalogue: ResolvedCatalogue, event: EventRow, task: ResolvedTask) -> datetime:
    """When a side without an outcome is missing. A run that starts after its twin has as long as that for itself."""
    waits = [
        patience_of(catalogue, event, Side.LEGACY, task.legacy.platform, task.id),
        patience_of(catalogue, event, Side.CANDIDATE, task.candidate.platform, None),
    ]
    return event.starts_at + task.deadline + max((wait for wait in waits if wait is not None), default=timedelta(0))


def _runs(catalogue: ResolvedCatalogue, event: EventRow, children: Mapping[UUID, Child]) -> list[_Run]:
    sides, child = sides_of(event), children.get(event.id)
    runs = []
    for task in tasks_of(catalogue, event):
        pair = derived_id(event.id, task.id) if len(sides) == len(Side) else None
        if child is not None and child.paired:
            pair = child.pair(task.id)
        for side in sides:
            platform = task.legacy.platform if side is Side.LEGACY else task.candidate.platform
            runs.append(_Run(derived_id(event.id, task.id, side), event, pair, task, side, platform))
    return runs


async def _open_runs(
    conn: Connection, catalogue: ResolvedCatalogue, events: Iterable[EventRow], children: Mapping[UUID, Child]
) -> None:
    runs = [run for event in events for run in _runs(catalogue, event, children)]
    if not runs:
        return
    cursor = await conn.execute(
        _OPEN_RUNS,
        (
            [run.id for run in runs],
            [run.event.id for run in runs],
            [run.pair_id for run in runs],
            [run.task.id for run in runs],
            [run.side.value for run in runs],
            [run.platform for run in runs],
            ["real" if run.side == run.event.authority else "none" for run in runs],
            [run.event.scheduled_at for run in runs],
            [run.event.parent_run for run in runs],
        ),
    )
    opened = {row[0] for row in await cursor.fetchall()}
    await _note_keys(conn, [run for run in runs if run.id in opened and run.task.business_keys])


async def _note_keys(conn: Connection, runs: Sequence[_Run]) -> None:
    """Keep by which values of their events these runs are known, should a call not name its run."""
    if not runs:
        return
    originals = await load_originals(conn, {run.event.id for run in runs})
    await note_keys(
        conn,
        [
            KeyedRun(
                run.id,
                run.side,
                run.task.business_keys,
                originals.get(run.event.id, Originals()).parts.get("data", b""),
            )
            for run in runs
        ],
    )


async def _open_pairs(
    conn: Connection, catalogue: ResolvedCatalogue, events: Iterable[EventRow], children: Mapping[UUID, Child]
) -> None:
    """Last in a transaction: the rows of the tallies are everybody's."""
    runs = [run for event in events for run in _runs(catalogue, event, children) if run.pair_id is not None]
    opened = await open_child_pairs(
        conn, [_child_pair(run, children[run.event.id]) for run in runs if run.event.id in children]
    )
    pairs = [
        (run.pair_id, run.event, run.task) for run in runs if run.event.id not in children and run.side is Side.LEGACY
    ]
    if pairs:
        await _open_whole(conn, catalogue, pairs)
    await count_opened(conn, opened)


def _child_pair(run: _Run, child: Child) -> ChildPair:
    assert run.pair_id is not None, "chosen by the caller"
    # The twin may be emitted for as long as its own parent may run.
    deadline = max(run.event.starts_at, child.parent_deadline) + run.task.deadline
    return ChildPair(
        run.pair_id, child.parent_pair, run.event, run.task.id, run.side, run.id, deadline, child.incomparable
    )


async def _open_whole(
    conn: Connection, catalogue: ResolvedCatalogue, pairs: Sequence[tuple[UUID | None, EventRow, ResolvedTask]]
) -> None:
    """Pairs of events that both sides get."""
    await conn.execute(
        _OPEN_PAIRS,
        {
            "id": [pair for pair, _event, _task in pairs],
            "event_id": [event.id for _pair, event, _task in pairs],
            "task": [task.id for _pair, _event, task in pairs],
            "tenant": [event.tenant for _pair, event, _task in pairs],
            "legacy_run": [derived_id(event.id, task.id, Side.LEGACY) for _pair, event, task in pairs],
            "candidate_run": [derived_id(event.id, task.id, Side.CANDIDATE) for _pair, event, task in pairs],
            "deadline_at": [_deadline(catalogue, event, task) for _pair, event, task in pairs],
            "starts_at": [event.counts_from for _pair, event, _task in pairs],
            "day": [event.accepted_at.astimezone(UTC).date() for _pair, event, _task in pairs],
            "owner": [event.tenant or "" for _pair, event, _task in pairs],
        },
    )


async def _valid(conn: Connection, started: Sequence[Started]) -> list[Started]:
    """Those whose lease still holds; a door's have none and hold always."""
    leased = [item for item in started if item.lease is not None]
    if not leased:
        return list(started)
    cursor = await conn.execute(_VALID, ([item.dispatch_id for item in leased], [item.lease for item in leased]))
    valid = {row[0] for row in await cursor.fetchall()}
    lost = sum(item.dispatch_id not in valid for item in leased)
    if lost:
        log.info("fanout.lease_lost", dispatches=lost)
    return [item for item in started if item.lease is None or item.dispatch_id in valid]


def _started_runs(
    catalogue: ResolvedCatalogue, stored: dict[UUID, EventRow], item: Started, children: Mapping[UUID, Child]
) -> Iterable[_Run]:
    event = stored.get(item.event_id)
    if event is None:
        return []
    return [
        run
        for run in _runs(catalogue, event, children)
        if run.side == item.side and run.platform == item.platform and (item.task is None or run.task.id == item.task)
    ]


async def _mark_sent(
    conn: Connection, catalogue: ResolvedCatalogue, sent: Sequence[tuple[_Run, Started]]
) -> adoption.Disturbed:
    """Write the runs' platform ids and when to ask for them first."""
    ids = sorted({run.id for run, _item in sent})
    if not ids:
        return adoption.Disturbed()
    await conn.execute(_LOCK_RUNS, (ids,))
    cursor = await conn.execute(
        _SENT,
        (
            [run.id for run, _item in sent],
            [item.platform_run_id for _run, item in sent],
            [_poll_every(catalogue, run.platform) for run, _item in sent],
            ids,
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
        await conn.execute(_RENAMED, (list(renamed), list(renamed.values()), sorted(renamed)))


async def _delete_unnamed(conn: Connection, started: Sequence[Started]) -> None:
    if not started:
        return
    await conn.execute(
        _DONE_UNNAMED,
        (
            [item.event_id for item in started],
            [item.side.value for item in started],
            [item.platform for item in started],
            [item.task for item in started],
            sorted({item.event_id for item in started}),
        ),
    )
