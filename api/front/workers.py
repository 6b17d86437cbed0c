"""What workers bring to the doors: whose run it is of, what follows from that, and the effect that it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import OperationalError

from api.front.plans import Plan
from api.front.services import FrontServices
from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Origin, Side
from shadow.causes.authority import Cause, ParentAuthority, Purpose, lineage_of, waits_for_its_twin
from shadow.causes.emissions import note_emissions
from shadow.causes.parents import Parent, Parents, Told
from shadow.fanout.stored_events import load_events
from shadow.intake.arrival import Descent, Receipt
from shadow.intake.plan import planned
from shadow.intake.ramp_keys import ramp_key
from shadow.observe import metrics
from shadow.store.database import Work
from shadow.store.rounds import Rounds


@dataclass(frozen=True, slots=True)
class Worker:
    """Who brings an event that a run emitted."""

    side: Side
    parent: Parent
    told: Told

    @property
    def origin(self) -> Origin:
        return Origin(self.side.value)


class UnknownRun(Exception):
    """A producer's key brings what a run emitted that nobody knows, or not yet: it may be asked again."""

    def __init__(self, told: Told) -> None:
        super().__init__(f"run {told.run!r}, event {told.event!r} and task {told.task!r} name no run that is known")


class Workers:
    """Parents and plans of what runs emit."""

    def __init__(self, services: FrontServices) -> None:
        self._services = services
        self._catalogue: ResolvedCatalogue = services.catalogue
        self._notes = Rounds(self._note)
        self._parents = Parents(services.catalogue, services.database, self._ask)

    async def of(self, origin: Origin, told: Told) -> Worker | None:
        """The worker that holds a key of that origin; None for a producer.

        A producer's key in the hands of a run, which says so, brings that run's event: mirrored, it would run twice.

        Raises:
            UnknownRun: it says that a run brings it, and nobody knows of which side that is.
            psycopg.Error: the database is away.
        """
        if origin is not Origin.PRODUCER:
            side = Side(origin.value)
            return Worker(side, await self._parents.find(side, told), told)
        if not told:
            return None
        found = await self._parents.of_any_side(told)
        if found is None:
            raise UnknownRun(told)
        return Worker(found[0], found[1], told)

    async def _ask(self, side: Side, told: Told) -> UUID | None:
        """A parent that began on its platform, unseen by any door, or that only its platform can tell from another."""
        find = self._services.discover if side is Side.LEGACY else self._services.identify
        return await find(told.run) if told.run is not None and find is not None else None

    def knows(self, event_name: str) -> bool:
        """Whether the event feeds a task: of what a run emits, whatever the task's sources."""
        return bool(self._catalogue.tasks_of_event(event_name))

    def plan(
        self, worker: Worker, source: str, event_name: str, tenant: str | None, data: Any, task: str | None = None
    ) -> Plan:
        """What becomes of an event that is accepted now.

        Args:
            tenant, data: the event's; its data parsed.
            task: the one that it means, where a call names it.
        """
        route, kept = self._route(event_name), None
        if route is not None:
            kept = ramp_key(self._catalogue.routes[route], tenant, data, worker.parent.ramp_key)
        decision = self._services.routing.decision(route, kept or tenant) if route is not None else None
        lineage = lineage_of(_cause(worker), decision)
        descent = Descent(
            lineage.authority,
            lineage.sides,
            worker.parent.run_id,
            worker.parent.purpose.value,
            task,
            waits_for_its_twin(_cause(worker), decision),
        )
        metrics.child(
            worker.side.value,
            worker.parent.authority.value,
            "bridged" if lineage.bridged else "own" if lineage.sides else "withheld",
        )
        dispatches = planned(self._catalogue, source, event_name, worker.origin, decision, descent)
        return Plan(decision, dispatches, descent, kept)

    def may_bridge(self, worker: Worker, event_name: str) -> bool:
        """Whether such an event of that run's, accepted now, could be the other side's: whatever its own key is, where
        its root has none."""
        route, key = self._route(event_name), worker.parent.ramp_key
        if route is None:
            return False
        routing = self._services.routing
        decisions = routing.decisions(route) if key is None else (routing.decision(route, key),)
        return any(lineage_of(_cause(worker), decision).bridged for decision in decisions)

    def _route(self, event_name: str) -> str | None:
        fed = self._catalogue.tasks_of_event(event_name)
        return fed[0].route if fed else None

    async def note(self, worker: Worker, receipts: Sequence[Receipt]) -> None:
        """Keep the events as effects of the run. Harmless to repeat.

        Raises:
            psycopg.Error: the database is away, or was, and some of the events are still on their way to it. An
                emission that nobody noted would be missing from its run.
        """
        said = worker.told.run if worker.parent.run_id is None else None
        there = await self._notes.ask((tuple(receipt.event_id for receipt in receipts), said))
        if any(receipt.spooled is not None and receipt.event_id not in there for receipt in receipts):
            raise OperationalError("some of the events lie in the spool")

    async def _note(self, emissions: Sequence[tuple[Sequence[UUID], str | None]]) -> list[set[UUID]]:
        """The events that were there, for each. One that is gone by now was a duplicate's."""
        said = {event: name for events, name in emissions if name is not None for event in events}
        ids = {event for events, _name in emissions for event in events}
        async with self._services.database.connection(Work.CAUSES) as connection:
            events = await load_events(connection, ids)
            await note_emissions(connection, self._catalogue, events, said)
        return [{event.id for event in events}] * len(emissions)


def _cause(worker: Worker) -> Cause:
    return Cause(worker.origin, worker.parent.authority, worker.parent.purpose)


def unknown(side: Side) -> Worker:
    """A worker that says nothing of its run."""
    return Worker(side, Parent(None, ParentAuthority.UNKNOWN, Purpose.LIVE), Told())


def told_by(headers: Mapping[str, str]) -> Told:
    """What a request says of the run that makes it."""
    return Told.of(headers)
