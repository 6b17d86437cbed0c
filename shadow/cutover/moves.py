"""Moving a route to another phase: checked, audited, and with a start time a little ahead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from shadow.catalogue import ResolvedCatalogue, Route
from shadow.catalogue.model import TriggerSource
from shadow.containment.record import refusal, uncontained
from shadow.cutover.decision import Phase
from shadow.cutover.routing import read_standings
from shadow.model.ids import new_id
from shadow.store.database import Database, Work

log = structlog.get_logger(__name__)

LEAD = timedelta(seconds=2)
"""How far ahead a move takes effect: longer than any process needs to hear of it."""

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('shadow_moves'))"
_SET = """
INSERT INTO phases AS known (task, phase, previous, effective_at, version)
SELECT task, %(phase)s, %(previous)s, %(effective_at)s, 1 FROM unnest(%(tasks)s::text[]) AS task
ON CONFLICT (task) DO UPDATE SET phase = excluded.phase, previous = excluded.previous,
    effective_at = excluded.effective_at, version = known.version + 1
"""
_AUDIT = """
INSERT INTO moves (id, route, tasks, from_phase, to_phase, actor, reason, forced, decided_at, effective_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, true, %s, %s)
"""


class MoveRefused(ValueError):
    """A move that may not be made; the message says why and what to do instead."""


@dataclass(frozen=True, slots=True)
class Move:
    """One audited change of phase."""

    id: UUID
    route: str
    tasks: tuple[str, ...]
    from_phase: Phase
    to_phase: Phase
    actor: str
    reason: str
    decided_at: datetime
    effective_at: datetime


async def move(
    database: Database, catalogue: ResolvedCatalogue, task: str, phase: Phase, *, actor: str, reason: str
) -> Move:
    """Move the route of `task`, all its tasks together.

    Every move is forced: it needs a reason, and the audit says who made it. Forced or not, `shadow` needs for every
    task of the route a containment proof for the candidate's present version, or a declaration on record.

    Raises:
        MoveRefused: unknown task, no reason, nothing to change, not contained, or a phase that the route can't take.
    """
    if task not in catalogue.tasks:
        raise MoveRefused(f"no task {task!r}; expected one of {', '.join(sorted(catalogue.tasks))}")
    if not reason.strip():
        raise MoveRefused("a move needs a reason, in words that a later reader understands")
    route = catalogue.routes[catalogue.tasks[task].route]
    _check(catalogue, route, phase)
    async with database.connection(Work.CONTROL) as connection:
        await connection.execute(_LOCK)
        now = datetime.now(UTC)
        standings = await read_standings(connection)
        current = standings[task].at(now) if task in standings else Phase.LEGACY
        if current is phase and (task not in standings or standings[task].phase is phase):
            raise MoveRefused(f"task {task!r} is in phase {phase} already")
        if phase is Phase.SHADOW and (lacking := await uncontained(connection, route.tasks)):
            raise MoveRefused(refusal(lacking))
        done = Move(new_id(), route.name, route.tasks, current, phase, actor, reason, now, now + LEAD)
        await connection.execute(
            _SET,
            {
                "phase": phase.value,
                "previous": current.value,
                "effective_at": done.effective_at,
                "tasks": list(route.tasks),
            },
        )
        await connection.execute(
            _AUDIT,
            (
                done.id,
                done.route,
                list(done.tasks),
                current.value,
                phase.value,
                actor,
                reason,
                now,
                done.effective_at,
            ),
        )
        await connection.execute("NOTIFY shadow_routing")
    log.info("route.moved", route=route.name, source=current.value, to=phase.value, actor=actor)
    return done


def _check(catalogue: ResolvedCatalogue, route: Route, phase: Phase) -> None:
    """Refuse a phase that would run an event on the wrong side.

    Raises:
        MoveRefused: `ramp` needs the gate; a Trigger.dev producer needs legacy to answer its calls.
    """
    if phase is Phase.RAMP:
        raise MoveRefused("ramp is not available yet: move to shadow or live")
    if phase in (Phase.LIVE, Phase.RETIRED):
        for name in route.tasks:
            fed = [
                source
                for source in catalogue.tasks[name].sources
                if isinstance(catalogue.sources[source], TriggerSource)
            ]
            if fed:
                raise MoveRefused(
                    f"task {name!r} is fed by the Trigger.dev door ({', '.join(fed)}), whose producers need"
                    f" Trigger.dev's own answers: it can't move to {phase} yet"
                )
