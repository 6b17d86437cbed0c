"""The migration board: where every task stands, what keeps it from its next phase, and how far the migration is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shadow.catalogue import ResolvedCatalogue
from shadow.cutover.decision import Phase
from shadow.gate.report import GateReport
from shadow.reports.board_shapes import Blocker, Board, BoardCategory, BoardTask, BurnUp, GateState, NextStep
from shadow.reports.containments import NO_CONTAINMENT, containment_states
from shadow.reports.draining import left_by_task
from shadow.store.tables import gates, moves, phases

LONGEST = timedelta(days=365)
"""Of the burn-up."""

_NEXT = {Phase.LEGACY: Phase.SHADOW, Phase.SHADOW: Phase.RAMP, Phase.RAMP: Phase.LIVE, Phase.LIVE: Phase.RETIRED}
_MOVED = (Phase.LIVE, Phase.RETIRED)
_CONTAINED = ("proven", "declared")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a route stands."""

    phase: Phase = Phase.LEGACY
    share: int = 0
    """In ramp: percent."""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """A move, as far as the burn-up needs it."""

    tasks: tuple[str, ...]
    to: Phase
    at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """What is on record of all tasks; those of which nothing is are left out."""

    standing: Mapping[str, Standing]
    contained: Mapping[str, str]
    """Task -> the state of its containment."""
    reports: Mapping[str, GateReport]
    moves: Sequence[Moved]
    """Oldest first."""
    left: Mapping[str, int] = field(default_factory=dict)
    """Task whose candidate has authority, or some -> what legacy still has to finish with it."""


async def board(engine: AsyncEngine, catalogue: ResolvedCatalogue, now: datetime | None = None) -> Board:
    """The board as it stands now."""
    now = now or datetime.now(UTC)
    async with engine.connect() as connection:
        return board_of(catalogue, await on_record(connection, catalogue, now), now)


async def on_record(connection: AsyncConnection, catalogue: ResolvedCatalogue, now: datetime) -> Found:
    """What is on record of all tasks."""
    made = await connection.execute(
        select(moves.c.tasks, moves.c.to_phase, moves.c.effective_at)
        .where(moves.c.effective_at <= now)
        .order_by(moves.c.effective_at, moves.c.id)
    )
    return Found(
        standing=await standings(connection, now),
        contained=await containment_states(connection),
        reports=await gate_reports(connection),
        moves=[Moved(tuple(row.tasks), Phase(row.to_phase), row.effective_at) for row in made],
        left=await left_by_task(connection, catalogue),
    )


async def gate_reports(connection: AsyncConnection) -> dict[str, GateReport]:
    """Task -> what its gate said when it was last evaluated."""
    rows = await connection.execute(select(gates.c.task, gates.c.report))
    return {row.task: GateReport.from_json(row.report) for row in rows}


async def standings(connection: AsyncConnection, now: datetime) -> dict[str, Standing]:
    """Where every task stands that was ever moved."""
    found = {}
    for row in await connection.execute(select(phases)):
        begun = now >= row.effective_at
        phase = Phase(row.phase if begun else row.previous)
        found[row.task] = Standing(
            phase, row.share if begun else row.previous_share, row.effective_at if begun else None
        )
    return found


def board_of(catalogue: ResolvedCatalogue, found: Found, now: datetime) -> Board:
    """The board of what is on record. Pure."""
    own = {task: _blockers(task, found) for task in catalogue.tasks}
    tasks = []
    for task, resolved in catalogue.tasks.items():
        mates = [mate for mate in catalogue.routes[resolved.route].tasks if mate != task]
        tasks.append(_task(task, resolved.category, resolved.route, own, mates, found))
    categories = sorted({row.category for row in tasks}, key=lambda name: (name is None, name or ""))
    return Board(
        total=_category(None, tasks),
        categories=[_category(name, [row for row in tasks if row.category == name]) for name in categories],
        tasks=tasks,
        burn_up=burn_up(catalogue.tasks, found.moves, now),
    )


def _task(
    task: str,
    category: str | None,
    route: str,
    own: Mapping[str, Sequence[Blocker]],
    mates: Sequence[str],
    found: Found,
) -> BoardTask:
    standing = found.standing.get(task, Standing())
    report = found.reports.get(task)
    state: GateState = "unknown" if report is None else "open" if report.open else "closed"
    held = [mate for mate in mates if own[mate]]
    blockers = list(own[task])
    if held:
        blockers.append(Blocker(name="route", says=f"moves together with {', '.join(held)}, which may not move yet"))
    return BoardTask(
        task=task,
        category=category,
        route=route,
        phase=standing.phase,
        share=standing.share if standing.phase is Phase.RAMP else None,
        since=standing.since,
        gate=state,
        pairs_needed=report.pairs_needed if report else None,
        upper_bound=report.upper_bound if report else None,
        blockers=blockers,
        next=_next(standing, blockers, [found.reports.get(name) for name in (task, *held)]),
    )


