"""The gates' loop: evaluates every gate every few seconds, keeps what it says, and tells of what has changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.notice_settings import NoticeKind
from shadow.cutover.decision import Phase
from shadow.cutover.routing import read_standings
from shadow.gate import epochs, stored
from shadow.gate.looking import look
from shadow.gate.report import Condition, ConditionName, GateReport
from shadow.gate.stored import Kept
from shadow.notices.record import Notice, note
from shadow.store.database import Database, Work
from shadow.store.recurring import Recurring

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0
_TOGETHER = 20
"""Gates kept in one transaction: all at once would hold the event loop for a tenth of a second."""


class GateLoop(Recurring):
    """A loop; any number of processes may run it. Where another one has just evaluated, it leaves it at that."""

    def __init__(self, database: Database, catalogue: ResolvedCatalogue, *, every: float = EVERY_SECONDS) -> None:
        super().__init__("gates", "gate.unevaluated", rest_after_failure=every)
        self._database = database
        self._catalogue = catalogue
        self._every = every

    async def once(self, now: datetime | None = None) -> dict[str, GateReport]:
        """Evaluate all gates and keep what they say; nothing when that was done a moment ago."""
        moment = now or datetime.now(UTC)
        async with self._database.connection(Work.GATE) as connection:
            newest = await stored.newest_evaluation(connection)
            if newest is not None and moment - newest < timedelta(seconds=self._every / 2):
                return {}
            standings = await read_standings(connection)
            lasting = await epochs.lasting(connection, self._catalogue.tasks)
        moved = {task for task, standing in standings.items() if standing.at(moment) is not Phase.LEGACY}
        reports = await self._look(moved | lasting, moment)
        return await _each(sorted(reports), lambda tasks: self._keep([reports[task] for task in tasks]))

    async def _look(self, tasks: Collection[str], moment: datetime) -> dict[str, GateReport]:
        return await _each(sorted(tasks), lambda some: look(self._database, self._catalogue, some, moment))

    async def _keep(self, reports: Sequence[GateReport]) -> dict[str, GateReport]:
        await evaluated(self._database, self._catalogue, reports)
        return {report.task: report for report in reports}

    async def turn(self) -> float:
        await self.once()
        return self._every


async def _each(
    tasks: Sequence[str], work: Callable[[Sequence[str]], Awaitable[dict[str, GateReport]]]
) -> dict[str, GateReport]:
    """Do it for these tasks together; where that fails, for each alone: what one task's evidence comes to grief over
    leaves no other gate unevaluated. A database that is away is everybody's."""
    try:
        return await work(tasks)
    except psycopg.OperationalError:
        raise
    except Exception as error:
        log.warning("gate.together_failed", tasks=len(tasks), error=type(error).__name__)
    reports: dict[str, GateReport] = {}
    for task in tasks:
        try:
            reports |= await work([task])
        except psycopg.OperationalError:
            raise
        except Exception:
            log.exception("gate.unevaluated", task=task)
    return reports


async def evaluated(database: Database, catalogue: ResolvedCatalogue, reports: Iterable[GateReport]) -> None:
    """Keep what gates say, and make the notices of what has changed in the same transaction, some gates at a time."""
    ordered = sorted(reports, key=lambda report: report.task)
    for start in range(0, len(ordered), _TOGETHER):
        async with database.connection(Work.GATE) as connection:
            for kept in await stored.keep(connection, ordered[start : start + _TOGETHER]):
                for notice in notices_of(kept, catalogue.tasks[kept.now.task].route):
                    await note(connection, notice)
                    log.info("gate.changed", task=kept.now.task, kind=notice.kind)


def notices_of(kept: Kept, route: str) -> list[Notice]:
    """What is to be told of a gate that has changed. Pure.

    A regression is told once for its epoch, whether anything else kept the gate closed meanwhile or not.
    """
    now, before = kept.now, kept.before
    found = []
    regressed = _regression(now)
    if regressed is not None and (before is None or before.epoch != now.epoch or _regression(before) is None):
        title = f"The gate of {now.task} has regressed: {regressed.says}"
        found.append(_notice("gate_regressed", title, now, route))
    was_open = before is not None and before.open
    if now.open and not was_open:
        title = f"The gate of {now.task} is open: after {now.live.compared + now.replayed.compared:,} pairs"
        found.append(_notice("gate_opened", f"{title} it may move on", now, route))
    elif was_open and not now.open and not found:
        blockers = ", ".join(condition.name.value for condition in now.blockers)
        found.append(_notice("gate_closed", f"The gate of {now.task} has closed: {blockers}", now, route))
    return found


def _regression(report: GateReport) -> Condition | None:
    """The condition on regressions, where it is not met."""
    found = (condition for condition in report.blockers if condition.name is ConditionName.REGRESSION)
    return next(found, None)


def _notice(kind: NoticeKind, title: str, report: GateReport, route: str) -> Notice:
    facts = {
        "open": report.open,
        "epoch": report.epoch_number,
        "upper_bound": report.upper_bound,
        "budget": report.budget,
        "pairs": report.live.compared + report.replayed.compared,
        "mismatches": report.live.mismatches + report.replayed.mismatches,
        "blockers": [condition.name.value for condition in report.blockers],
    }
    once = f"{kind}:{report.task}:{report.evaluated_at.isoformat()}"
    return Notice(kind, title, task=report.task, route=route, facts=facts, once=once)
