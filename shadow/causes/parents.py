"""The run that emitted what a worker's key brought: from what the worker says of itself to a run of ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import HttpPlatform, InngestPlatform, Side
from shadow.causes.authority import ParentAuthority, Purpose
from shadow.intake.storable import storable_or_none
from shadow.model.ids import derived_id
from shadow.model.run_names import may_be, needs_proof
from shadow.store.database import Connection, Database, Work
from shadow.store.rounds import Rounds

log = structlog.get_logger(__name__)

PAUSES = (0.03, 0.1, 0.25, 0.6, 1.0)
"""Seconds between looks for a run that is not known: a worker may begin before the answer that started its run is
written down."""
_UNASKED = 3
"""After so many of them the candidate's platform is asked."""
_KNOWN_SECONDS = 300.0
_UNKNOWN_SECONDS = 5.0
"""How long nobody asks again. A run's authority never changes; one that is unknown may become known."""
_MOST = 20_000
_DELIVERIES = 20

_COLUMNS = """
run.side, run.id, run.authority, run.task, run.event_id, COALESCE(event.purpose, 'live'), run.decided,
COALESCE(event.ramp_key, event.tenant),
run.platform_run_id, event.upstream_id
"""
_BY_ALIAS = f"""
SELECT known.alias, {_COLUMNS} FROM run_aliases AS known JOIN runs AS run ON run.id = known.run_id
LEFT JOIN events AS event ON event.id = run.event_id
WHERE known.alias = ANY(%s::text[]) AND known.platform = ANY(%s::text[])
"""  # noqa: S608  # of constants
_BY_ID = f"""
SELECT {_COLUMNS} FROM runs AS run LEFT JOIN events AS event ON event.id = run.event_id WHERE run.id = ANY(%s::uuid[])
"""  # noqa: S608  # of constants
_EVENTS = "SELECT delivery_id, id FROM events WHERE delivery_id = ANY(%s::text[]) ORDER BY id DESC"


@dataclass(frozen=True, slots=True)
class Told:
    """What a request says of the run that makes it."""

    run: str | None = None
    """As the platform names it."""
    task: str | None = None
    event: str | None = None
    """The id of the event that started it, as it saw it."""

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Told:
        """Of the headers that client packages add."""
        return cls(
            storable_or_none(headers.get("x-shadow-run")),
            storable_or_none(headers.get("x-shadow-task")),
            storable_or_none(headers.get("x-shadow-event")),
        )

    def __bool__(self) -> bool:
        return self.run is not None or self.event is not None


NOTHING = Told()


@dataclass(frozen=True, slots=True)
class Parent:
    """A run that emitted something, as far as it is known."""

    run_id: UUID | None
    authority: ParentAuthority
    purpose: Purpose = Purpose.LIVE
    ramp_key: str | None = None
    """By which a ramp decided about the event that it is a run of: what it emits inherits it."""


UNKNOWN = Parent(None, ParentAuthority.UNKNOWN)

AskPlatform = Callable[[Side, Told], Awaitable[UUID | None]]
"""Has the platform say which run it is; see `discovery.py`."""


class Parents:
    """Looks parents up, and remembers them for a while."""

    def __init__(self, catalogue: ResolvedCatalogue, database: Database, ask: AskPlatform | None = None) -> None:
        self._catalogue = catalogue
        self._database = database
        self._ask = ask
        self._lookups = Rounds(self._known)
        self._remembered: dict[tuple[tuple[Side, ...], Told], tuple[float, tuple[Side, Parent] | None]] = {}

    async def find(self, side: Side, told: Told) -> Parent:
        """The run of that side which says this of itself.

        Raises:
            psycopg.Error: the database is away.
        """
        if not told:
            return UNKNOWN
        found = await self._found((side,), told)
        return found[1] if found is not None else UNKNOWN

    async def of_any_side(self, told: Told) -> tuple[Side, Parent] | None:
        """The run of either side that says this of itself; None while nobody knows it.

        Raises:
            psycopg.Error: the database is away.
        """
        return await self._found(tuple(Side), told)

    async def _found(self, sides: tuple[Side, ...], told: Told) -> tuple[Side, Parent] | None:
        remembered = self._remembered.get((sides, told))
        if remembered is not None and time.monotonic() < remembered[0]:
            return remembered[1]
        found = await self._look(sides, told, PAUSES[:_UNASKED])
        if found is None and self._ask is not None and Side.CANDIDATE in sides:
            # Its platform alone can tell a first run from a rerun; legacy's are named by the doors that start them.
            found = await self._asked((Side.CANDIDATE,), told)
        if found is None:
            found = await self._look(sides, told, PAUSES[_UNASKED:])
        if found is None and self._ask is not None:
            found = await self._asked(sides, told)
        if len(self._remembered) >= _MOST:
            self._remembered.clear()
        lifetime = _UNKNOWN_SECONDS if found is None else _KNOWN_SECONDS
        self._remembered[sides, told] = (time.monotonic() + lifetime, found)
        if found is None:
            log.info("causes.parent_unknown", sides=[side.value for side in sides], run=told.run, task=told.task)
        return found

    async def _known(self, wanted: Sequence[tuple[Side, Told]]) -> list[Parent | None]:
        async with self._database.connection(Work.CAUSES) as connection:
            return await known_parents(connection, self._catalogue, wanted)

    async def _look(self, sides: tuple[Side, ...], told: Told, pauses: Sequence[float]) -> tuple[Side, Parent] | None:
        for pause in (*pauses, None):
            parents = [(side, await self._lookups.ask((side, told))) for side in sides]
            found = [(side, parent) for side, parent in parents if parent is not None]
            if len(found) == 1:  # an event has a run on either side: by it alone, nobody knows which is meant
                return found[0]
            if pause is not None:
                await asyncio.sleep(pause)
        return None

    async def _asked(self, sides: tuple[Side, ...], told: Told) -> tuple[Side, Parent] | None:
        for side in sides:
            parent = await self._asked_of(side, told)
            if parent is not None:
                return side, parent
        return None

    async def _asked_of(self, side: Side, told: Told) -> Parent | None:
        assert self._ask is not None
        try:
            run_id = await self._ask(side, told)
        except psycopg.Error:
            raise
        except Exception as error:  # whatever a platform does, its parent is unknown then
            log.warning("causes.platform_unasked", side=side.value, error=type(error).__name__)
            return None
        if run_id is None:
            return None
        async with self._database.connection(Work.CAUSES) as connection:
            return await parent_by_id(connection, run_id)


