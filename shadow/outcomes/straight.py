"""Runs that candidate functions start inside Inngest, where no door sees it: learned of from the platform, or when such
a run ends.

Of an invocation (`step.invoke`) the event names the run that invoked. Of an event that was sent straight, the parent is
the run that has reported the emission (the client packages do, for events that pass no door), else the one parent whose
twin has a child of that task with the same data and no counterpart yet. What has neither is unsolicited, as ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import structlog

from comparators import fingerprint
from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import Side
from shadow.causes.children import identity_of
from shadow.causes.parents import Parent, Told, known_parent, parent_by_id
from shadow.effects.evidence import data_of_events
from shadow.effects.record import emitted_scope
from shadow.intake.storable import storable_or_none
from shadow.model.json_text import write_json
from shadow.outcomes.found import FoundRun, decisions_now, record_found
from shadow.outcomes.outcome import RunOutcome
from shadow.platforms.json_text import read_json
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

_OWN = "inngest/"
"""How the platform's own events begin."""
_INVOKED = "inngest/function.invoked"
_PLATFORM_DATA = "_inngest"
"""Where in an event's data the platform keeps its own (reference 3.1)."""
_AT_ONCE = timedelta(seconds=1)
"""An event of a time further ahead was to start its runs later."""
_PENDING = 200
"""Pairs of children without a counterpart that are looked through, newest first."""

_SELDOM, _OFTEN = 2, 6

_UNDER_WAY = b"SELECT FROM runs WHERE platform = %s AND poll_at IS NOT NULL AND state = 'sent' LIMIT 1"
_EVENTS = b"SELECT delivery_id FROM events WHERE delivery_id = ANY(%s::text[])"
_ALIASES = b"SELECT alias FROM run_aliases WHERE platform = %s AND alias = ANY(%s::text[])"
_REPORTED = b"""
SELECT effect.platform_run_id, effect.task, effect.run_id FROM dedupe_keys AS known
JOIN effects AS effect ON effect.id = known.event_id
WHERE known.scope = %s AND known.key = ANY(%s::text[])
"""
_LACKING = b"""
SELECT pair.event_id, parent.candidate_run, above.task
FROM pairs AS pair
JOIN pairs AS parent ON parent.id = pair.parent_pair
JOIN runs AS above ON above.id = parent.candidate_run
WHERE pair.task = %s AND pair.candidate_run = pair.id
ORDER BY pair.id DESC LIMIT %s
"""


Identify = Callable[[str], Awaitable[UUID | None]]
"""Finds the run of ours that the platform calls so, by asking it."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A run of the candidate's, as its platform tells of it."""

    platform: str
    run: str
    """As the platform names it."""
    function: str
    event_id: str
    """The id of the event that started it, as the run saw it."""
    event_name: str
    event_data: bytes
    """A JSON object."""
    triggered_at: datetime | None = None
    """The event's own time."""
    sent_at: datetime | None = None
    """When it arrived at the platform."""
    upstream_id: str | None = None
    """What the platform itself calls that event, where it was asked."""

    @classmethod
    def of(cls, outcome: RunOutcome) -> Begun | None:
        """The run of which an outcome tells; None where it does not tell what started it."""
        if outcome.function is None or outcome.trigger is None:
            return None
        if outcome.event_id is None or outcome.event_name is None:
            return None
        return cls(
            outcome.platform,
            outcome.platform_run_id,
            outcome.function,
            outcome.event_id,
            outcome.event_name,
            outcome.trigger,
            outcome.triggered_at,
            outcome.sent_at,
        )

    @property
    def is_invoked(self) -> bool:
        return self.event_name == _INVOKED

    @property
    def invoked_by(self) -> str | None:
        """The run whose step invoked it, as the platform names it; None for what was invoked from outside."""
        own = self._data().get(_PLATFORM_DATA)
        correlation = own.get("correlation_id") if isinstance(own, dict) else None
        if not isinstance(correlation, str):
            return None
        return storable_or_none(correlation.partition(".")[0])

    @property
    def data(self) -> bytes:
        """What it was given, without what the platform added."""
        if not self.is_invoked:
            return self.event_data
        return write_json({name: value for name, value in self._data().items() if name != _PLATFORM_DATA})

    def _data(self) -> dict[str, Any]:
        read = read_json(self.event_data)
        return read if isinstance(read, dict) else {}


async def take_in(
    database: Database, catalogue: ResolvedCatalogue, runs: Sequence[Begun], identify: Identify | None = None
) -> dict[Begun, int]:
    """Write down the events of those runs that candidate functions have started on their platform.

    Args:
        identify: names a run that invoked another and is not known by its name yet.

    Returns:
        those of which it is not known yet who started them, with how often they should be told again before they
        count as unsolicited: more than a little only where the sender may still be under way (a run that is not known
        says its own event when it ends, and what runs have sent is reported before they end).
    """
    strangers = await _strangers(database, catalogue, runs)
    if not strangers:
        return {}
    routing = await decisions_now(catalogue, database)
    pending = {}
    for run, task in strangers:
        parent, is_reported = await _parent(database, catalogue, run, task, identify)
        async with database.connection(Work.OUTCOMES) as conn:
            if parent is not None and parent.run_id is not None:
                await record_found(conn, catalogue, routing, [_found(catalogue, run, task, parent)])
            else:
                waits = is_reported or await _is_any_under_way(conn, run.platform)
                pending[run] = _OFTEN if waits else _SELDOM
    return pending


