"""Moving a route: what is allowed, through the gates of its tasks or by force."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from shadow.catalogue import ResolvedCatalogue, Route
from shadow.containment.record import refusal, uncontained
from shadow.cutover.decision import WHOLE, Phase
from shadow.cutover.joined import joined_with
from shadow.cutover.moves import Move, MoveRefused, Stand, hold, stand_of, write_move
from shadow.gate.looking import look as look_at_gates
from shadow.gate.report import GateReport
from shadow.observe.fail_points import reach
from shadow.steering.draining import draining
from shadow.steering.nameless import why_twice, why_undone
from shadow.steering.ramp_keys import why_whole_only
from shadow.steering.reversing import why_not_reversed
from shadow.steering.transitions import Wanted, begins_contained, leads_back, why_not_next
from shadow.store.database import Connection, Database, Work

_WHOLE = (Phase.LIVE, Phase.RETIRED)
"""Where the candidate has all of a route."""
Look = Callable[[Database, ResolvedCatalogue, Collection[str]], Awaitable[Mapping[str, GateReport]]]
"""What the gates of tasks say now."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What becomes of one route."""

    route: Route
    current: Stand
    wanted: Stand
    is_back: bool


async def move(
    database: Database,
    catalogue: ResolvedCatalogue,
    task: str,
    phase: Phase,
    *,
    actor: str,
    reason: str,
    share: int | None = None,
    allow: Collection[str] | None = None,
    deny: Collection[str] | None = None,
    force: bool = False,
    look: Look = look_at_gates,
) -> Move:
    """Move the route of `task`, all its tasks together, and with it the routes whose runs start each other's past the
    doors (`cutover/joined.py`).

    Back is always allowed: to an earlier phase, or to fewer keys of the ramp. Forward goes from `shadow` on through
    the open gates of all tasks, or by force. Where the candidate begins to run without authority, which is into
    `shadow` or `ramp` from any other phase, every task needs, forced or not, a containment proof for the candidate's
    present version, or a declaration on record; where legacy does (`cutover.reverse`), what `reversing.py` asks for.
    Into `legacy` nothing is needed.

    Args:
        share: percent of keys for which the candidate shall have authority; of `ramp` only. None: as before.
        allow, deny: keys that it has and has not, whatever the share is; of `ramp` only. None: as before.
        look: what tells of the gates.

    Returns:
        the move of that task's route.

    Raises:
        MoveRefused: unknown task, no reason, nothing to change, a gate that is closed, or a phase that the route can't
            take.
    """
    if task not in catalogue.tasks:
        raise MoveRefused(f"no task {task!r}; expected one of {', '.join(sorted(catalogue.tasks))}")
    if not reason.strip():
        raise MoveRefused("a move needs a reason, in words that a later reader understands")
    asked = Wanted(phase, share, allow, deny)
    route = catalogue.routes[catalogue.tasks[task].route]
    async with database.connection(Work.CONTROL) as connection:
        steps = await _steps(connection, catalogue, route, asked)
    # Looked at before anything is held: it takes as long as it takes.
    gated = [name for step in steps if _is_gated(step) for name in step.route.tasks]
    reports = await look(database, catalogue, gated) if gated else {}
    async with database.connection(Work.CONTROL) as connection:
        await hold(connection)
        if await _steps(connection, catalogue, route, asked) != steps:
            raise MoveRefused(f"task {task!r} was moved meanwhile: look again where it stands")
        forced = []
        for step in steps:
            try:
                forced.append(await _checked(connection, catalogue, step, reports, force=force))
            except MoveRefused as error:
                if step.route == route:
                    raise
                raise MoveRefused(
                    f"route {route.name!r} moves together with {step.route.name!r}, as runs of one start runs of the"
                    f" other past the doors, and that can't move: {error}"
                ) from error
        now = datetime.now(UTC)
        moves = [
            await write_move(
                connection,
                step.route,
                phase,
                actor=actor,
                reason=reason if step.route == route else f"{reason} (moves together with {route.name})",
                ramp=step.wanted.ramp,
                reverse=step.wanted.reverse,
                forced=by_force,
                evidence={name: reports[name].as_json() for name in step.route.tasks if name in reports} or None,
                now=now,
            )
            for step, by_force in zip(steps, forced, strict=True)
        ]
        reach("moves.writing")
    reach("moves.written")
    return replace(moves[0], together=tuple(step.route.name for step in steps[1:]))


