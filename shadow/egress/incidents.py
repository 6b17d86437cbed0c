"""Incidents: what must not happen and did. A leak is counted, told, and moves its route back to legacy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.cutover.back import go_back
from shadow.cutover.decision import Phase
from shadow.cutover.moves import stand_of
from shadow.effects import evidence
from shadow.effects.evidence import Tenant
from shadow.model.ids import first_id_at, new_id
from shadow.notices.record import Notice, note
from shadow.observe import metrics
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

EVERY_SECONDS = 2.0
_NEAR = timedelta(minutes=2)
"""How far back every look goes."""
_FAR = timedelta(hours=6)
"""How far back one in thirty goes: a run may turn out later to be one without authority."""
_FAR_EVERY = 30
_QUIET_SECONDS = 60.0
"""The same incident of the same run is noted once in this time."""

_NOTE = """
INSERT INTO incidents (id, kind, task, route, side, run_id, effect_id, target, operation, detail)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (effect_id) WHERE effect_id IS NOT NULL DO NOTHING
RETURNING id
"""
_MOVED = "UPDATE incidents SET moved_back = true WHERE id = %s"
_LEAKS = """
SELECT effect.id, run.id, run.task, effect.side, effect.target, effect.operation
FROM effects AS effect JOIN runs AS run ON run.id = effect.run_id
WHERE {chosen} AND effect.seen_by IN ('gateway', 'mail') AND effect.disposition = 'forward' AND effect.writes
  AND run.authority <> 'real' AND NOT EXISTS (SELECT FROM incidents WHERE incidents.effect_id = effect.id)
UNION ALL
SELECT effect.id, run.id, run.task, effect.side, effect.target, effect.operation
FROM effects AS effect
JOIN run_aliases AS known ON known.alias = effect.platform_run_id
JOIN runs AS run ON run.id = known.run_id AND run.side = effect.side AND run.event_id IS NOT NULL
WHERE {chosen} AND effect.run_id IS NULL AND effect.seen_by IN ('gateway', 'mail') AND effect.disposition = 'forward'
  AND effect.writes AND run.authority <> 'real'
  AND NOT EXISTS (SELECT FROM incidents WHERE incidents.effect_id = effect.id)
"""
# A legacy run that is none of ours is let through by the phase alone, as the process knew it while the database was
# away: another process may have moved the route meanwhile.
_STALE = """
SELECT effect.id, effect.task, effect.side, effect.target, effect.operation, move.to_phase, move.effective_at
FROM effects AS effect
CROSS JOIN LATERAL (
    SELECT to_phase, effective_at FROM moves
    WHERE effect.task = ANY(tasks) AND effective_at <= effect.occurred_at
    ORDER BY effective_at DESC, id DESC LIMIT 1) AS move
WHERE effect.id = ANY(%(ids)s::uuid[]) AND effect.run_id IS NULL AND effect.side = 'legacy'
  AND effect.seen_by IN ('gateway', 'mail') AND effect.disposition = 'forward' AND effect.writes
  AND move.to_phase NOT IN ('legacy', 'shadow')
  AND NOT EXISTS (SELECT FROM run_aliases AS known JOIN runs AS run ON run.id = known.run_id
                  WHERE known.alias = effect.platform_run_id AND run.side = effect.side AND run.event_id IS NOT NULL)
  AND NOT EXISTS (SELECT FROM incidents WHERE incidents.effect_id = effect.id)
"""
# What the database being away let through names no run of ours: it is looked for by the platform's name.
_SINCE = _LEAKS.format(chosen="effect.id >= %(since)s")
_AMONG = _LEAKS.format(chosen="effect.id = ANY(%(ids)s::uuid[])")


class IncidentKind(StrEnum):
    """What happened."""

    LEAK = "leak"
    """A write of a run without authority reached its target."""
    WRONG_SIDE = "wrong_side"
    """A key was used for a run of the other side."""
    UNGUARDED_HOST = "unguarded_host"
    WRONG_CREDENTIAL = "wrong_credential"
    """A worker holds a target's real credential."""
    STALE_DECISION = "stale_decision"
    """A write of a legacy run that nobody knows was let through, as legacy had authority for its route when this
    process last knew: by then it had none."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One of them."""

    kind: IncidentKind
    detail: str
    task: str | None = None
    side: Side | None = None
    run_id: UUID | None = None
    effect_id: UUID | None = None
    target: str | None = None
    operation: str | None = None
    tenant: Tenant = None
    """Whose hashes stand for what is personal in it."""


