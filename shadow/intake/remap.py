"""Mapping again, once the catalogue is mended: a dead letter becomes the event it should have been.

A webhook's is an event of no name until then; a Trigger.dev call's has run on legacy, and lacks the candidate's data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import orjson

from shadow.catalogue import Ignored, ResolvedCatalogue
from shadow.catalogue.model import Origin, Side, WebhookSource
from shadow.cutover.decision import Decision, Phase, decide
from shadow.cutover.routing import Routing
from shadow.intake import late_mapping, webhook
from shadow.intake.arrival import Arrival, Stage
from shadow.intake.late_mapping import NotMapped, StoredCall
from shadow.intake.plan import fed, planned
from shadow.intake.ramp_keys import ramp_key
from shadow.intake.trigger_arrival import mapped as mapped_call
from shadow.model.ids import Seed, new_id
from shadow.sealing.vault import Forgotten
from shadow.store.database import Connection, Database, Work

_FIND = """
SELECT dispatches.id, events.id, events.source, events.upstream_id, request.content, headers.content
FROM dispatches
JOIN events ON events.id = dispatches.event_id
LEFT JOIN bodies AS request ON request.id = events.id AND request.part = 'request'
LEFT JOIN bodies AS headers ON headers.id = events.id AND headers.part = 'headers'
WHERE dispatches.id = ANY(%s) AND stage = 'map' AND state = 'dead' AND door = 'webhook'
FOR UPDATE OF dispatches
"""
_FIND_CALLS = """
SELECT dispatches.id, events.id, events.source, events.name, events.tenant, events.accepted_at, request.content
FROM dispatches
JOIN events ON events.id = dispatches.event_id
LEFT JOIN bodies AS request ON request.id = events.id AND request.part = 'request'
WHERE dispatches.id = ANY(%s) AND state = 'dead' AND side = 'candidate' AND door = 'trigger.dev'
  AND (stage = 'map' OR stage = 'deliver' AND mapping_error IS NOT NULL)
ORDER BY dispatches.id FOR UPDATE OF dispatches
"""
_STILL_WRONG = "UPDATE dispatches SET error = %s, attempts = attempts + 1 WHERE id = %s"
_DONE = "DELETE FROM dispatches WHERE id = %s"
_EVENT = """
UPDATE events SET name = %s, tenant = %s, occurred_at = %s, delivery_id = %s, upstream_id = %s, route = %s, phase = %s,
    authority = %s, sides = %s, decided = %s, ramp_key = %s, mapping_error = NULL
WHERE id = %s
"""
_NOT_KEPT = "DELETE FROM bodies WHERE id = %s AND part IN ('request', 'headers')"
_DISPATCH = """
INSERT INTO dispatches (id, event_id, side, stage, platform, task, tenant, state, due_at, seed, position)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now() + %s, %s, %s)
"""


@dataclass(frozen=True, slots=True)
class Remapped:
    """What became of the dead letters of failed mappings."""

    mapped: list[UUID] = field(default_factory=list)
    """Those that are events now, on their way; or that the catalogue now ignores."""
    failed: dict[UUID, str] = field(default_factory=dict)
    """Those that still can't be mapped, with the reason."""


async def remap(database: Database, catalogue: ResolvedCatalogue, dispatches: Sequence[UUID]) -> Remapped:
    """Map those dead letters with the catalogue as it is now.

    The phase of now decides about the event: none had decided about it before. Only what legacy's app has had already
    stays legacy's. Dispatches that are no dead letter of
    a failed mapping are left alone.
    """
    routing = Routing(catalogue, database)
    await routing.refresh()
    result = Remapped()
    async with database.connection(Work.CONTROL) as connection:
        cursor = await connection.execute(_FIND, (list(dispatches),))
        for dispatch, event, source, upstream_id, request, headers in await cursor.fetchall():
            opened = await _opened(connection, event, request, headers)
            read = opened if isinstance(opened, str) else _again(catalogue, routing, source, *opened)
            if isinstance(read, str):
                await connection.execute(_STILL_WRONG, (read, dispatch))
                result.failed[dispatch] = read
                continue
            if read is not None:
                await _become(connection, event, upstream_id, read)
            await connection.execute(_DONE, (dispatch,))
            result.mapped.append(dispatch)
        await _remap_calls(connection, catalogue, dispatches, result)
        await connection.execute("NOTIFY shadow_dispatches")
    return result


async def _opened(
    connection: Connection, event: UUID, request: bytes | None, headers: bytes | None
) -> tuple[bytes, tuple[tuple[str, str], ...]] | str:
    """The request that arrived, with its headers; or why there is none any more."""
    if request is None:
        return "expired: its originals have been deleted (retention.originals in the catalogue)"
    stored = [(event, "request", request), *([(event, "headers", headers)] if headers is not None else [])]
    opened = []
    for original in await connection.vault.open(stored):
        if isinstance(original, Forgotten):
            return str(original)
        opened.append(original)
    pairs = tuple((name, value) for name, value in orjson.loads(opened[1])) if len(opened) > 1 else ()
    return opened[0], pairs


