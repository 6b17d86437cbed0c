"""The runs and pairs that an event shall have: which they are, and writing them down before any platform is called.

Locks are taken in the order that `fanout/handoff.py` says.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID
from weakref import WeakKeyDictionary

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import Origin, Side
from shadow.causes.authority import Cause, ParentAuthority, Purpose, waits_for_its_twin
from shadow.causes.children import Child, place
from shadow.causes.pairs import ChildPair, count_opened, open_child_pairs
from shadow.effects.business_keys import KeyedRun, note_keys
from shadow.fanout.stored_events import Originals, load_originals
from shadow.intake.plan import fed, is_second, sequence_patience
from shadow.intake.storable import storable
from shadow.model.alias import key_alias
from shadow.model.ids import derived_id
from shadow.platforms.event import EventRow
from shadow.store.database import Connection

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
_MOST_SHAPES = 4096


@dataclass(frozen=True, slots=True)
class Keyed:
    """A run and the key under which its platform is asked to start it."""

    platform: str
    task: str
    key: str
    run_id: UUID


@dataclass(frozen=True, slots=True)
class Run:
    """One that an event shall have."""

    id: UUID
    event: EventRow
    pair_id: UUID | None
    task: ResolvedTask
    side: Side
    platform: str


@dataclass(frozen=True, slots=True)
class _Shape:
    """What events that are alike shall have of one task."""

    task: ResolvedTask
    platforms: tuple[tuple[Side, str], ...]
    is_whole: bool
    """Whether both sides get the event."""
    grace: timedelta
    """From its start until a side without an outcome is missing."""


_SHAPES: WeakKeyDictionary[ResolvedCatalogue, dict[tuple[object, ...], tuple[_Shape, ...]]] = WeakKeyDictionary()
"""Of each catalogue; thousands of events a second are of few shapes."""


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
    runs = runs_of(catalogue, events, children)
    await open_runs(conn, runs)
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
    await open_pairs_of(conn, catalogue, runs, children)


def runs_of(catalogue: ResolvedCatalogue, events: Iterable[EventRow], children: Mapping[UUID, Child]) -> list[Run]:
    """The runs that the events shall have.

    Args:
        children: those of them whose parents have pairs.
    """
    runs = []
    for event in events:
        child = children.get(event.id)
        for shape in _shapes(catalogue, event):
            task = shape.task
            pair = derived_id(event.id, task.id) if shape.is_whole else None
            if child is not None and child.paired:
                pair = child.pair(task.id)
            for side, platform in shape.platforms:
                runs.append(Run(derived_id(event.id, task.id, side), event, pair, task, side, platform))
    return runs


def _shapes(catalogue: ResolvedCatalogue, event: EventRow) -> tuple[_Shape, ...]:
    known = _SHAPES.get(catalogue)
    if known is None:
        known = _SHAPES[catalogue] = {}
    sides, decided = event.sides, event.decided
    alike = (
        event.name,
        event.source,
        event.origin,
        event.task,
        event.authority,
        None if sides is None else tuple(sides),
        event.route,
        event.phase,
        None if decided is None else tuple(decided),
        event.purpose,
        event.parent_run is None,
    )
    shapes = known.get(alike)
    if shapes is None:
        if len(known) >= _MOST_SHAPES:
            known.clear()
        shapes = known[alike] = tuple(_shape(catalogue, event, task) for task in tasks_of(catalogue, event))
    return shapes


def _shape(catalogue: ResolvedCatalogue, event: EventRow, task: ResolvedTask) -> _Shape:
    sides = sides_of(event)
    platforms = {Side.LEGACY: task.legacy.platform, Side.CANDIDATE: task.candidate.platform}
    # A run that starts after its twin has as long as that for itself.
    waits = [
        patience_of(catalogue, event, Side.LEGACY, task.legacy.platform, task.id),
        patience_of(catalogue, event, Side.CANDIDATE, task.candidate.platform, None),
    ]
    grace = task.deadline + max((wait for wait in waits if wait is not None), default=timedelta(0))
    return _Shape(task, tuple((side, platforms[side]) for side in sides), len(sides) == len(Side), grace)


def _deadline(catalogue: ResolvedCatalogue, event: EventRow, task: ResolvedTask) -> datetime:
    """When a side without an outcome is missing."""
    grace = next(shape.grace for shape in _shapes(catalogue, event) if shape.task is task)
    return event.starts_at + grace


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


async def open_runs(conn: Connection, runs: Sequence[Run]) -> None:
    """Write them down; those that are there stay as they are."""
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


async def _note_keys(conn: Connection, runs: Sequence[Run]) -> None:
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


async def open_pairs_of(
    conn: Connection, catalogue: ResolvedCatalogue, runs: Iterable[Run], children: Mapping[UUID, Child]
) -> None:
    """Write down the pairs of these runs. Last in a transaction: the rows of the tallies are everybody's."""
    paired = [run for run in runs if run.pair_id is not None]
    opened = await open_child_pairs(
        conn, [_child_pair(run, children[run.event.id]) for run in paired if run.event.id in children]
    )
    await _open_whole(conn, catalogue, [run for run in paired if run.event.id not in children])
    await count_opened(conn, opened)


