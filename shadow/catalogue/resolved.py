"""The catalogue as the service uses it: every default filled in, every expression compiled, every name found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from shadow.catalogue.cutover_settings import Reason
from shadow.catalogue.expressions import CompiledExpression, Document, MappingFailed
from shadow.catalogue.model import (
    Catalogue,
    CronSettings,
    Flow,
    GateSettings,
    Limits,
    Platform,
    ReportKeys,
    RuleSettings,
    Source,
    WebhookSource,
)
from shadow.catalogue.outside import DatabasePair, Target
from shadow.catalogue.webhook import WebhookMapper


@dataclass(frozen=True, slots=True)
class LegacyTarget:
    """Where a task runs today."""

    platform: str
    task: str
    payload: CompiledExpression
    """On the event's data."""
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CandidateTarget:
    """The function that shall replace it."""

    platform: str
    function: str
    """The full slug: `app-function` on Inngest."""
    data: CompiledExpression
    """On a Trigger.dev call's payload."""
    flow: tuple[Flow, ...]


@dataclass(frozen=True, slots=True)
class ResolvedWorldRow:
    """Rows that a run needs to find as its twin found them."""

    database: str
    table: str
    key: Mapping[str, CompiledExpression]
    """Column to its value, on the event's data."""
    changed_at: str | None


@dataclass(frozen=True, slots=True)
class ResolvedProbe:
    """A read on each side after settling: `sql` of a database, or `request` of a target."""

    name: str
    database: str | None
    sql: str | None
    target: str | None
    request: str | None
    parameters: Mapping[str, CompiledExpression]
    """On `{"event": ..., "output": ...}`."""
    identity: tuple[str, ...]
    rows: int
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class ResolvedCutover:
    """How a task moves over; see `cutover_settings.py`."""

    entity: CompiledExpression | None
    """On the event's data."""
    reverse: bool
    back_on: tuple[Reason, ...]
    failures: float
    failures_runs: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class ResolvedTask:
    """One task with everything it inherits."""

    id: str
    category: str | None
    event: str
    sources: tuple[str, ...]
    legacy: LegacyTarget
    candidate: CandidateTarget
    deadline: timedelta
    settle: timedelta
    tenant_rate: float | None
    rules: RuleSettings
    route: str
    description: str | None
    sequence: Literal["after", "together"]
    reads: Literal["replay", "forward"]
    business_keys: tuple[str, ...]
    world: tuple[ResolvedWorldRow, ...]
    probes: tuple[ResolvedProbe, ...]
    gate: GateSettings
    """Its budget is set."""
    cutover: ResolvedCutover
    cron: CronSettings | None


@dataclass(frozen=True, slots=True)
class Route:
    """Tasks that change phase together, because they share what starts their candidate functions."""

    name: str
    tasks: tuple[str, ...]
    events: tuple[str, ...]
    entity: CompiledExpression | None = None
    """What a ramp sticks to where an event has no tenant; its tasks agree on it."""
    reverse: bool = False
    """Whether legacy runs without authority where the candidate has it; its tasks agree on it."""


_NOTHING: Mapping[str, Any] = {}
"""Headers and tables of what has none: two new mappings for each event would be felt."""


class ResolvedCatalogue:
    """A migration, ready for use. Immutable.

    Attributes:
        catalogue: what the file says.
        tasks: by the catalogue's id, in the file's order.
        routes: by name.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        tasks: Mapping[str, ResolvedTask],
        routes: Mapping[str, Route],
        webhooks: Mapping[str, WebhookMapper],
        tenants: Mapping[str, CompiledExpression],
    ) -> None:
        """
        Args:
            tenants: of the keyed sources, what finds the tenant in an event's data.
        """
        self.catalogue = catalogue
        self.tasks = tasks
        self.routes = routes
        self._webhooks = webhooks
        self._tenants = tenants
        by_event: dict[str, list[ResolvedTask]] = {}
        for task in tasks.values():
            by_event.setdefault(task.event, []).append(task)
        self._by_event = {event: tuple(sharing) for event, sharing in by_event.items()}
        self._by_legacy = {(task.legacy.platform, task.legacy.task): task for task in tasks.values()}
        self._by_function = {task.candidate.function: task for task in tasks.values()}

    @property
    def platforms(self) -> Mapping[str, Platform]:
        return self.catalogue.platforms

    @property
    def sources(self) -> Mapping[str, Source]:
        return self.catalogue.sources

    @property
    def targets(self) -> Mapping[str, Target]:
        return self.catalogue.targets

    @property
    def databases(self) -> Mapping[str, DatabasePair]:
        return self.catalogue.databases

    @property
    def limits(self) -> Limits:
        return self.catalogue.limits

    @property
    def report_keys(self) -> ReportKeys:
        return self.catalogue.report_keys

    def tasks_of_event(self, name: str) -> tuple[ResolvedTask, ...]:
        """The tasks whose candidate functions an event of that name starts, whatever their sources."""
        return self._by_event.get(name, ())

    def task_of_legacy(self, platform: str, task: str) -> ResolvedTask | None:
        """The task with that id on that legacy platform."""
        return self._by_legacy.get((platform, task))

    def starts_by_forward(self, source: str, task: ResolvedTask) -> bool:
        """Whether legacy's run of that task is what an app does with the webhooks that the source forwards to it."""
        settings = self.sources.get(source)
        return (
            isinstance(settings, WebhookSource)
            and settings.forward is not None
            and settings.forward == task.legacy.platform
        )

    def task_of_function(self, slug: str) -> ResolvedTask | None:
        """The task whose candidate function has that full slug."""
        return self._by_function.get(slug)

    def webhook(self, source: str) -> WebhookMapper:
        """What maps that source's deliveries.

        Raises:
            KeyError: there is no webhook source of that name.
        """
        return self._webhooks[source]

    def tenant_of(self, source: str, data: Any) -> str | None:
        """The tenant of an event that came with these data through an Inngest or Trigger.dev source.

        Raises:
            KeyError: there is no such source, or it is a webhook (whose mapper says the tenant).
        """
        try:
            tenant = self._tenants[source].evaluate(Document(data, _NOTHING, _NOTHING))
        except MappingFailed:
            return None
        if isinstance(tenant, str):
            return tenant or None
        return str(tenant) if isinstance(tenant, int) and not isinstance(tenant, bool) else None
