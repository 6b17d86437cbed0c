"""What becomes of an event of a source: which decision governs it and which hand-overs it needs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from api.front.services import Decides
from shadow.catalogue import ResolvedCatalogue, Route
from shadow.catalogue.model import Origin
from shadow.cutover.decision import Decision
from shadow.intake.arrival import Descent, PlannedDispatch
from shadow.intake.plan import planned
from shadow.intake.ramp_keys import ramp_key


@dataclass(frozen=True, slots=True)
class Plan:
    decision: Decision | None
    """None when the source feeds no task by that event."""
    dispatches: tuple[PlannedDispatch, ...]
    descent: Descent | None = None
    """Of what a run emitted."""
    ramp_key: str | None = None
    """As it is kept with the event."""


@dataclass(slots=True)
class _Feed:
    """A kind of event by which a source feeds tasks."""

    route: Route
    plans: dict[int, Plan] = field(default_factory=dict)
    """By the identity of the decision."""


class Plans:
    """`shadow.intake.plan.planned` for each kind of event, worked out once for each decision."""

    def __init__(self, catalogue: ResolvedCatalogue, routing: Decides) -> None:
        self._catalogue = catalogue
        self._routing = routing
        self._feeds = {
            (source, task.event): _Feed(catalogue.routes[task.route])
            for task in catalogue.tasks.values()
            for source in task.sources
        }
        self._without_task: dict[str, Plan] = {}

    def of(self, source: str, event_name: str, origin: Origin, tenant: str | None, data: Any) -> Plan:
        """The plan for an event that is accepted now. The origin is the source's.

        Args:
            data: the event's, parsed.
        """
        plan = self.feeding(source, event_name, origin, tenant, data)
        return self.without_task(source) if plan is None else plan

    def feeding(self, source: str, event_name: str, origin: Origin, tenant: str | None, data: Any) -> Plan | None:
        """`of`, or None where that source feeds no task by that event."""
        feed = self._feeds.get((source, event_name))
        if feed is None:
            return None
        key = ramp_key(feed.route, tenant, data) if tenant is None else None  # a tenant is the key, and not kept twice
        decision = self._routing.decision(feed.route.name, key or tenant)
        plan = feed.plans.get(id(decision))  # the routing hands out one object a decision
        if plan is None or plan.decision is not decision:
            dispatches = planned(self._catalogue, source, event_name, origin, decision)
            plan = feed.plans[id(decision)] = Plan(decision, dispatches)
        return plan if key is None else replace(plan, ramp_key=key)

    def without_task(self, source: str) -> Plan:
        """The plan for what feeds no task: at most the forward of a webhook."""
        plan = self._without_task.get(source)
        if plan is None:
            plan = Plan(None, planned(self._catalogue, source, "", Origin.PRODUCER, None))
            self._without_task[source] = plan
        return plan

    def events(self, source: str | None) -> list[str]:
        """The names of the events by which the source feeds tasks; of all events, for what a run emits."""
        return sorted({event for feeder, event in self._feeds if source is None or feeder == source})
