"""Writing down the runs that a clock has started: each finds its tick, whose authority was decided once.

The first run on the side that a tick is of has its authority; in `shadow` the tick's event goes to the candidate as
well, as any other event does. Every other run of the tick (the other side's own trigger, a second one of the same side)
gets an event of its own, of which nobody has authority. Only in `legacy`, which Shadow leaves alone, a second run is as
real as the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.cron_settings import SCHEDULE
from shadow.catalogue.model import Origin, Side
from shadow.cutover.decision import Decision, Phase, decide
from shadow.fanout.handoff import Started, record_started
from shadow.intake.arrival import Descent, PlannedDispatch
from shadow.intake.plan import planned
from shadow.model.ids import Seed, derived_id, new_id
from shadow.observe import metrics
from shadow.outcomes.found import known_runs
from shadow.store.database import Connection
from shadow.ticks.history import read_history
from shadow.ticks.tick import Tick

log = structlog.get_logger(__name__)

_LOCK = b"""
SELECT pg_advisory_xact_lock(key) FROM (SELECT DISTINCT unnest(%s::bigint[]) AS key ORDER BY 1) AS locks
"""
_DECIDED = b"SELECT phase, authority FROM ticks WHERE task = %s AND nominal_at = %s LIMIT 1"
_HOLD = b"""
INSERT INTO ticks (task, nominal_at, external_id, phase, authority) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (task, nominal_at, external_id) DO NOTHING
"""
_COUNT = b"""
UPDATE ticks SET legacy_runs = legacy_runs + %(legacy)s, candidate_runs = candidate_runs + %(candidate)s,
    event_id = COALESCE(event_id, %(event)s),
    started_at = CASE WHEN %(event)s::uuid IS NULL THEN started_at ELSE %(began)s END,
    doubled_at = CASE WHEN doubled_at IS NULL AND (
            legacy_runs + %(legacy)s > 1 OR candidate_runs + %(candidate)s > 1
            OR (candidate_runs + %(candidate)s > 0 AND authority = 'legacy' AND phase <> 'legacy'))
        THEN now() ELSE doubled_at END
WHERE task = %(task)s AND nominal_at = %(nominal)s AND external_id = %(external)s
"""
_TAKEN = b"SELECT event_id FROM ticks WHERE task = %s AND nominal_at = %s AND external_id = %s"
_EVENT = b"""
INSERT INTO events (id, source, door, origin, name, tenant, external_id, delivery_id, upstream_id, occurred_at,
                    route, phase, authority, mapping_error, sides, task, decided)
