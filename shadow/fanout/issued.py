"""Runs that were issued: what has become of the candidate's run, for whoever asked Trigger.dev to start it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.fanout.stored_events import Originals, load_originals
from shadow.intake.run_options import RunOptions, run_options
from shadow.model.ids import derived_id
from shadow.store.database import Connection

OVERLAY = "overlay"
"""The part of an event's bodies that holds what has been changed since it was accepted: `tags` and `metadata`."""
_EVENTS = b"""
SELECT id, name, tenant, accepted_at, scheduled_at, external_id, upstream_id, parent_run IS NOT NULL FROM events
WHERE id = ANY(%s::uuid[]) AND door = 'trigger.dev' AND authority = 'candidate'
"""
_RUNS = b"""
SELECT id, state, status, platform, platform_run_id, started_at, finished_at, attempts, error_name, error_message
FROM runs WHERE id = ANY(%s::uuid[])
"""
_CALL_OF_RUN = b"""
SELECT event.id, event.name FROM run_aliases AS known
JOIN runs AS run ON run.id = known.run_id JOIN events AS event ON event.id = run.event_id
WHERE known.platform = %s AND known.alias = %s AND event.door = 'trigger.dev' AND event.origin = 'producer'
  AND run.authority = 'real'
"""


@dataclass(frozen=True, slots=True)
class Execution:
    """The candidate's run, as far as it is known."""

    state: str = "expected"
    status: str | None = None
    platform: str | None = None
    platform_run: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempts: int | None = None
    error_name: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class IssuedRun:
    """A run of the candidate under the name that Trigger.dev's clients know."""

    event: UUID
    task: str
    """The catalogue's id of it."""
    legacy_task: str
    tenant: str | None
    accepted_at: datetime
    scheduled_at: datetime | None
    key: str | None
    """The idempotency key, as on the wire."""
    upstream_event: str | None
    """The id by which the candidate's platform knows the event."""
    is_child: bool
    request: bytes | None
    """The body of the call; None where it is not kept any more."""
    options: RunOptions = field(default_factory=RunOptions)
    overlay: Mapping[str, Any] = field(default_factory=dict)
    execution: Execution = field(default_factory=Execution)

    @property
    def run_id(self) -> UUID:
        """Of the candidate's run."""
        return derived_id(self.event, self.task, Side.CANDIDATE)

    @property
    def starts_at(self) -> datetime:
        return self.scheduled_at or self.accepted_at

    @property
    def expires_at(self) -> datetime | None:
        return self.options.expires_at(self.starts_at)

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(sorted({*self.options.tags, *self.overlay.get("tags", ())}))

    @property
    def metadata(self) -> Any:
        return self.overlay.get("metadata", self.options.metadata)


async def issued_runs(conn: Connection, catalogue: ResolvedCatalogue, events: Sequence[UUID]) -> list[IssuedRun]:
    """The runs that were issued for those events, in their order; where none was, or its task is gone, none."""
    cursor = await conn.execute(_EVENTS, (list(events),))
    rows: dict[UUID, tuple[Any, ...]] = {row[0]: row for row in await cursor.fetchall()}
    tasks = {event: task for event, row in rows.items() for task in catalogue.tasks_of_event(row[1])}
    bodies = await load_originals(conn, list(tasks), ("request", OVERLAY))
    runs = {event: derived_id(event, task.id, Side.CANDIDATE) for event, task in tasks.items()}
    cursor = await conn.execute(_RUNS, (list(runs.values()),))
    executions = {row[0]: Execution(*row[1:]) for row in await cursor.fetchall()}
    found = []
    for event in events:
        task = tasks.get(event)
        if task is None:
            continue
        parts = bodies.get(event, Originals()).parts
        request = parts.get("request")
        overlay = orjson.loads(parts[OVERLAY]) if OVERLAY in parts else {}
        _, _, tenant, accepted_at, scheduled_at, key, upstream, is_child = rows[event]
        found.append(
            IssuedRun(
                event=event,
                task=task.id,
                legacy_task=task.legacy.task,
                tenant=tenant,
                accepted_at=accepted_at,
                scheduled_at=scheduled_at,
                key=key,
                upstream_event=upstream,
                is_child=is_child,
                request=request,
                options=run_options(request),
                overlay=overlay,
                execution=executions.get(runs[event], Execution()),
            )
        )
    return found


async def issued_run_of(conn: Connection, catalogue: ResolvedCatalogue, event: UUID) -> IssuedRun | None:
    """The run that was issued for that event; None where none was."""
    return next(iter(await issued_runs(conn, catalogue, [event])), None)


async def issued_overlay(conn: Connection, event: UUID) -> Mapping[str, Any]:
    """What has been changed of a run since it was accepted; empty where nothing was."""
    parts = (await load_originals(conn, [event], (OVERLAY,))).get(event, Originals()).parts
    overlay: Mapping[str, Any] = orjson.loads(parts[OVERLAY]) if OVERLAY in parts else {}
    return overlay


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """The call that started a run of Trigger.dev, as it came."""

    event: UUID
    legacy_task: str
    request: bytes | None


async def call_of_run(conn: Connection, catalogue: ResolvedCatalogue, platform: str, run: str) -> StoredRequest | None:
    """The producer's call that started that run of Trigger.dev, with authority; None where none did that is known."""
    row = await (await conn.execute(_CALL_OF_RUN, (platform, run))).fetchone()
    task = next(iter(catalogue.tasks_of_event(row[1])), None) if row is not None else None
    if row is None or task is None:
        return None
    parts = (await load_originals(conn, [row[0]], ("request",))).get(row[0], Originals()).parts
    return StoredRequest(row[0], task.legacy.task, parts.get("request"))
