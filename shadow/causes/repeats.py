"""Repeating a recorded event, so that runs of it can be watched without any of them reaching the world.

The repetition is an event of its own, with an id that no platform has seen (an id that is known would be swallowed as a
duplicate), of a purpose that gives nobody authority, now or to its children.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Origin, Side
from shadow.causes.authority import Cause, Purpose, lineage_of
from shadow.cutover.routing import Routing
from shadow.effects.evidence import data_of_events
from shadow.intake.arrival import Descent, PlannedDispatch, Stage
from shadow.intake.plan import fed, planned
from shadow.model.ids import Seed, new_id
from shadow.store.database import Connection, Database, Work

log = structlog.get_logger(__name__)

_EVENT = b"SELECT source, door, origin, name, tenant, route, task, ramp_key FROM events WHERE id = %s"
_REPEAT = b"""
INSERT INTO events (id, source, door, origin, name, tenant, delivery_id, upstream_id, route, phase, authority, purpose,
                    sides, task, repeats, ramp_key, decided)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, NULL, %s, %s, %s, %s, %s, %s)
"""
_DATA = b"INSERT INTO bodies (id, part, content) VALUES (%s, 'data', %s)"
_DISPATCH = b"""
INSERT INTO dispatches (id, event_id, side, stage, platform, task, tenant, state, due_at, seed, position)
VALUES (%s, %s, %s, %s, %s, %s, %s, 'due', now() + %s, %s, 0)
"""


class Repeater:
    """Repeats recorded events, as routes stand when it is made. Nobody has authority over what it makes."""

    def __init__(self, catalogue: ResolvedCatalogue, routing: Routing) -> None:
        self._catalogue = catalogue
        self._routing = routing

    @classmethod
    async def of(cls, database: Database, catalogue: ResolvedCatalogue) -> Repeater:
        routing = Routing(catalogue, database)
        await routing.refresh()
        return cls(catalogue, routing)

    async def repeat(
        self, conn: Connection, event: UUID, purpose: Purpose, sides: Sequence[Side], task: str | None = None
    ) -> UUID:
        """Accept a recorded event once more for those sides. The caller commits.

        A delayed event is not delayed again. On Trigger.dev the payload is mapped from the event's data.

        Args:
            task: which must be among those that it starts; legacy starts no other. The candidate's platform starts
                all that the event does.

        Returns:
            the id of the new event.

        Raises:
            LookupError: the event, or its data, is gone, or it feeds no task any more, or that task can't be started
                by itself.
            ValueError: the purpose is `live`, which repeats nothing.
        """
        if purpose is Purpose.LIVE:
            raise ValueError("a repeated event is of another purpose than live: nobody may have authority over it")
        cursor = await conn.execute(_EVENT, (event,))
        row = await cursor.fetchone()
        if row is None:
            raise LookupError(f"event {event} is gone")
        source, door, origin, name, tenant, route, named, key = row
        if route not in self._catalogue.routes:
            raise LookupError(f"event {event} feeds no task: there is nothing to run")
        data = (await data_of_events(conn, {event})).get(event)
        if data is None:
            raise LookupError(f"the data of event {event} are gone")
        decision = self._routing.decision(route, key or tenant)
        lineage = lineage_of(Cause(Origin.PRODUCER, None, purpose, tuple(sides)), decision)
        assert lineage.authority is None, "only live events give authority"
        named = named or (task if Side.CANDIDATE not in sides else None)
        descent = Descent(None, lineage.sides, None, purpose.value, named)
        dispatches = planned(self._catalogue, source, name, Origin(origin), decision, descent)
        if task is not None and not self._starts(dispatches, task, named, source, name, origin):
            raise LookupError(f"event {event} is not handed to {task} by Shadow: there is nothing to run")
        again, seed = new_id(), Seed.new()
        await conn.execute(
            _REPEAT,
            (
                again,
                source,
                # What a call's request was is not sent again: its key would find the run that there was.
                "inngest" if door == "trigger.dev" else door,
                origin,
                name,
                tenant,
                seed.ulid(0),
                seed.ulid(0),
                decision.route,
                decision.phase.value,
                purpose.value,
                [side.value for side in lineage.sides],
                named,
                event,
                key,
                decision.decided,
            ),
        )
        await conn.vault.ready([tenant])
        await conn.execute(_DATA, (again, conn.vault.seal(tenant, again.bytes, "data", data)))
        for dispatch in dispatches:
            await _hand_over(conn, again, tenant, dispatch, seed)
        await conn.execute(b"NOTIFY shadow_dispatches")
        log.info("causes.repeated", of=str(event), by=str(again), purpose=purpose.value)
        return again

    def _starts(
        self,
        dispatches: Sequence[PlannedDispatch],
        task: str,
        named: str | None,
        source: str,
        name: str,
        origin: str,
    ) -> bool:
        """Whether any of these starts that task. A webhook that is passed on as it came is not repeated."""
        by_id = {one.id: one for one in fed(self._catalogue, name, source, origin, named)}
        found = by_id.get(task)
        return found is not None and any(
            dispatch.task == task or (dispatch.task is None and dispatch.platform == found.candidate.platform)
            for dispatch in dispatches
            if dispatch.stage is Stage.DELIVER
        )


async def repeat(
    database: Database,
    catalogue: ResolvedCatalogue,
    event: UUID,
    purpose: Purpose,
    sides: Sequence[Side] = (Side.CANDIDATE,),
    task: str | None = None,
) -> UUID:
    """`Repeater.repeat` in a transaction of its own."""
    repeater = await Repeater.of(database, catalogue)
    async with database.connection(Work.CONTROL) as connection:
        return await repeater.repeat(connection, event, purpose, sides, task)


async def _hand_over(conn: Connection, event: UUID, tenant: str | None, dispatch: PlannedDispatch, seed: Seed) -> None:
    if dispatch.stage is Stage.FORWARD:
        return
    batched = dispatch.side is Side.CANDIDATE
    await conn.execute(
        _DISPATCH,
        (
            new_id(),
            event,
            dispatch.side.value,
            dispatch.stage.value,
            dispatch.platform,
            dispatch.task,
            tenant,
            dispatch.delay,
            seed.header() if batched else None,
        ),
    )
