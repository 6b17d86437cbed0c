"""Emitted events as effects of the runs that emitted them: each once, however often and wherever it is seen.

What a worker reports of its emissions itself is left aside by the judge where Shadow has seen that run emit events of
the same name (`judge/ledger.py`), so that an emission never counts twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from uuid import UUID

import orjson

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Origin, Side
from shadow.causes.children import TARGET, place
from shadow.effects.evidence import data_of_events
from shadow.effects.record import AttributedBy, SeenBy, SeenEffect, record_effects
from shadow.model.ids import derived_id
from shadow.platforms.event import EventRow
from shadow.store.database import Connection


async def note_emissions(
    conn: Connection,
    catalogue: ResolvedCatalogue,
    events: Iterable[EventRow],
    said: Mapping[UUID, str] | None = None,
    *,
    placed: bool = False,
) -> None:
    """Keep those of the events that workers emitted as effects of their parents. Harmless to repeat.

    Args:
        said: by event, the platform's id of the parent as the worker told it, where no run of ours is known by it.
        placed: the caller has seen to their places among their siblings.
    """
    emitted = [event for event in events if event.origin != Origin.PRODUCER]
    if not emitted:
        return
    if not placed:
        await place(conn, catalogue, emitted)
    data = await data_of_events(conn, {event.id for event in emitted})
    for side in Side:
        effects = [
            _effect(event, data.get(event.id, b"{}"), (said or {}).get(event.id))
            for event in emitted
            if event.origin == side.value
        ]
        if effects:
            await record_effects(conn, side, effects)


def emission_id(event: UUID) -> UUID:
    """The id of the effect which that event was."""
    return derived_id(event, "emission")


def _effect(event: EventRow, data: bytes, said: str | None) -> SeenEffect:
    attributed = None
    if event.parent_run is not None or said is not None:
        attributed = AttributedBy.HEADERS if event.door == "inngest" else AttributedBy.PARENT
    return SeenEffect(
        run=said if event.parent_run is None else None,
        run_id=event.parent_run,
        kind="event",
        target=TARGET,
        operation=event.name,
        data=_scheduled(data, event.scheduled_at),
        occurred_at=event.occurred_at if event.door == "platform" else event.accepted_at,
        seen_by=SeenBy.PLATFORM if event.door == "platform" else SeenBy.DOOR,
        attributed_by=attributed,
        emitted=event.delivery_id if event.door == "platform" else event.upstream_id or event.delivery_id,
        id=emission_id(event.id),
    )


def _scheduled(data: bytes, at: datetime | None) -> bytes:
    """The event's data, with the time at which it takes effect where that is later: so delays are compared."""
    if at is None:
        return data
    fields = orjson.loads(data)
    if not isinstance(fields, dict):
        return data
    return orjson.dumps({**fields, "scheduledFor": iso(at)})


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, which is as exact as either platform is."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