def _child_pair(run: Run, child: Child) -> ChildPair:
    assert run.pair_id is not None, "chosen by the caller"
    # The twin may be emitted for as long as its own parent may run.
    deadline = max(run.event.starts_at, child.parent_deadline) + run.task.deadline
    return ChildPair(
        run.pair_id, child.parent_pair, run.event, run.task.id, run.side, run.id, deadline, child.incomparable
    )


async def _open_whole(conn: Connection, catalogue: ResolvedCatalogue, runs: Sequence[Run]) -> None:
    """Pairs of events that both sides get."""
    twins = {run.pair_id: run.id for run in runs if run.side is Side.CANDIDATE}
    legacy = [run for run in runs if run.side is Side.LEGACY]
    if not legacy:
        return
    events = [run.event for run in legacy]
    await conn.execute(
        _OPEN_PAIRS,
        {
            "id": [run.pair_id for run in legacy],
            "event_id": [event.id for event in events],
            "task": [run.task.id for run in legacy],
            "tenant": [event.tenant for event in events],
            "legacy_run": [run.id for run in legacy],
            "candidate_run": [twins[run.pair_id] for run in legacy],
            "deadline_at": [_deadline(catalogue, run.event, run.task) for run in legacy],
            "starts_at": [event.counts_from for event in events],
            "day": [event.accepted_at.astimezone(UTC).date() for event in events],
            "owner": [event.tenant or "" for event in events],
        },
    )


def is_plain(event: EventRow) -> bool:
    """Whether a producer sent it: nothing that is learned later changes which runs and pairs it shall have."""
    return event.origin == Origin.PRODUCER and event.parent_run is None


def is_settled(catalogue: ResolvedCatalogue, event: EventRow) -> bool:
    """Whether it shall have runs, and for ever the same. One that has none may be a webhook that could not be mapped:
    it is passed on all the same, and may be understood later."""
    return is_plain(event) and any(shape.platforms for shape in _shapes(catalogue, event))


class Openings:
    """Of which plain events this process has opened the runs and pairs, or is about to: lanes of both sides claim the
    dispatches of the same events at about the same time, and one of them is enough."""

    def __init__(self, *, most: int = 50_000) -> None:
        """
        Args:
            most: events that are remembered.
        """
        self._most = most
        self._done: OrderedDict[UUID, None] = OrderedDict()
        self._under_way: dict[UUID, asyncio.Future[bool]] = {}

    def begin(self, events: Iterable[UUID]) -> tuple[set[UUID], dict[UUID, asyncio.Future[bool]]]:
        """Of these events those that are the caller's to open, who then has to `end`; and those that another is
        opening, with what tells whether that went well. The rest have been opened."""
        mine: set[UUID] = set()
        theirs: dict[UUID, asyncio.Future[bool]] = {}
        for event in events:
            if event in self._done:
                continue
            other = self._under_way.get(event)
            if other is None:
                mine.add(event)
            else:
                theirs[event] = other
        if mine:
            telling: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            for event in mine:
                self._under_way[event] = telling
        return mine, theirs

    def end(self, mine: Iterable[UUID], *, well: bool) -> None:
        """What was begun is committed, or is not."""
        for event in mine:
            telling = self._under_way.pop(event)
            if well:
                self._done[event] = None
            if not telling.done():
                telling.set_result(well)
        while len(self._done) > self._most:
            self._done.popitem(last=False)
