"""Gates as people and programs ask for them: one, a list, or a group taken as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shadow.catalogue import ResolvedCatalogue
from shadow.cutover.decision import Phase
from shadow.cutover.routing import read_standings
from shadow.gate.looking import look
from shadow.gate.report import ConditionName, GateReport, State
from shadow.gate.stored import stored_reports
from shadow.reports.gate_shapes import GateGroup, Gates, GateView
from shadow.store.database import Connection, Database, Work

FRESH = timedelta(seconds=15)
"""How old what a gate said may be in a list; whoever asks for one gate or a group has it evaluated anew."""
MIGRATION = "migration"


async def gate(database: Database, catalogue: ResolvedCatalogue, task: str) -> GateView:
    """What the gate of a task says, evaluated anew.

    Raises:
        KeyError: the catalogue has no such task.
    """
    reports = await look(database, catalogue, [task])
    async with database.connection(Work.CONTROL) as connection:
        phases = await _phases(connection, [task])
    return view(catalogue, reports[task], phases[task], every=True)


async def gates(
    database: Database,
    catalogue: ResolvedCatalogue,
    *,
    category: str | None = None,
    phase: Phase | None = None,
    open_: bool | None = None,
    every: bool = False,
) -> Gates:
    """The gates of all tasks, or of those; in the catalogue's order.

    Args:
        every: with all conditions, rather than those alone that hold a gate shut.
    """
    async with database.connection(Work.CONTROL) as connection:
        phases = await _phases(connection, catalogue.tasks)
        tasks = [
            task.id
            for task in catalogue.tasks.values()
            if category in (None, task.category) and phase in (None, phases[task.id])
        ]
        known = await stored_reports(connection, tasks)
    oldest = datetime.now(UTC) - FRESH
    reports = {task: report for task, report in known.items() if report.evaluated_at >= oldest}
    reports |= await look(database, catalogue, [task for task in tasks if task not in reports])
    return Gates(
        items=[
            view(catalogue, reports[task], phases[task], every=every)
            for task in tasks
            if open_ in (None, reports[task].open)
        ]
    )


async def group(
    database: Database, catalogue: ResolvedCatalogue, name: str, tasks: Collection[str], *, every: bool = False
) -> GateGroup:
    """The gates of these tasks taken as one, evaluated anew."""
    async with database.connection(Work.CONTROL) as connection:
        phases = await _phases(connection, tasks)
    moving = [task for task in catalogue.tasks if task in phases and phases[task] is not Phase.RETIRED]
    reports = await look(database, catalogue, moving)
    return group_of(name, len(phases), [view(catalogue, reports[task], phases[task], every=every) for task in moving])


def group_of(name: str, tasks: int, items: Sequence[GateView]) -> GateGroup:
    """A group of that many tasks, of which these are not retired. Pure."""
    shut = [item for item in items if not item.open]
    dates = [item.opens_at for item in shut]
    opens_at = max((date for date in dates if date is not None), default=None) if None not in dates else None
    blockers = Counter(name for item in shut for name in item.blockers)
    if not shut:
        outlook = "all its gates are open"
    elif opens_at is None:
        waiting = sum(item.opens_at is None for item in shut)
        outlook = f"{len(shut):,} of {tasks:,} gates are closed, {waiting:,} of them until somebody sees to them"
    else:
        outlook = f"{len(shut):,} of {tasks:,} gates are closed, the last of them until {opens_at:%Y-%m-%d}"
    return GateGroup(
        group=name,
        open=not shut,
        tasks=tasks,
        open_tasks=tasks - len(shut),
        retired=tasks - len(items),
        opens_at=opens_at,
        outlook=outlook,
        blockers={condition: blockers[condition] for condition in ConditionName if blockers[condition]},
        items=list(items),
    )


def tasks_of_category(catalogue: ResolvedCatalogue, category: str) -> list[str]:
    """Its tasks; none where no task is of it."""
    return [task.id for task in catalogue.tasks.values() if task.category == category]


def view(catalogue: ResolvedCatalogue, report: GateReport, phase: Phase, *, every: bool) -> GateView:
    """A report as it is shown.

    Args:
        every: with all conditions, rather than those alone that hold it shut.
    """
    told: dict[str, Any] = report.as_json()
    shown = {condition.name for condition in (report.conditions if every else report.blockers)}
    told["conditions"] = [condition for condition in told["conditions"] if condition["name"] in shown]
    return GateView(
        **told,
        route=catalogue.tasks[report.task].route,
        phase=phase,
        blockers=[condition.name for condition in report.conditions if condition.state is State.UNMET],
    )


async def _phases(connection: Connection, tasks: Collection[str]) -> dict[str, Phase]:
    now = datetime.now(UTC)
    standings = await read_standings(connection)
    return {task: standings[task].at(now) if task in standings else Phase.LEGACY for task in tasks}
