"""Moving a route: what is allowed, through the gates of its tasks or by force."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime

from shadow.catalogue import ResolvedCatalogue, Route
from shadow.catalogue.model import TriggerSource
from shadow.containment.record import refusal, uncontained
from shadow.cutover.decision import WHOLE, Phase, Ramp
from shadow.cutover.moves import Move, MoveRefused, Stand, hold, stand_of, write_move
from shadow.gate.report import GateReport
from shadow.steering.ramp_keys import why_whole_only
from shadow.store.database import Connection, Database, Work

Look = Callable[[Database, ResolvedCatalogue, Collection[str]], Awaitable[Mapping[str, GateReport]]]
"""What the gates of tasks say now."""

ORDER = tuple(Phase)
_NEXT: dict[Phase, tuple[Phase, ...]] = {
    Phase.LEGACY: (Phase.SHADOW,),
    Phase.SHADOW: (Phase.RAMP, Phase.LIVE),
    Phase.RAMP: (Phase.LIVE,),
    Phase.LIVE: (Phase.RETIRED,),
    Phase.RETIRED: (),
}
"""Forward, phase by phase."""


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
    look: Look | None = None,
) -> Move:
    """Move the route of `task`, all its tasks together.

    Back is always allowed: to an earlier phase, or to fewer keys of the ramp. Forward goes from `shadow` on through
    the open gates of all its tasks, or by force. Where the candidate begins to run without authority, which is into
    `shadow` or `ramp` from any other phase, every task needs, forced or not, a containment proof for the candidate's
    present version, or a declaration on record; into `legacy` nothing is needed.

    Args:
        share: percent of keys for which the candidate shall have authority; of `ramp` only. None: as before.
        allow, deny: keys that it has and has not, whatever the share is; of `ramp` only. None: as before.
        look: what tells of the gates.

    Raises:
        MoveRefused: unknown task, no reason, nothing to change, a gate that is closed, or a phase that the route can't
            take.
    """
    if task not in catalogue.tasks:
        raise MoveRefused(f"no task {task!r}; expected one of {', '.join(sorted(catalogue.tasks))}")
    if not reason.strip():
        raise MoveRefused("a move needs a reason, in words that a later reader understands")
    route = catalogue.routes[catalogue.tasks[task].route]
    async with database.connection(Work.CONTROL) as connection:
        current, coming, _at = await stand_of(connection, route, datetime.now(UTC))
    wanted = _wanted(current, phase, share, allow, deny)
    is_back = leads_back(current, wanted)
    # Looked at before anything is held: it takes as long as it takes.
    reports = (
        {} if is_back or current.phase is Phase.LEGACY else await (look or _look)(database, catalogue, route.tasks)
    )
    async with database.connection(Work.CONTROL) as connection:
        await hold(connection)
        now = datetime.now(UTC)
        held, coming, at = await stand_of(connection, route, now)
        if held != current:
            raise MoveRefused(f"task {task!r} was moved meanwhile, and is in phase {held} now: look again")
        if wanted == (coming or current):
            raise MoveRefused(f"task {task!r} is in phase {wanted} already")
        if _begins_contained(current.phase, wanted.phase) and (lacking := await uncontained(connection, route.tasks)):
            raise MoveRefused(refusal(lacking))
        forced = False
        if not is_back:
            if coming is not None and at is not None:
                raise MoveRefused(f"task {task!r} is about to be in phase {coming}, from {at:%H:%M:%S} on: wait for it")
            forced = await _forward(connection, catalogue, route, current, wanted, reports, force=force)
        evidence = {name: report.as_json() for name, report in reports.items()} or None
        return await write_move(
            connection,
            route,
            phase,
            actor=actor,
            reason=reason,
            ramp=wanted.ramp,
            forced=forced,
            evidence=evidence,
        )


def leads_back(current: Stand, wanted: Stand) -> bool:
    """Whether it gives keys back to legacy and takes none from it; or takes back a move before it takes effect."""
    if current == wanted:
        return True
    if current.phase is not wanted.phase:
        return ORDER.index(wanted.phase) < ORDER.index(current.phase)
    mine, theirs = current.ramp, wanted.ramp
    if current.phase is not Phase.RAMP:
        return False
    return theirs.share <= mine.share and theirs.allow <= mine.allow and theirs.deny >= mine.deny


def _begins_contained(current: Phase, wanted: Phase) -> bool:
    """Whether the candidate runs without authority after that move, and did not before."""
    contained = (Phase.SHADOW, Phase.RAMP)
    return wanted in contained and current not in contained


def _wanted(
    current: Stand, phase: Phase, share: int | None, allow: Collection[str] | None, deny: Collection[str] | None
) -> Stand:
    given = share is not None or allow is not None or deny is not None
    if phase is not Phase.RAMP:
        if given:
            raise MoveRefused(f"a share and lists of keys belong to ramp; {phase} has all keys alike")
        return Stand(phase)
    before = current.ramp if current.phase is Phase.RAMP else Ramp()
    if share is None and current.phase is not Phase.RAMP:
        raise MoveRefused("a ramp needs a share: the percentage of keys for which the candidate shall have authority")
    wanted = Ramp(
        before.share if share is None else share,
        before.allow if allow is None else frozenset(allow),
        before.deny if deny is None else frozenset(deny),
    )
    if not 0 <= wanted.share <= 100:
        raise MoveRefused(f"a share is a whole percentage from 0 to 100, not {wanted.share}")
    if both := wanted.allow & wanted.deny:
        raise MoveRefused(f"allowed and denied at once: {', '.join(sorted(both))}")
    return Stand(phase, wanted)


async def _forward(
    connection: Connection,
    catalogue: ResolvedCatalogue,
    route: Route,
    current: Stand,
    wanted: Stand,
    reports: Mapping[str, GateReport],
    *,
    force: bool,
) -> bool:
    """Whether it is by force that the move is made.

    Raises:
        MoveRefused: it may not be made.
    """
    _check_doors(catalogue, route, wanted.phase)
    if 0 < wanted.ramp.share < WHOLE and (why := await why_whole_only(connection, catalogue, route)):
        raise MoveRefused(why)
    steps = (*_NEXT[current.phase], current.phase)
    if wanted.phase not in steps:
        if not force:
            names = " or ".join(_NEXT[current.phase])
            raise MoveRefused(
                f"from {current.phase} the next phase is {names}; {wanted.phase} can be reached from here by force only"
            )
        return True
    if current.phase is Phase.LEGACY:
        return False
    closed = _blockers(route, reports)
    if closed and not force:
        raise MoveRefused(f"{closed}. By force, with a reason, it can be moved all the same")
    return bool(closed)


def _blockers(route: Route, reports: Mapping[str, GateReport]) -> str:
    """What the gates that are closed say; empty where all are open."""
    said = []
    for task in route.tasks:
        report = reports.get(task)
        if report is None:
            said.append(f"nothing is known of the gate of {task!r}")
        elif not report.open:
            each = "; ".join(condition.says for condition in report.blockers) or "it does not say why"
            said.append(f"the gate of {task!r} is closed: {each}")
    return ". ".join(said)


def _check_doors(catalogue: ResolvedCatalogue, route: Route, phase: Phase) -> None:
    """Refuse a phase in which nobody would answer a producer's calls.

    Raises:
        MoveRefused: a Trigger.dev producer needs legacy to answer its calls.
    """
    if phase in (Phase.LEGACY, Phase.SHADOW):
        return
    for name in route.tasks:
        fed = [
            source for source in catalogue.tasks[name].sources if isinstance(catalogue.sources[source], TriggerSource)
        ]
        if fed:
            raise MoveRefused(
                f"task {name!r} is fed by the Trigger.dev door ({', '.join(fed)}), whose producers need"
                f" Trigger.dev's own answers: it can't move to {phase} yet"
            )


async def _look(database: Database, catalogue: ResolvedCatalogue, tasks: Collection[str]) -> Mapping[str, GateReport]:
    return {}