async def known_parents(
    conn: Connection, catalogue: ResolvedCatalogue, wanted: Sequence[tuple[Side, Told]]
) -> list[Parent | None]:
    """The runs as the database knows them now: by the platform's id for each, else by the event that it says started
    it."""
    names = sorted({told.run for _side, told in wanted if told.run is not None})
    cursor = await conn.execute(_BY_ALIAS.encode(), (names, list(catalogue.platforms)))
    by_name = {(row[1], row[0]): _parent(row[1:]) for row in await cursor.fetchall()}
    parents = [by_name.get((side.value, told.run)) if told.run is not None else None for side, told in wanted]
    rest = [index for index, parent in enumerate(parents) if parent is None and wanted[index][1].event is not None]
    if not rest:
        return parents
    cursor = await conn.execute(_EVENTS.encode(), (sorted({wanted[index][1].event or "" for index in rest}),))
    events: dict[str, list[UUID]] = {}
    for delivery_id, event_id in await cursor.fetchall():
        events.setdefault(delivery_id, []).append(event_id)
    runs: dict[int, list[UUID]] = {}
    for index in rest:
        side, told = wanted[index]
        tasks = tasks_named(catalogue, told.task)
        runs[index] = [
            derived_id(event, task.id, side)
            for event in events.get(told.event or "", [])[:_DELIVERIES]
            for task in tasks
            if side is Side.CANDIDATE or _goes_by_its_event(catalogue, task)
        ]
    cursor = await conn.execute(_BY_ID.encode(), ([run for ids in runs.values() for run in ids],))
    by_id = {row[1]: row for row in await cursor.fetchall()}
    for index, ids in runs.items():  # of several events with one id the newest
        said = wanted[index][1].run
        rows = [by_id[run] for run in ids if run in by_id and _is_the_one(by_id[run], said)]
        parents[index] = _parent(rows[0]) if rows else None
    return parents


async def known_parent(conn: Connection, catalogue: ResolvedCatalogue, side: Side, told: Told) -> Parent | None:
    """As `known_parents`, of one."""
    return (await known_parents(conn, catalogue, [(side, told)]))[0]


async def parent_by_id(conn: Connection, run_id: UUID) -> Parent | None:
    """The run by our own id for it."""
    cursor = await conn.execute(_BY_ID.encode(), ([run_id],))
    row = await cursor.fetchone()
    return _parent(row) if row is not None else None


def tasks_named(catalogue: ResolvedCatalogue, name: str | None) -> list[ResolvedTask]:
    """The tasks that a worker may mean by that: the catalogue's id, a function's slug or id, or legacy's task id."""
    if name is None:
        return []
    apps = {
        f"{platform.app}-{name}" for platform in catalogue.platforms.values() if isinstance(platform, InngestPlatform)
    }
    return [
        task
        for task in catalogue.tasks.values()
        if name in (task.id, task.legacy.task, task.candidate.function) or task.candidate.function in apps
    ]


def _goes_by_its_event(catalogue: ResolvedCatalogue, task: ResolvedTask) -> bool:
    """Whether legacy's runs of that task have no other name: those of a plain HTTP endpoint. Of others a candidate's
    worker with a key of legacy's, or of a producer's, would pass for its twin."""
    return isinstance(catalogue.platforms[task.legacy.platform], HttpPlatform)


def _is_the_one(row: Sequence[Any], said: str | None) -> bool:
    """Whether the run of that event and task is the one that a worker means, as far as its name tells."""
    _side, _id, authority, *_rest, name, upstream = row
    return may_be(name, said) and not (authority == "real" and needs_proof(name, said, upstream))


def _parent(row: Sequence[Any]) -> Parent:
    """A run that nothing of ours started (a cron's, one from a dashboard, a second one for its event) has no authority
    on record, and yet may be what its side has always done: nobody knows."""
    side, run_id, authority, task, event_id, purpose, decided, key, _name, _upstream = row
    expected = event_id is not None and derived_id(event_id, task, side) == run_id
    # The gateway decides about such a run when it calls out, and writes that down (`egress/unsolicited.py`).
    known = expected or decided
    return Parent(run_id, ParentAuthority(authority) if known else ParentAuthority.UNKNOWN, Purpose(purpose), key)