async def _strangers(
    database: Database, catalogue: ResolvedCatalogue, runs: Sequence[Begun]
) -> list[tuple[Begun, ResolvedTask]]:
    """Those of runs that are known neither by themselves nor by their events."""
    candidates = []
    for run in runs:
        task = catalogue.task_of_function(run.function)
        platform = catalogue.platforms.get(run.platform)
        if (
            task is not None
            and platform is not None
            and platform.side is Side.CANDIDATE
            and storable_or_none(run.event_id) is not None
            and (
                run.invoked_by is not None
                if run.is_invoked
                else run.event_name == task.event and not task.event.startswith(_OWN)
            )
        ):
            candidates.append((run, task))
    if not candidates:
        return []
    async with database.connection(Work.OUTCOMES) as conn:
        cursor = await conn.execute(_EVENTS, ([run.event_id for run, _task in candidates],))
        events = {row[0] for row in await cursor.fetchall()}
        rest = [(run, task) for run, task in candidates if run.event_id not in events]
        if not rest:
            return []
        cursor = await conn.execute(_ALIASES, (rest[0][0].platform, [run.run for run, _task in rest]))
        known = {row[0] for row in await cursor.fetchall()}
    return [(run, task) for run, task in rest if run.run not in known]


async def _parent(
    database: Database, catalogue: ResolvedCatalogue, run: Begun, task: ResolvedTask, identify: Identify | None
) -> tuple[Parent | None, bool]:
    """The run that started it, and whether that has been said."""
    async with database.connection(Work.OUTCOMES) as conn:
        if not run.is_invoked:
            return await _sender(conn, catalogue, run, task)
        invoking = run.invoked_by or ""
        parent = await known_parent(conn, catalogue, Side.CANDIDATE, Told(invoking))
    if parent is None and identify is not None and (known := await identify(invoking)) is not None:
        async with database.connection(Work.OUTCOMES) as conn:
            parent = await parent_by_id(conn, known)
    return parent, True


async def _sender(
    conn: Connection, catalogue: ResolvedCatalogue, run: Begun, task: ResolvedTask
) -> tuple[Parent | None, bool]:
    """The run that sent the event, and whether one has said that it did."""
    cursor = await conn.execute(_REPORTED, (emitted_scope(Side.CANDIDATE), [run.event_id]))
    row = await cursor.fetchone()
    if row is None:
        return await _lacking(conn, catalogue, run, task), False
    name, of_task, run_id = row
    if run_id is not None:
        return await parent_by_id(conn, run_id), True
    return await known_parent(conn, catalogue, Side.CANDIDATE, Told(name, of_task)), True


async def _is_any_under_way(conn: Connection, platform: str) -> bool:
    cursor = await conn.execute(_UNDER_WAY, (platform,))
    return await cursor.fetchone() is not None


async def _lacking(conn: Connection, catalogue: ResolvedCatalogue, run: Begun, task: ResolvedTask) -> Parent | None:
    """The one run whose twin has emitted the like of it, where its own emission is missing; None where several have."""
    data = read_json(run.data)
    cursor = await conn.execute(_LACKING, (task.id, _PENDING))
    same: set[UUID] = set()
    alike: set[UUID] = set()
    lacking = await cursor.fetchall()
    known = await data_of_events(conn, {row[0] for row in lacking})
    for event, parent, of_task in lacking:
        if event not in known:
            continue
        theirs = orjson.loads(known[event])
        if fingerprint(theirs) == fingerprint(data):
            same.add(parent)
        identity = identity_of(catalogue, of_task, task.event, theirs)
        if identity and identity == identity_of(catalogue, of_task, task.event, data):
            alike.add(parent)
    for parents in (same, alike):
        if len(parents) == 1:
            return await parent_by_id(conn, parents.pop())
        if parents:
            log.info("causes.parent_ambiguous", task=task.id, run=run.run, parents=len(parents))
            return None
    return None


def _found(catalogue: ResolvedCatalogue, run: Begun, task: ResolvedTask, parent: Parent) -> FoundRun:
    data = run.data
    tenants = [
        tenant
        for source in task.sources
        if (settings := catalogue.sources.get(source)) is not None and settings.kind != "webhook"
        if (tenant := catalogue.tenant_of(source, orjson.loads(data))) is not None
    ]
    later = run.triggered_at is not None and run.sent_at is not None and run.triggered_at > run.sent_at + _AT_ONCE
    return FoundRun(
        platform=run.platform,
        platform_run_id=run.run,
        side=Side.CANDIDATE,
        task=task,
        parent=parent,
        data=data,
        tenant=storable_or_none(tenants[0]) if tenants else None,
        event_id=run.event_id,
        is_alone=run.is_invoked,
        occurred_at=run.sent_at or run.triggered_at,
        scheduled_at=run.triggered_at if later else None,
    )