VALUES (%s, %s, 'platform', 'producer', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_DATA = b"INSERT INTO bodies (id, part, content) VALUES (%s, 'data', %s)"
_DISPATCH = b"""
INSERT INTO dispatches (id, event_id, side, stage, platform, task, tenant, state, seed, position, error)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 0, %s)
"""


@dataclass(frozen=True, slots=True)
class ClockRun:
    """A run that a platform's own scheduler has started."""

    platform: str
    name: str
    """As the platform calls it."""
    side: Side
    task: ResolvedTask
    tick: Tick
    data: bytes
    """A JSON object: the event's data."""
    problem: str | None = None
    """Why there are none, where legacy's payload could not be mapped."""
    tenant: str | None = None
    event_id: str | None = None
    """Of the candidate's: the id of its timer event, as the run sees it."""
    upstream_id: str | None = None
    """Of the candidate's: what the platform itself calls that event."""
    began_at: datetime | None = None


async def record_clock_runs(conn: Connection, catalogue: ResolvedCatalogue, runs: Sequence[ClockRun]) -> None:
    """Write down runs with their ticks and events. Harmless to repeat, by anybody, in any order."""
    ordered = sorted(runs, key=lambda run: (run.tick, run.began_at is not None, run.began_at, run.name))
    await conn.execute(_LOCK, ([lock_of(run.tick.task, run.tick.nominal_at) for run in ordered],))
    known: set[tuple[str, str]] = set()
    for platform in {run.platform for run in ordered}:
        names = [run.name for run in ordered if run.platform == platform]
        known |= {(platform, name) for name in await known_runs(conn, platform, names)}
    history = await read_history(conn, catalogue, {run.task.route for run in ordered})
    started = []
    for run in ordered:
        if (run.platform, run.name) in known:
            continue
        known.add((run.platform, run.name))
        decision = history.decision(run.task.route, run.tick.nominal_at)
        decision = await held(conn, run.tick, decision)
        event = await _event(conn, catalogue, run, decision)
        started.append(Started(None, event, run.side, run.task.id, run.platform, run.name))
    # All at once: it locks in the one order in which everybody does.
    await record_started(conn, catalogue, started)


async def held(conn: Connection, tick: Tick, decision: Decision) -> Decision:
    """What governs the tick: as it was decided first, by whoever came first. The caller holds its lock.

    Args:
        decision: what follows from the moves known now.
    """
    cursor = await conn.execute(_DECIDED, (tick.task, tick.nominal_at))
    row = await cursor.fetchone()
    if row is not None and (row[0], row[1]) != (decision.phase.value, decision.authority.value):
        # Decided ahead of its nominal time, by a clock that runs fast, before a move that now lies before it.
        decision = decide(decision.route, Phase(row[0]), candidate=row[1] == Side.CANDIDATE)
    values = (decision.phase.value, decision.authority.value)
    await conn.execute(_HOLD, (tick.task, tick.nominal_at, tick.external_id, *values))
    return decision


def lock_of(task: str, nominal_at: datetime) -> int:
    """A PostgreSQL lock that stands for a tick of all its tenants."""
    named = derived_id(UUID(int=0), "tick", task, nominal_at.isoformat())
    return int.from_bytes(named.bytes[8:], "big", signed=True)


async def _event(conn: Connection, catalogue: ResolvedCatalogue, run: ClockRun, decision: Decision) -> UUID:
    """Write the event of a run: the tick's own for the one with its authority, else one that nobody's is."""
    tick = run.tick
    cursor = await conn.execute(_TAKEN, (tick.task, tick.nominal_at, tick.external_id))
    row = await cursor.fetchone()
    is_first = row is not None and row[0] is None and decision.authority is run.side
    is_left_alone = decision.phase is Phase.LEGACY and run.side is Side.LEGACY
    authority = run.side if is_first or is_left_alone else None
    sides = decision.sides if is_first else (run.side,)
    event, seed = new_id(), Seed.new()
    upstream = run.upstream_id if run.side is Side.CANDIDATE else seed.ulid(0)
    delivery = tick.key if is_first else f"{tick.key}#{run.name}"
    await conn.execute(
        _EVENT,
        (
            event,
            SCHEDULE,
            run.task.event,
            run.tenant,
            tick.key,
            run.event_id or delivery,
            upstream,
            tick.nominal_at,
            decision.route,
            decision.phase.value,
            authority.value if authority else None,
            run.problem,
            [side.value for side in sides],
            run.task.id,
            decision.decided,
        ),
    )
    await conn.vault.ready([run.tenant])
    await conn.execute(_DATA, (event, conn.vault.seal(run.tenant, event.bytes, "data", run.data)))
    if is_first and run.side is Side.LEGACY:
        descent = Descent(authority, sides, task=run.task.id)
        dispatches = planned(catalogue, SCHEDULE, run.task.event, Origin.PRODUCER, decision, descent)
        await _mirror(conn, run, event, [one for one in dispatches if one.side is Side.CANDIDATE], seed)
    await conn.execute(
        _COUNT,
        {
            "legacy": int(run.side is Side.LEGACY),
            "candidate": int(run.side is Side.CANDIDATE),
            "event": event if is_first else None,
            "began": run.began_at,
            "task": tick.task,
            "nominal": tick.nominal_at,
            "external": tick.external_id,
        },
    )
    metrics.clock_run(run.side.value, "real" if authority else "none")
    log.info("ticks.run", task=tick.task, side=run.side.value, run=run.name, real=authority is not None)
    return event


async def _mirror(
    conn: Connection, run: ClockRun, event: UUID, dispatches: Sequence[PlannedDispatch], seed: Seed
) -> None:
    for dispatch in dispatches:
        await conn.execute(
            _DISPATCH,
            (
                new_id(),
                event,
                dispatch.side.value,
                dispatch.stage.value,
                dispatch.platform,
                dispatch.task,
                run.tenant,
                "dead" if run.problem else dispatch.state.value,
                seed.header(),
                run.problem,
            ),
        )
    if dispatches:
        await conn.execute(b"NOTIFY shadow_dispatches")
