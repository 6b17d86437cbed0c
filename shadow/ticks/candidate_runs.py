"""The runs that the candidate's own cron trigger starts: learned of when one ends (the watcher), or when one calls the
gateway before that and its platform is asked for its trigger event (reference 8).
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from shadow.catalogue import ResolvedCatalogue
from shadow.catalogue.model import Side
from shadow.intake.storable import storable_or_none
from shadow.observe.fail_points import reach
from shadow.outcomes.straight import Begun
from shadow.platforms.json_text import read_json
from shadow.store.database import Database, Work
from shadow.ticks.record import ClockRun, record_clock_runs
from shadow.ticks.tick import TIMER, of_timer

log = structlog.get_logger(__name__)


async def take_ticks(database: Database, catalogue: ResolvedCatalogue, runs: Sequence[Begun]) -> None:
    """Write down those of the runs that Inngest's scheduler has started. Harmless to repeat.

    One whose tick can't be told, or of a task without a `cron`, is left out: nobody's run has no authority.

    Raises:
        psycopg.Error: the database is away.
    """
    found = [run for begun in runs if (run := _clock_run(catalogue, begun)) is not None]
    if found:
        async with database.connection(Work.OUTCOMES) as conn:
            await record_clock_runs(conn, catalogue, found)
            reach("ticks.recording")
        reach("ticks.recorded")


def _clock_run(catalogue: ResolvedCatalogue, begun: Begun) -> ClockRun | None:
    task = catalogue.task_of_function(begun.function)
    platform = catalogue.platforms.get(begun.platform)
    if begun.event_name != TIMER or task is None or platform is None or platform.side is not Side.CANDIDATE:
        return None
    tick = of_timer(task.id, begun.event_id, read_json(begun.event_data))
    if task.cron is None or tick is None:
        log.warning("ticks.unnamed", task=task.id, run=begun.run, declared=task.cron is not None)
        return None
    return ClockRun(
        platform=begun.platform,
        name=begun.run,
        side=Side.CANDIDATE,
        task=task,
        tick=tick,
        data=begun.event_data,
        event_id=storable_or_none(begun.event_id),
        upstream_id=storable_or_none(begun.upstream_id) if begun.upstream_id else None,
        began_at=begun.sent_at,
    )
