"""From what the file says to what the service uses: defaults, compiled expressions, routes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from shadow.catalogue import expressions
from shadow.catalogue.consistency import candidate_function, inconsistencies, legacy_task
from shadow.catalogue.expressions import CompiledExpression, ExpressionError
from shadow.catalogue.gate_settings import BUDGET, BUDGETS
from shadow.catalogue.model import (
    Catalogue,
    CutoverSettings,
    GateSettings,
    RuleSettings,
    Task,
    TaskDefaults,
    WebhookSource,
)
from shadow.catalogue.outside import Probe, WorldRow
from shadow.catalogue.paths import JSON
from shadow.catalogue.problems import Finding, Path, dotted
from shadow.catalogue.resolved import (
    CandidateTarget,
    LegacyTarget,
    ResolvedCatalogue,
    ResolvedCutover,
    ResolvedProbe,
    ResolvedTask,
    ResolvedWorldRow,
    Route,
)
from shadow.catalogue.values import Strict
from shadow.catalogue.webhook import Compile, WebhookMapper

T = TypeVar("T")
S = TypeVar("S", bound=Strict)

DEADLINE = timedelta(minutes=15)
"""Of a task for which the catalogue says none."""
SETTLE = timedelta(seconds=5)
"""Of a task for which the catalogue says none."""


def resolve(catalogue: Catalogue) -> tuple[ResolvedCatalogue | None, tuple[Finding, ...]]:
    """The catalogue ready for use, or None and what is wrong with it."""
    found = list(inconsistencies(catalogue))
    webhooks: dict[str, WebhookMapper] = {}
    tenants: dict[str, CompiledExpression] = {}
    for name, source in catalogue.sources.items():
        if isinstance(source, WebhookSource):
            webhooks[name] = WebhookMapper(name, source, _compiler(found, tables=source.tables, headers=True))
        else:
            compiled = _compiler(found, tables=(), headers=False)
            tenants[name] = compiled(source.tenant, ("sources", name, "tenant"), optional=True)
    compiled = _compiler(found, tables=(), headers=False)
    routes = _routes(catalogue)
    route_of = {task: route.name for route in routes.values() for task in route.tasks}
    tasks = {
        task_id: _task(task_id, task, route_of[task_id], catalogue, compiled)
        for task_id, task in catalogue.tasks.items()
    }
    routes = {name: _cut_over(route, tasks) for name, route in routes.items()}
    found.extend(_divided(catalogue, routes))
    if found:
        return None, tuple(found)
    return ResolvedCatalogue(catalogue, tasks, routes, webhooks, tenants), ()


def _compiler(found: list[Finding], *, tables: Collection[str], headers: bool) -> Compile:
    def compiled(expression: JSON, path: Path, *, optional: bool = False, at_key: bool = False) -> CompiledExpression:
        try:
            return expressions.compile(
                expression, where=dotted(path), tables=tables, headers=headers, optional=optional
            )
        except ExpressionError as error:
            found.append(Finding((*path, *error.path), error.found, error.expected, at_key=at_key))
            return expressions.compile(None)

    return compiled


def _routes(catalogue: Catalogue) -> dict[str, Route]:
    """Tasks that share a trigger event move together: on the candidate side one event starts them all.

    Sharing a legacy task would join them too, but two tasks with the same one are refused.
    """
    sharing: dict[str, list[str]] = {}
    for task_id, task in catalogue.tasks.items():
        sharing.setdefault(task.event, []).append(task_id)
    routes = (Route("+".join(sorted(tasks)), tuple(sorted(tasks)), (event,)) for event, tasks in sharing.items())
    return {route.name: route for route in routes}


def _cut_over(route: Route, tasks: Mapping[str, ResolvedTask]) -> Route:
    """The route with how its tasks move over, which is the same for all of them."""
    settings = tasks[route.tasks[0]].cutover
    return replace(route, entity=settings.entity, reverse=settings.reverse)


def _divided(catalogue: Catalogue, routes: Mapping[str, Route]) -> Iterator[Finding]:
    """Tasks of one route decide together who has an event: by the same key, and for the same sides."""
    for route in routes.values():
        settings = {
            task: _merged(CutoverSettings(), [level.cutover for level in _levels(catalogue.tasks[task], catalogue)])
            for task in route.tasks
        }
        first = route.tasks[0]
        for task, its in settings.items():
            for key in ("entity", "reverse"):
                if getattr(its, key) != getattr(settings[first], key):
                    yield Finding(
                        ("tasks", task, "event"),
                        f"{catalogue.tasks[task].event!r}, shared with another task whose cutover.{key} is another",
                        "the same for both, as they move together",
                        also=("shared with", ("tasks", first)),
                    )


def _levels(task: Task, catalogue: Catalogue) -> tuple[TaskDefaults, ...]:
    """What it says itself, its category says and all tasks have, nearest first."""
    category = catalogue.categories.get(task.category, TaskDefaults()) if task.category is not None else TaskDefaults()
    return (task, category, catalogue.defaults)


def _task(task_id: str, task: Task, route: str, catalogue: Catalogue, compiled: Compile) -> ResolvedTask:
    path: Path = ("tasks", task_id)
    levels = _levels(task, catalogue)
    return ResolvedTask(
        id=task_id,
        category=task.category,
        event=task.event,
        sources=task.sources,
        legacy=LegacyTarget(
            platform=task.legacy.platform,
            task=legacy_task(task_id, task),
            payload=compiled(task.legacy.payload, (*path, "legacy", "payload")),
            options=task.legacy.options,
        ),
        candidate=CandidateTarget(
            platform=task.candidate.platform,
            function=candidate_function(task_id, task, catalogue),
            data=compiled(task.candidate.data, (*path, "candidate", "data")),
            flow=task.candidate.flow,
        ),
        deadline=_first([level.deadline for level in levels], DEADLINE),
        settle=_first([level.settle for level in levels], SETTLE),
        tenant_rate=next((level.tenant_rate for level in levels if level.tenant_rate is not None), None),
        rules=_merged(RuleSettings(), [level.rules for level in levels]),
        route=route,
        description=task.description,
        sequence=_first([level.sequence for level in levels], "after" if catalogue.targets else "together"),
        reads=_first([level.reads for level in levels], "replay"),
        business_keys=_first([level.business_keys for level in levels], ()),
        world=tuple(
            _world_row(row, (*path, "world", index), catalogue, compiled)
            for index, row in enumerate(_first([level.world for level in levels], ()))
        ),
        probes=tuple(
            _probe(probe, (*path, "probes", index), compiled)
            for index, probe in enumerate(_first([level.probes for level in levels], ()))
        ),
        gate=_gate(task.category, [level.gate for level in levels]),
        cutover=_cutover(_merged(CutoverSettings(), [level.cutover for level in levels]), path, compiled),
        cron=task.cron,
    )


def _world_row(row: WorldRow, path: Path, catalogue: Catalogue, compiled: Compile) -> ResolvedWorldRow:
    return ResolvedWorldRow(
        database=row.database or next(iter(catalogue.databases), ""),
        table=row.table,
        key={column: compiled(value, (*path, "key", column)) for column, value in row.key.items()},
        changed_at=row.changed_at,
    )


def _probe(probe: Probe, path: Path, compiled: Compile) -> ResolvedProbe:
    return ResolvedProbe(
        name=probe.name,
        database=probe.database,
        sql=probe.sql,
        target=probe.target,
        request=probe.request,
        parameters={name: compiled(value, (*path, "parameters", name)) for name, value in probe.parameters.items()},
        identity=probe.identity,
        rows=probe.rows,
        timeout=probe.timeout,
    )


def _first(values: list[T | None], default: T) -> T:
    return next((value for value in values if value is not None), default)


def _merged(default: S, levels: list[S | None]) -> S:
    """Each key from the nearest level that sets it."""
    merged = default
    for settings in reversed(levels):
        if settings is not None:
            merged = merged.model_copy(update={key: getattr(settings, key) for key in settings.model_fields_set})
    return merged


def _gate(category: str | None, levels: list[GateSettings | None]) -> GateSettings:
    budget = BUDGETS.get(category or "", BUDGET)
    merged = _merged(GateSettings(budget=budget), levels)
    return merged if merged.budget is not None else merged.model_copy(update={"budget": budget})


def _cutover(settings: CutoverSettings, path: Path, compiled: Compile) -> ResolvedCutover:
    return ResolvedCutover(
        entity=None
        if settings.entity is None
        else compiled(settings.entity, (*path, "cutover", "entity"), optional=True),
        reverse=settings.reverse,
        back_on=settings.back_on,
        failures=settings.failures,
        failures_runs=settings.failures_runs,
        dead_letters=settings.dead_letters,
    )
