"""Runs that began without passing a door, because another run started them on its own platform: events after the fact.

The event is written as the door would have: with its parent, the authority that follows, its runs and its pair. Where
the other side is authoritative for its task, that side gets it as well, and the run that has begun here has no
authority.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.model import InngestPlatform, Origin, Side, TriggerPlatform
from shadow.causes.authority import Cause, lineage_of
from shadow.causes.parents import Parent
from shadow.cutover.routing import Routing
from shadow.fanout.handoff import Started, record_started
from shadow.intake.arrival import Descent, PlannedDispatch
from shadow.intake.plan import planned
from shadow.intake.ramp_keys import ramp_key
from shadow.model.ids import Seed, derived_id, new_id
from shadow.observe import metrics
from shadow.store.database import Connection, Database

log = structlog.get_logger(__name__)

_EVENT = b"""
INSERT INTO events (id, source, door, origin, name, tenant, external_id, delivery_id, upstream_id, occurred_at,
                    scheduled_at, route, phase, authority, mapping_error, purpose, parent_run, sides, task, ramp_key,
                    decided)
VALUES (%s, %s, 'platform', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO NOTHING
RETURNING id
"""
_DATA = b"INSERT INTO bodies (id, part, content) VALUES (%s, 'data', %s) ON CONFLICT (id, part) DO NOTHING"
_DISPATCH = b"""
INSERT INTO dispatches (id, event_id, side, stage, platform, task, tenant, state, seed, position, error)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 0, %s)
"""
_ASTRAY = b"""
INSERT INTO runs (id, event_id, task, side, platform, platform_run_id, authority, state, scheduled_at, parent_run,
                  decided, poll_at)
VALUES (%s, %s, %s, %s, %s, %s, 'none', 'sent', %s, %s, true, GREATEST(now(), %s::timestamptz) + %s::interval)
ON CONFLICT (id) DO NOTHING
"""
_ALIAS = b"""
INSERT INTO run_aliases AS known (platform, alias, run_id) VALUES (%s, %s, %s)
ON CONFLICT (platform, alias) DO UPDATE SET run_id = excluded.run_id
    WHERE NOT EXISTS (SELECT FROM runs WHERE runs.id = known.run_id AND runs.event_id IS NOT NULL)
"""
_AT_THE_DOOR = b"""
SELECT event.parent_run, event.name FROM events AS event JOIN dispatches AS dispatch ON dispatch.event_id = event.id
WHERE event.parent_run = ANY(%s::uuid[]) AND event.door = 'trigger.dev' AND dispatch.stage = 'deliver'
  AND dispatch.side = 'legacy' AND dispatch.state = 'due'
"""
_KNOWN = b"""
SELECT known.alias FROM run_aliases AS known JOIN runs AS run ON run.id = known.run_id
WHERE known.platform = %s AND known.alias = ANY(%s::text[]) AND run.event_id IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run that another one started, as its platform tells of it."""

    platform: str
    platform_run_id: str
    side: Side
    task: ResolvedTask
    parent: Parent
    data: bytes
    """A JSON object: the event's data."""
    problem: str | None = None
    """Why there are none, where the payload could not be mapped."""
    tenant: str | None = None
    event_id: str | None = None
    """As the run sees it, where it was started by an event."""
    is_alone: bool = False
    """What started it starts nothing else, whatever other tasks the event feeds: a call, an invocation."""
    occurred_at: datetime | None = None
    scheduled_at: datetime | None = None

    @property
    def id(self) -> UUID:
        """Of the event: whoever finds the run gives it the same.

        Raises:
            ValueError: the run has no parent.
        """
        if self.parent.run_id is None:
            raise ValueError(f"run {self.platform_run_id} has no parent of ours: it is unsolicited, and no child")
        return derived_id(self.parent.run_id, "found", self.platform, self.event_id or self.platform_run_id)


async def decisions_now(catalogue: ResolvedCatalogue, database: Database) -> Routing:
    """What governs an event that is accepted now, read at this moment."""
    routing = Routing(catalogue, database)
    await routing.refresh()
    return routing


async def known_runs(conn: Connection, platform: str, names: Sequence[str]) -> set[str]:
    """Those of the platform's run ids that are runs of events."""
    cursor = await conn.execute(_KNOWN, (platform, list(names)))
    return {row[0] for row in await cursor.fetchall()}


