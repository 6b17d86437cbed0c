"""The run that emitted what a worker's key brought: from what the worker says of itself to a run of ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import InngestPlatform, Side
from shadow.causes.authority import ParentAuthority, Purpose
from shadow.intake.storable import storable_or_none
from shadow.model.ids import derived_id
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

PAUSES = (0.03, 0.1, 0.25, 0.6)
"""Seconds between looks for a run that is not known: a worker may begin before the answer that started its run is
written down."""
_KNOWN_SECONDS = 300.0
_UNKNOWN_SECONDS = 30.0
"""How long nobody asks again. A run's authority never changes; one that is unknown may become known."""
_MOST = 20_000
_DELIVERIES = 20

_COLUMNS = """
SELECT run.id, run.authority, run.task, run.event_id, COALESCE(event.purpose, 'live'), run.parent_run IS NOT NULL
FROM runs AS run LEFT JOIN events AS event ON event.id = run.event_id
"""
_BY_ALIAS = f"""
{_COLUMNS} WHERE run.side = %(side)s
  AND run.id IN (SELECT run_id FROM run_aliases WHERE alias = %(alias)s AND platform = ANY(%(platforms)s))
"""  # noqa: S608  # of constants
_BY_ID = f"{_COLUMNS} WHERE run.id = ANY(%s::uuid[]) ORDER BY run.id DESC LIMIT 1"
_EVENTS = "SELECT id FROM events WHERE delivery_id = %s ORDER BY id DESC LIMIT %s"


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


UNKNOWN = Parent(None, ParentAuthority.UNKNOWN)

AskPlatform = Callable[[Side, Told], Awaitable[UUID | None]]
"""Has the platform say which run it is; see `discovery.py`."""


class Parents:
    """Looks parents up, and remembers them for a while."""

    def __init__(self, catalogue: ResolvedCatalogue, database: Database, ask: AskPlatform | None = None) -> None:
        self._catalogue = catalogue
        self._database = database
        self._ask = ask
        self._platforms = {
            side: [name for name, platform in catalogue.platforms.items() if platform.side is side] for side in Side
        }
        self._remembered: dict[tuple[Side, Told], tuple[float, Parent]] = {}

    async def find(self, side: Side, told: Told) -> Parent:
        """The run of that side which says this of itself.

        Raises:
            psycopg.Error: the database is away.
        """
        if not told:
            return UNKNOWN
        now = time.monotonic()
        remembered = self._remembered.get((side, told))
        if remembered is not None and now < remembered[0]:
            return remembered[1]
        parent = await self._look(side, told)
        if parent is None and self._ask is not None:
            parent = await self._asked(side, told)
        if len(self._remembered) >= _MOST:
            self._remembered.clear()
        lifetime = _UNKNOWN_SECONDS if parent is None else _KNOWN_SECONDS
        self._remembered[side, told] = (time.monotonic() + lifetime, parent or UNKNOWN)
        if parent is None:
            log.info("causes.parent_unknown", side=side.value, run=told.run, task=told.task)
        return parent or UNKNOWN

    async def of_any_side(self, told: Told) -> tuple[Side, Parent] | None:
        """The run of either side that says this of itself, if it is known by now.

        Raises:
            psycopg.Error: the database is away.
        """
        async with self._database.connection(Work.ACCEPT) as connection:
            for side in Side:
                parent = await known_parent(connection, self._catalogue, side, told, self._platforms[side])
                if parent is not None:
                    return side, parent
        return None

    async def _look(self, side: Side, told: Told) -> Parent | None:
        for pause in (*PAUSES, None):
            async with self._database.connection(Work.ACCEPT) as connection:
                parent = await known_parent(connection, self._catalogue, side, told, self._platforms[side])
            if parent is not None or pause is None:
                return parent
            await asyncio.sleep(pause)
        return None

    async def _asked(self, side: Side, told: Told) -> Parent | None:
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
        async with self._database.connection(Work.ACCEPT) as connection:
            return await parent_by_id(connection, side, run_id)


async def known_parent(
    conn: Connection, catalogue: ResolvedCatalogue, side: Side, told: Told, platforms: list[str]
) -> Parent | None:
    """The run as the database knows it now: by the platform's id for it, else by the event that it says started it."""
    if told.run is not None:
        wanted = {"side": side.value, "alias": told.run, "platforms": platforms}
        cursor = await conn.execute(_BY_ALIAS.encode(), wanted)
        if (row := await cursor.fetchone()) is not None:
            return _parent(side, row)
    if told.event is None:
        return None
    tasks = tasks_named(catalogue, told.task)
    if not tasks:
        return None
    cursor = await conn.execute(_EVENTS.encode(), (told.event, _DELIVERIES))
    runs = [derived_id(row[0], task.id, side) for row in await cursor.fetchall() for task in tasks]
    cursor = await conn.execute(_BY_ID.encode(), (runs,))
    row = await cursor.fetchone()
    return _parent(side, row) if row is not None else None


async def parent_by_id(conn: Connection, side: Side, run_id: UUID) -> Parent | None:
    """The run of that side by our own id for it."""
    cursor = await conn.execute(_BY_ID.encode(), ([run_id],))
    row = await cursor.fetchone()
    return _parent(side, row) if row is not None else None


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


def _parent(side: Side, row: tuple[UUID, str, str, UUID | None, str, bool]) -> Parent:
    """A run that nothing of ours started (a cron's, one from a dashboard, a second one for its event) has no authority
    on record, and yet may be what its side has always done: nobody knows."""
    run_id, authority, task, event_id, purpose, has_parent = row
    expected = event_id is not None and derived_id(event_id, task, side) == run_id
    # The gateway decides about such a run when it calls out, and writes that down (`egress/unsolicited.py`).
    expected = expected or (event_id is None and (authority == "real" or has_parent))
    return Parent(run_id, ParentAuthority(authority) if expected else ParentAuthority.UNKNOWN, Purpose(purpose))
