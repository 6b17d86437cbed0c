"""Which hand-overs an event needs: a pure function of the catalogue, its door and the decision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from shadow.catalogue import ResolvedCatalogue, ResolvedTask
from shadow.catalogue.cron_settings import SCHEDULE
from shadow.catalogue.model import Origin, Side, WebhookSource
from shadow.cutover.decision import Decision
from shadow.intake.arrival import Descent, PlannedDispatch, Stage, State

CONTAINED_REST = timedelta(seconds=2)
"""How long a hand-over to legacy without authority rests: until every gateway knows that there is one, so that it takes
no such run for one with authority should the database go away (egress/contained.py)."""
PASSTHROUGH_PATIENCE = timedelta(seconds=60)
"""How long the door that forwards a webhook itself keeps the workers away from that hand-over."""
LONGEST_REST = timedelta(days=7)
"""After which a sequenced dispatch is looked at in any case; its patience may be longer."""


def planned(
    catalogue: ResolvedCatalogue,
    source: str,
    event_name: str,
    origin: Origin,
    decision: Decision | None,
    descent: Descent | None = None,
) -> tuple[PlannedDispatch, ...]:
    """The dispatches of one event.

    Legacy gets one for each task that the source feeds, the candidate one for each of its platforms, which fan
    out by themselves. An event that a worker emitted goes to the sides that its descent says, or to that worker's own:
    it is a child of a run, and mirroring it would run its task twice (DESIGN promise 11). A webhook whose source
    forwards gets passed on whatever its tasks' phase, unless that is what starts a task of legacy's, and legacy does
    not get the event.
    """
    return (
        *_forward(catalogue, source, event_name, decision),
        *(_deliveries(catalogue, source, event_name, origin, decision, descent) if decision else ()),
    )


def fed(
    catalogue: ResolvedCatalogue, event_name: str, source: str, origin: str, task: str | None = None
) -> list[ResolvedTask]:
    """The tasks that an event of that source feeds. What a worker emits feeds all that its name does: its source says
    only whose it is.

    Args:
        task: the one that it means, where a call or a clock named it.
    """
    return [
        one
        for one in catalogue.tasks_of_event(event_name)
        if (
            origin != Origin.PRODUCER
            or source in one.sources
            or (source == SCHEDULE and one.cron is not None and task is not None)
        )
        and task in (None, one.id)
    ]


def _forward(
    catalogue: ResolvedCatalogue, source: str, event_name: str, decision: Decision | None
) -> tuple[PlannedDispatch, ...]:
    settings = catalogue.sources.get(source)
    if not isinstance(settings, WebhookSource) or settings.forward is None:
        return ()
    if decision is not None and Side.LEGACY not in decision.sides:
        tasks = fed(catalogue, event_name, source, Origin.PRODUCER)
        if any(catalogue.starts_by_forward(source, task) for task in tasks):
            return ()
    delay = PASSTHROUGH_PATIENCE if settings.answer == "passthrough" else timedelta(0)
    return (PlannedDispatch(Side.LEGACY, Stage.FORWARD, settings.forward, None, State.DUE, delay),)


def _deliveries(
    catalogue: ResolvedCatalogue,
    source: str,
    event_name: str,
    origin: Origin,
    decision: Decision,
    descent: Descent | None,
) -> tuple[PlannedDispatch, ...]:
    sides = decision.sides if origin is Origin.PRODUCER else (Side(origin.value),)
    sides = descent.sides if descent else sides
    tasks = fed(catalogue, event_name, source, origin, descent.task if descent else None)
    dispatches = []
    if Side.LEGACY in sides:
        for task in tasks:
            if catalogue.starts_by_forward(source, task):
                continue
            contained = (descent or decision).authority is not Side.LEGACY
            rest = CONTAINED_REST if contained else timedelta(0)
            dispatch = PlannedDispatch(Side.LEGACY, Stage.DELIVER, task.legacy.platform, task.id, delay=rest)
            dispatches.append(_in_sequence(dispatch, [task], decision.authority, sides, descent))
    if Side.CANDIDATE in sides:
        for name in sorted({task.candidate.platform for task in tasks}):
            dispatch = PlannedDispatch(Side.CANDIDATE, Stage.DELIVER, name, None)
            started = [task for task in tasks if task.candidate.platform == name]
            dispatches.append(_in_sequence(dispatch, started, decision.authority, sides, descent))
    return tuple(dispatches)


def _in_sequence(
    dispatch: PlannedDispatch,
    tasks: Sequence[ResolvedTask],
    authority: Side | None,
    sides: Sequence[Side],
    descent: Descent | None,
) -> PlannedDispatch:
    patience = sequence_patience(tasks)
    if patience is None:
        return dispatch
    if descent is not None and descent.follows:
        # Its twin may have settled before it was emitted: it is looked at when its time has come, and not at the end of
        # its patience.
        return replace(dispatch, state=State.SEQUENCED)
    if is_second(dispatch.side, authority, sides):
        return replace(dispatch, state=State.SEQUENCED, delay=min(patience, LONGEST_REST))
    return dispatch


def is_second(side: Side, authority: Side | None, sides: Sequence[Side]) -> bool:
    """Whether that side runs an event without authority, beside a side that has it."""
    return authority is not None and authority is not side and authority in sides


def sequence_patience(tasks: Iterable[ResolvedTask]) -> timedelta | None:
    """How long a dispatch that starts those tasks without authority waits for their twins at most; None: not at all.

    One event starts all of them at once, so one that runs `after` makes the others wait with it.
    """
    tasks = list(tasks)
    if not any(task.sequence == "after" for task in tasks):
        return None
    return max(task.deadline for task in tasks)