def _blockers(task: str, found: Found) -> list[Blocker]:
    """What of the task's own keeps it from its next phase."""
    phase = found.standing.get(task, Standing()).phase
    if phase is Phase.LEGACY:
        state = found.contained.get(task, NO_CONTAINMENT)
        if state in _CONTAINED:
            return []
        return [Blocker(name="containment", says=f"its containment is neither proven nor declared: {state}")]
    if phase is Phase.RETIRED:
        return []
    draining = []
    if phase is Phase.LIVE and (left := found.left.get(task, 0)):
        runs = "a run" if left == 1 else f"{left:,} runs"
        draining.append(Blocker(name="draining", says=f"legacy still has {runs} to finish with authority"))
    return [*_of_gate(found.reports.get(task)), *draining]


def _of_gate(report: GateReport | None) -> list[Blocker]:
    if report is None:
        return [Blocker(name="gate", says="its gate was not evaluated yet")]
    if report.open:
        return []
    return [Blocker(name=condition.name.value, says=condition.says) for condition in report.blockers] or [
        Blocker(name="gate", says="its gate is closed")
    ]


def _next(standing: Standing, blockers: Sequence[Blocker], reports: Sequence[GateReport | None]) -> NextStep:
    """The next step of a route; `reports` are those of its tasks that may be waited for."""
    to = _NEXT.get(standing.phase)
    if to is None:
        return NextStep(phase=None, ready=False, on=None, says="retired: nothing is left to do")
    if standing.phase is Phase.RAMP and standing.share < 100:
        to = Phase.RAMP
    if not blockers:
        return NextStep(phase=to, ready=True, on=None, says=_READY[standing.phase, to])
    opening = [None if report is None else report.opens_at for report in reports if report is None or not report.open]
    known = [moment for moment in opening if moment is not None]
    on = max(known) if known and len(known) == len(opening) else None
    return NextStep(phase=to, ready=False, on=on, says=blockers[0].says)


_READY = {
    (Phase.LEGACY, Phase.SHADOW): "contained: it may run in shadow",
    (Phase.SHADOW, Phase.RAMP): "its gate is open: a share of keys may go to the candidate",
    (Phase.RAMP, Phase.RAMP): "its gate is open: the share may grow",
    (Phase.RAMP, Phase.LIVE): "its gate is open and the candidate has all keys: it may go live",
    (Phase.LIVE, Phase.RETIRED): "its gate is open and legacy has finished: it may be retired",
}


def _category(name: str | None, tasks: Sequence[BoardTask]) -> BoardCategory:
    return BoardCategory(
        category=name,
        tasks=len(tasks),
        phases=_by_phase(row.phase for row in tasks),
        open=sum(row.gate == "open" for row in tasks),
        ready=sum(row.next.ready for row in tasks),
    )


def _by_phase(found: Iterable[Phase]) -> dict[Phase, int]:
    counts = Counter(found)
    return {phase: counts[phase] for phase in Phase}


def burn_up(tasks: Iterable[str], made: Sequence[Moved], now: datetime) -> list[BurnUp]:
    """Where these tasks stood at the end of each UTC day from the first move on, and stand now. Pure.

    Args:
        made: the moves that have begun, oldest first; tasks that are none of these are left out.
    """
    today = now.astimezone(UTC).date()
    standing = dict.fromkeys(tasks, Phase.LEGACY)
    first = made[0].at.astimezone(UTC).date() if made else today
    days: list[BurnUp] = []
    waiting = list(reversed(made))
    for number in range((today - first).days + 1):
        day = first + timedelta(days=number)
        while waiting and waiting[-1].at.astimezone(UTC).date() <= day:
            move = waiting.pop()
            standing.update({task: move.to for task in move.tasks if task in standing})
        if today - day <= LONGEST:
            days.append(_day(day, standing))
    return days


def _day(day: date, standing: Mapping[str, Phase]) -> BurnUp:
    counts = _by_phase(standing.values())
    return BurnUp(day=day, phases=counts, moved=sum(counts[phase] for phase in _MOVED))
