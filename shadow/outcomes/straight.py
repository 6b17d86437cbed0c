"""Events that candidate functions send straight to Inngest, where no door sees them: learned when a run ends that an
event started which nobody knows.

Its parent is the run that has reported the emission (the client packages do, for events that pass no door), else the
one parent whose twin has a child of that task with the same data and no counterpart yet. What has neither is
unsolicited, as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
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
from shadow.outcomes.found import FoundRun, decisions_now, record_found
from shadow.outcomes.outcome import RunOutcome
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

_OWN = "inngest/"
"""How the platform's own events begin: crons and invocations are not emitted."""
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


async def take_in(
    database: Database, catalogue: ResolvedCatalogue, outcomes: Sequence[RunOutcome]
) -> dict[RunOutcome, int]:
    """Write down the events of those runs that candidate functions have started by sending them straight away.

    Returns:
        those of which it is not known yet who sent the event, with how often they should be told again before they
        count as unsolicited: more than a little only where the sender may still be under way (a run that is not known
        says its own event when it ends, and what runs have sent is reported before they end).
    """
    strangers = await _strangers(database, catalogue, outcomes)
    if not strangers:
        return {}
    routing = await decisions_now(catalogue, database)
    pending = {}
    for outcome, task in strangers:
        async with database.connection(Work.OUTCOMES) as conn:
            parent, is_reported = await _parent(conn, catalogue, outcome, task)
            if parent is not None and parent.run_id is not None:
                await record_found(conn, catalogue, routing, [_found(catalogue, outcome, task, parent)])
            else:
                waits = is_reported or await _is_any_under_way(conn, outcome.platform)
                pending[outcome] = _OFTEN if waits else _SELDOM
    return pending


async def _strangers(
    database: Database, catalogue: ResolvedCatalogue, outcomes: Sequence[RunOutcome]
) -> list[tuple[RunOutcome, ResolvedTask]]:
    """Those of runs that are known neither by themselves nor by their events."""
    candidates = []
    for outcome in outcomes:
        task = catalogue.task_of_function(outcome.function) if outcome.function else None
        platform = catalogue.platforms.get(outcome.platform)
        if (
            task is not None
            and platform is not None
            and platform.side is Side.CANDIDATE
            and outcome.trigger is not None
            and outcome.event_id is not None
            and storable_or_none(outcome.event_id) is not None
            and outcome.event_name == task.event
            and not task.event.startswith(_OWN)
        ):
            candidates.append((outcome, task))
    if not candidates:
        return []
    async with database.connection(Work.OUTCOMES) as conn:
        cursor = await conn.execute(_EVENTS, ([outcome.event_id for outcome, _task in candidates],))
        events = {row[0] for row in await cursor.fetchall()}
        rest = [(outcome, task) for outcome, task in candidates if outcome.event_id not in events]
        if not rest:
            return []
        cursor = await conn.execute(
            _ALIASES, (rest[0][0].platform, [outcome.platform_run_id for outcome, _task in rest])
        )
        runs = {row[0] for row in await cursor.fetchall()}
    return [(outcome, task) for outcome, task in rest if outcome.platform_run_id not in runs]


async def _parent(
    conn: Connection, catalogue: ResolvedCatalogue, outcome: RunOutcome, task: ResolvedTask
) -> tuple[Parent | None, bool]:
    """The run that sent the event, and whether one has said that it did."""
    cursor = await conn.execute(_REPORTED, (emitted_scope(Side.CANDIDATE), [outcome.event_id]))
    row = await cursor.fetchone()
    if row is None:
        return await _lacking(conn, catalogue, outcome, task), False
    name, of_task, run_id = row
    if run_id is not None:
        return await parent_by_id(conn, run_id), True
    return await known_parent(conn, catalogue, Side.CANDIDATE, Told(name, of_task)), True


async def _is_any_under_way(conn: Connection, platform: str) -> bool:
    cursor = await conn.execute(_UNDER_WAY, (platform,))
    return await cursor.fetchone() is not None


async def _lacking(
    conn: Connection, catalogue: ResolvedCatalogue, outcome: RunOutcome, task: ResolvedTask
) -> Parent | None:
    """The one run whose twin has emitted the like of it, where its own emission is missing; None where several have."""
    data = orjson.loads(outcome.trigger or b"{}")
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
            log.info("causes.parent_ambiguous", task=task.id, run=outcome.platform_run_id, parents=len(parents))
            return None
    return None


def _found(catalogue: ResolvedCatalogue, outcome: RunOutcome, task: ResolvedTask, parent: Parent) -> FoundRun:
    data = outcome.trigger or b"{}"
    tenants = [
        tenant
        for source in task.sources
        if (settings := catalogue.sources.get(source)) is not None and settings.kind != "webhook"
        if (tenant := catalogue.tenant_of(source, orjson.loads(data))) is not None
    ]
    at, sent = outcome.triggered_at, outcome.sent_at
    later = at is not None and sent is not None and at > sent + _AT_ONCE
    return FoundRun(
        platform=outcome.platform,
        platform_run_id=outcome.platform_run_id,
        side=Side.CANDIDATE,
        task=task,
        parent=parent,
        data=data,
        tenant=storable_or_none(tenants[0]) if tenants else None,
        event_id=outcome.event_id,
        occurred_at=sent or at,
        scheduled_at=at if later else None,
    )