async def _steps(connection: Connection, catalogue: ResolvedCatalogue, route: Route, asked: Wanted) -> Sequence[_Step]:
    """What is to be moved: that route first, then those that are joined with it and stand elsewhere."""
    now = datetime.now(UTC)
    current, coming, at = await stand_of(connection, route, now)
    wanted = asked.stand(current, route.reverse)
    if wanted == (coming or current):
        raise MoveRefused(f"task {route.tasks[0]!r} is in phase {wanted} already")
    steps = [_Step(route, current, wanted, _is_back(current, coming, wanted))]
    if coming is not None and at is not None and not steps[0].is_back:
        raise MoveRefused(f"task {route.tasks[0]!r} is about to be in {coming}, from {at:%H:%M:%S} UTC on: wait for it")
    if not (current.is_handed_over or wanted.is_handed_over):
        return steps  # legacy has the authority before and after
    for other in await joined_with(connection, catalogue, route):
        its, its_coming, _at = await stand_of(connection, other, now)
        same = Stand(wanted.phase, wanted.ramp, wanted.reverse and other.reverse)
        is_back = _is_back(its, its_coming, same)
        # On the way back nothing is kept by a route that stands nearer to legacy already.
        if (its_coming or its) == same or (steps[0].is_back and not is_back):
            continue
        if its_coming is not None and not is_back:
            raise MoveRefused(f"route {other.name!r}, which moves with it, is about to be in {its_coming}: wait for it")
        steps.append(_Step(other, its, same, is_back))
    return steps


def _is_back(current: Stand, coming: Stand | None, wanted: Stand) -> bool:
    """Whether it leads back from where a route stands, and from where it is about to: who takes a way back back before
    it takes effect moves it on."""
    return leads_back(current, wanted) and (coming is None or leads_back(coming, wanted))


def _is_gated(step: _Step) -> bool:
    return not step.is_back and step.current.phase is not Phase.LEGACY and step.current != step.wanted


async def _checked(
    connection: Connection,
    catalogue: ResolvedCatalogue,
    step: _Step,
    reports: Mapping[str, GateReport],
    *,
    force: bool,
) -> bool:
    """Whether it is by force that the route is moved.

    Raises:
        MoveRefused: it may not be.
    """
    route, current, wanted = step.route, step.current, step.wanted
    if begins_contained(current.phase, wanted.phase) and (lacking := await uncontained(connection, route.tasks)):
        raise MoveRefused(refusal(lacking))
    if step.is_back:
        return False
    if 0 < wanted.ramp.share < WHOLE and (why := await why_whole_only(connection, catalogue, route)):
        raise MoveRefused(why)
    if wanted.reverse and (why := await why_not_reversed(connection, catalogue, route)):
        raise MoveRefused(why)
    why = why_not_next(current.phase, wanted.phase)
    if not why and _is_gated(step):
        undone, undrained = await _undone(connection, step), await _undrained(connection, catalogue, step)
        closed = (_closed(route, reports), undone, undrained)
        why = ". ".join(said for said in closed if said)
    if why and not force:
        raise MoveRefused(f"{why}. By force, with a reason, it can be moved all the same")
    return bool(why)


async def _undone(connection: Connection, step: _Step) -> str:
    """What nobody would do where legacy is to have all of the route no longer, and what both would where the candidate
    is to; empty where nothing."""
    said = []
    if step.wanted.is_handed_over and not step.current.is_handed_over:
        said.append(await why_undone(connection, step.route))
    if step.wanted.phase in _WHOLE and step.current.phase not in _WHOLE:
        said.append(await why_twice(connection, step.route))
    return ". ".join(why for why in said if why)


async def _undrained(connection: Connection, catalogue: ResolvedCatalogue, step: _Step) -> str:
    """What legacy still has to finish where it is about to be given up; empty where nothing is."""
    if step.wanted.phase is not Phase.RETIRED:
        return ""
    found = await draining(connection, catalogue, step.route.tasks)
    return "; ".join(
        f"legacy has not drained: {one.task!r} has {one.runs} runs in flight ({one.scheduled} of them scheduled),"
        f" {one.waiting} events on their way and {one.dead} dead letters"
        for one in found.values()
        if one.left
    )


def _closed(route: Route, reports: Mapping[str, GateReport]) -> str:
    """What the gates that are closed say; empty where all are open."""
    said = []
    for task in route.tasks:
        report = reports.get(task)
        if report is None:
            said.append(f"nothing is known of the gate of {task!r}")
        elif not report.open:
            each = "; ".join(condition.says.rstrip(".") for condition in report.blockers) or "it does not say why"
            said.append(f"the gate of {task!r} is closed: {each}")
    return ". ".join(said)