async def at_the_door(conn: Connection, parents: Sequence[UUID]) -> set[tuple[UUID, str]]:
    """(parent, event name) of calls that a door is forwarding at this moment: their runs are no finds."""
    cursor = await conn.execute(_AT_THE_DOOR, (list(parents),))
    return {(parent, name) for parent, name in await cursor.fetchall()}


async def record_found(
    conn: Connection, catalogue: ResolvedCatalogue, routing: Routing, found: Sequence[FoundRun]
) -> None:
    """Write the events of runs that were found, oldest first. Harmless to repeat, by anybody."""
    ordered = sorted(found, key=lambda item: (item.occurred_at is not None, item.occurred_at, item.platform_run_id))
    for run in ordered:
        await _record(conn, catalogue, routing, run)
    started = [Started(None, run.id, run.side, run.task.id, run.platform, run.platform_run_id) for run in ordered]
    # All at once: it locks in the one order in which everybody does.
    await record_started(conn, catalogue, started)


async def _record(conn: Connection, catalogue: ResolvedCatalogue, routing: Routing, run: FoundRun) -> None:
    key = ramp_key(catalogue.routes[run.task.route], run.tenant, orjson.loads(run.data), run.parent.ramp_key)
    decision = routing.decision(run.task.route, key or run.tenant)
    cause = Cause(Origin(run.side.value), run.parent.authority, run.parent.purpose)
    lineage = lineage_of(cause, decision)
    # It runs already, also where it would have been withheld; its side has it in any case.
    sides = lineage.sides or (run.side,)
    task = run.task.id if run.is_alone else None
    descent = Descent(lineage.authority, sides, run.parent.run_id, run.parent.purpose.value, task)
    seed = Seed.new()
    upstream = seed.ulid(0)
    cursor = await conn.execute(
        _EVENT,
        (
            run.id,
            run.platform,
            run.side.value,
            run.task.event,
            run.tenant,
            run.event_id,
            run.event_id or upstream,
            upstream if lineage.bridged or run.event_id is None else run.event_id,
            run.occurred_at,
            run.scheduled_at,
            decision.route,
            decision.phase.value,
            lineage.authority.value if lineage.authority else None,
            run.problem,
            descent.purpose,
            run.parent.run_id,
            [side.value for side in sides],
            task,
            key,
            decision.decided,
        ),
    )
    if await cursor.fetchone() is not None:
        await conn.vault.ready([run.tenant])
        await conn.execute(_DATA, (run.id, conn.vault.seal(run.tenant, run.id.bytes, "data", run.data)))
        way: metrics.Way = "bridged" if lineage.bridged else "own" if lineage.sides else "withheld"
        metrics.child(run.side.value, run.parent.authority.value, way)
        log.info("causes.found", side=run.side.value, task=run.task.id, run=run.platform_run_id, way=way)
        if lineage.bridged:
            dispatches = planned(catalogue, run.platform, run.task.event, cause.origin, decision, descent)
            await _bridge(conn, run, dispatches, seed)
    if lineage.bridged:
        await _astray(conn, catalogue, run)


async def _bridge(conn: Connection, run: FoundRun, dispatches: Sequence[PlannedDispatch], seed: Seed) -> None:
    for dispatch in dispatches:
        batched = dispatch.side is Side.CANDIDATE
        await conn.execute(
            _DISPATCH,
            (
                new_id(),
                run.id,
                dispatch.side.value,
                dispatch.stage.value,
                dispatch.platform,
                dispatch.task,
                run.tenant,
                "dead" if run.problem and batched else dispatch.state.value,
                seed.header() if batched else None,
                run.problem,
            ),
        )
    await conn.execute(b"NOTIFY shadow_dispatches")


async def _astray(conn: Connection, catalogue: ResolvedCatalogue, run: FoundRun) -> None:
    """Keep the run that began on the side without authority for it: it has none, and nothing is compared with it."""
    platform = catalogue.platforms[run.platform]
    every = platform.poll_every if isinstance(platform, TriggerPlatform | InngestPlatform) else None
    identifier = derived_id(run.id, run.task.id, run.side)
    await conn.execute(
        _ASTRAY,
        (
            identifier,
            run.id,
            run.task.id,
            run.side.value,
            run.platform,
            run.platform_run_id,
            run.scheduled_at,
            run.parent.run_id,
            run.scheduled_at,
            every,
        ),
    )
    await conn.execute(_ALIAS, (run.platform, run.platform_run_id, identifier))