class Incidents:
    """Notes incidents, and looks for leaks after the fact: at what is recorded, whoever recorded it and why."""

    def __init__(self, catalogue: ResolvedCatalogue, database: Database, *, every: float = EVERY_SECONDS) -> None:
        self._catalogue = catalogue
        self._database = database
        self._every = every
        self._noted: dict[tuple[IncidentKind, UUID | None, str | None], float] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="egress-leaks")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def note(self, incident: Incident) -> bool:
        """Keep an incident; a leak also moves its route back.

        Returns:
            whether it is news.
        """
        key = (incident.kind, incident.run_id, incident.target)
        now = time.monotonic()
        if incident.effect_id is None:
            if now - self._noted.get(key, -_QUIET_SECONDS) < _QUIET_SECONDS:
                return False
            self._noted = {kept: at for kept, at in self._noted.items() if now - at < _QUIET_SECONDS}
            self._noted[key] = now
        task = self._catalogue.tasks.get(incident.task or "")
        identifier = new_id()
        moved_back = False
        async with self._database.connection(Work.EGRESS) as conn:
            if incident.effect_id is None:  # what an effect said is redacted already
                incident = await _redacted(conn, incident)
            cursor = await conn.execute(
                _NOTE,
                (
                    identifier,
                    incident.kind.value,
                    incident.task,
                    task and task.route,
                    incident.side and incident.side.value,
                    incident.run_id,
                    incident.effect_id,
                    incident.target,
                    incident.operation,
                    incident.detail,
                ),
            )
            if await cursor.fetchone() is None:
                return False
            if incident.kind is IncidentKind.LEAK:
                await note(conn, _told(incident, None if task is None else task.route, identifier))
                moved_back = await self._moved_back(conn, incident, identifier)
        log.error(
            "egress.incident",
            kind=incident.kind.value,
            task=incident.task,
            target=incident.target,
            operation=incident.operation,
            run=incident.run_id and str(incident.run_id),
        )
        metrics.incident(incident.kind.value)
        if incident.kind is IncidentKind.LEAK:
            metrics.leak(incident.task or "")
            if not moved_back:
                log.warning("egress.not_moved_back", task=incident.task)
        return True

    async def note_if_possible(self, incident: Incident) -> None:
        """Keep an incident of a call that is refused whether that can be written down or not."""
        try:
            await self.note(incident)
        except psycopg.Error as error:
            log.error("egress.incident_unwritten", kind=incident.kind.value, error=type(error).__name__)

    async def look(self, *, since: datetime | None = None, among: Sequence[UUID] = ()) -> int:
        """Look for leaks in what is recorded since then, or among these effects; how many were news."""
        query, parameters = (
            (_SINCE, {"since": first_id_at(since)}) if since is not None else (_AMONG, {"ids": list(among)})
        )
        async with self._database.connection(Work.EGRESS) as conn:
            cursor = await conn.execute(query.encode(), parameters)
            rows = await cursor.fetchall()
        news = 0
        for effect_id, run_id, task, side, target, operation in rows:
            news += await self.note(
                Incident(
                    IncidentKind.LEAK,
                    f"{operation} at {target} was forwarded for a run without authority",
                    task=task,
                    side=Side(side),
                    run_id=run_id,
                    effect_id=effect_id,
                    target=target,
                    operation=operation,
                )
            )
        return news

    async def look_for_stale_decisions(self, among: Sequence[UUID]) -> int:
        """Look for effects of what the database being away let through by a phase that was over; how many were news.

        Of runs of ours it is known what authority they have: they are leaks, or none.
        """
        async with self._database.connection(Work.EGRESS) as conn:
            cursor = await conn.execute(_STALE.encode(), {"ids": list(among)})
            rows = await cursor.fetchall()
        news = 0
        for effect_id, task, side, target, operation, phase, moved_at in rows:
            news += await self.note(
                Incident(
                    IncidentKind.STALE_DECISION,
                    f"{operation} at {target} was let through while the database was away, though the route was in"
                    f" {phase} since {moved_at:%Y-%m-%d %H:%M:%S} UTC",
                    task=task,
                    side=Side(side),
                    effect_id=effect_id,
                    target=target,
                    operation=operation,
                )
            )
        return news

    async def _moved_back(self, conn: Connection, incident: Incident, identifier: UUID) -> bool:
        """Move its route back, in the same transaction; the incident stays whatever comes of that."""
        task = self._catalogue.tasks.get(incident.task or "")
        if task is None:
            return False
        route = self._catalogue.routes[task.route]
        try:
            async with conn.transaction():
                current, _coming, _at = await stand_of(conn, route, datetime.now(UTC))
                if current.phase in (Phase.RAMP, Phase.LIVE) and "leak" not in task.cutover.back_on:
                    return False
                reason = f"by itself: a leak: {incident.detail} (incident {identifier}, effect {incident.effect_id})"
                moved = await go_back(conn, self._catalogue, route, Phase.LEGACY, reason=reason)
                if moved is not None:
                    await conn.execute(_MOVED, (identifier,))
        except psycopg.Error as error:
            log.error("egress.move_failed", task=task.id, error=type(error).__name__)
            return False
        return moved is not None

    async def _run(self) -> None:
        turn = 0
        while True:
            span = _FAR if turn % _FAR_EVERY == 0 else _NEAR
            turn += 1
            try:
                await self.look(since=datetime.now(UTC) - span)
            except psycopg.Error as error:
                log.warning("egress.leaks_unlooked", error=type(error).__name__)
            except Exception:
                log.exception("egress.leaks_failed")
            await asyncio.sleep(self._every)


def _told(incident: Incident, route: str | None, identifier: UUID) -> Notice:
    """A leak as people are told of it."""
    return Notice(
        "leak",
        f"A write got out: {incident.detail}",
        task=incident.task,
        route=route,
        facts={
            "incident": str(identifier),
            "side": incident.side and incident.side.value,
            "target": incident.target,
            "operation": incident.operation,
            "run": incident.run_id and str(incident.run_id),
        },
        once=f"leak:{incident.effect_id or identifier}",
    )


async def _redacted(conn: Connection, incident: Incident) -> Incident:
    """As it may be stored and logged: the path of a call that no target declares may hold anything."""
    await evidence.ready(conn, [incident.tenant])
    text = evidence.redactor(conn.vault, incident.tenant).text
    operation = None if incident.operation is None else text(incident.operation)
    return replace(incident, operation=operation, detail=text(incident.detail))