async def _remap_calls(
    connection: Connection, catalogue: ResolvedCatalogue, dispatches: Sequence[UUID], result: Remapped
) -> None:
    """The calls among them. Without this, what would be sent again is an event without data."""
    cursor = await connection.execute(_FIND_CALLS, (list(dispatches),))
    for dispatch, *row in await cursor.fetchall():
        call = await StoredCall.of(connection, row)
        try:
            task, understood = call.understood(catalogue)
            mapped = mapped_call(task, understood)
            if mapped.problem:
                raise NotMapped(mapped.problem)
        except NotMapped as error:
            await connection.execute(_STILL_WRONG, (str(error), dispatch))
            await late_mapping.still_wrong(connection, call.event_id, str(error))
            result.failed[dispatch] = str(error)
            continue
        if mapped.deferred:
            await late_mapping.fetch_again(connection, dispatch, call.tenant)
        else:
            await late_mapping.write(connection, catalogue, dispatch, call, task, mapped)
        result.mapped.append(dispatch)


def _again(
    catalogue: ResolvedCatalogue, routing: Routing, source: str, body: bytes, pairs: tuple[tuple[str, str], ...]
) -> Arrival | str | None:
    """The arrival that it is now; the reason why it still is none; None when it is ignored now."""
    if not isinstance(catalogue.sources.get(source), WebhookSource):
        return f"the catalogue has no webhook source {source!r} any more"
    fields = {name.lower(): value for name, value in pairs}
    try:
        document = webhook.document(body, fields.get("content-type", ""))
    except webhook.BadBody as error:
        return str(error)
    delivery = webhook.delivery(source, catalogue.webhook(source), body, document, pairs, fields)
    if isinstance(delivery.read, webhook.Unmapped):
        return delivery.read.reason
    if isinstance(delivery.read, Ignored):
        return None
    name = delivery.read.name
    route = next((task.route for task in catalogue.tasks_of_event(name) if source in task.sources), None)
    decision = key = None
    if route is not None:
        key = ramp_key(catalogue.routes[route], delivery.read.tenant, delivery.read.data)
        decision = routing.decision(route, key or delivery.read.tenant)
        if _has_run(catalogue, source, name, decision):
            decision = decide(route, Phase.LEGACY)
    return webhook.arrival(delivery, planned(catalogue, source, name, Origin.PRODUCER, decision), decision, key)


def _has_run(catalogue: ResolvedCatalogue, source: str, name: str, decision: Decision) -> bool:
    """Whether legacy's run of what would be the candidate's is what an app did with the webhook, which was passed on
    when it arrived, since nobody knew then what it was. A route that is retired has no such app any more."""
    if decision.authority is Side.LEGACY or decision.phase is Phase.RETIRED:
        return False
    return any(catalogue.starts_by_forward(source, task) for task in fed(catalogue, name, source, Origin.PRODUCER))


async def _become(connection: Connection, event: UUID, upstream_id: str, arrival: Arrival) -> None:
    """Write the event as it is now understood, and hand it over; it was passed on when it arrived."""
    seed = Seed.new()
    decision = arrival.decision
    candidate = any(dispatch.side is Side.CANDIDATE for dispatch in arrival.dispatches)
    upstream = seed.ulid(0) if candidate else upstream_id
    await connection.execute(
        _EVENT,
        (
            arrival.name,
            arrival.tenant,
            arrival.occurred_at,
            arrival.delivery_id or upstream,
            upstream,
            decision.route if decision else None,
            decision.phase.value if decision else None,
            decision.authority.value if decision else None,
            list(decision.sides) if decision and decision.decided else None,
            decision.decided if decision else None,
            arrival.ramp_key,
            event,
        ),
    )
    # Until now nobody knew whose it is: all of it was sealed as nobody's.
    originals = {"data": arrival.data}
    if arrival.request is not None:
        originals |= {"request": arrival.request, "headers": orjson.dumps(arrival.headers)}
    else:
        await connection.execute(_NOT_KEPT, (event,))
    for part, content in originals.items():
        await late_mapping.write_original(connection, event, arrival.tenant, part, content)
    for dispatch in arrival.dispatches:
        if dispatch.stage is Stage.FORWARD:
            continue
        batched = dispatch.side is Side.CANDIDATE
        await connection.execute(
            _DISPATCH,
            (
                new_id(),
                event,
                dispatch.side.value,
                dispatch.stage.value,
                dispatch.platform,
                dispatch.task,
                arrival.tenant,
                dispatch.state.value,
                dispatch.delay,
                seed.header() if batched else None,
                0 if batched else None,
            ),
        )
