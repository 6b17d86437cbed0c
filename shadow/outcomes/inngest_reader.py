"""How runs ended on Inngest: discovered by their event, decided by the run itself.

The list of an event's runs shows wrong statuses at times; a run has ended when its own record says when
(reference 2.4).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

from shadow.catalogue import ResolvedCatalogue
from shadow.model.moments import moment
from shadow.outcomes.inngest_outcome import outcome_of
from shadow.outcomes.outcome import LearnedBy, RunOutcome
from shadow.outcomes.reader import AskedToWait, Awaited, Named, Permits
from shadow.outcomes.statuses import INNGEST
from shadow.platforms.inngest import InngestEvents
from shadow.platforms.inngest_api import Json, Refused
from shadow.platforms.throttle import quota, retry_after

_AT_ONCE = 8
"""Events that are asked for at once."""
_PATIENCE = timedelta(seconds=10)
_NOT_FOUND = (400, 404, 500)
"""What the run API says of an event or run that it does not know (reference 2.4)."""


class InngestReader:
    """Asks one Inngest environment."""

    def __init__(self, platform: str, adapter: InngestEvents, catalogue: ResolvedCatalogue) -> None:
        self._platform = platform
        self._adapter = adapter
        self._catalogue = catalogue

    async def read(
        self, awaited: Sequence[Awaited], permits: Permits, named: Named
    ) -> AsyncIterator[Sequence[RunOutcome]]:
        """See `Reader.read`."""
        events: dict[str, list[Awaited]] = {}
        for run in awaited:
            if run.upstream_id is not None:
                events.setdefault(run.upstream_id, []).append(run)
        waiting = list(events.items())
        for start in range(0, len(waiting), _AT_ONCE):
            answers = await asyncio.gather(
                *(self._read_event(upstream, runs, permits) for upstream, runs in waiting[start : start + _AT_ONCE]),
                return_exceptions=True,
            )
            yield [outcome for answer in answers if isinstance(answer, list) for outcome in answer]
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer

    async def _read_event(self, upstream_id: str, awaited: Sequence[Awaited], permits: Permits) -> list[RunOutcome]:
        """Outcomes of the runs that the event started, extra ones of the awaited tasks included."""
        tasks = {run.task: run for run in awaited}
        await permits.take()
        outcomes = []
        try:
            for listed in await self._adapter.api.event_runs(upstream_id):
                slug = await self._adapter.slug(str(listed.get("function_id")))
                task = self._catalogue.task_of_function(slug) if slug is not None else None
                if task is None or slug is None or task.id not in tasks:
                    continue
                await permits.take()
                run = await self._adapter.api.run(str(listed.get("run_id")))
                if (outcome := _outcome(self._platform, slug, run, tasks[task.id])) is not None:
                    outcomes.append(outcome)
        except Refused as error:
            permits.learn(quota(error.answer.fields))
            if 429 in (error.status, error.answer.status):
                raise AskedToWait(retry_after(error.answer.fields, datetime.now(UTC)) or _PATIENCE) from None
            if error.status in _NOT_FOUND and error.answer.status in (200, *_NOT_FOUND):
                return outcomes  # not there yet, or not any more: the deadline tells
            raise
        return outcomes


def _outcome(platform: str, slug: str, run: Json, awaited: Awaited) -> RunOutcome | None:
    """The run's outcome; None while it is under way."""
    status = INNGEST.get(str(run.get("status")))
    ended_at = moment(run.get("ended_at"))
    if status is None or ended_at is None:
        return None
    return outcome_of(
        platform=platform,
        run_id=str(run.get("run_id")),
        status=status,
        result=run.get("output"),
        learned_by=LearnedBy.POLL,
        function=slug,
        event_id=awaited.event_id,
        event_name=awaited.event_name,
        finished_at=ended_at,
        not_before=awaited.starts_at,
        asked_for=awaited.id,
    )
