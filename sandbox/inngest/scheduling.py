"""From an event to runs: which functions it starts, and which runs are deduplicated, dropped or cancelled
for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum

import structlog

from sandbox.inngest.durations import millis, parse_duration
from sandbox.inngest.events import TIMER, Event, EventStore
from sandbox.inngest.executor import Executor
from sandbox.inngest.expressions import holds, key_of
from sandbox.inngest.identifiers import new_ulid
from sandbox.inngest.registry import Function, Registry
from sandbox.inngest.runs import RunRecord, RunStatus, RunStore
from sandbox.inngest.traps import Traps

DEDUPE_WINDOW = timedelta(hours=24)
log = structlog.get_logger(__name__)


class Skipped(Enum):
    """Why a matching function was not started."""

    DUPLICATE = "duplicate"
    RATE_LIMITED = "rate_limited"


class Scheduler:
    """Starts runs for events. Every event is stored, whatever becomes of it."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        traps: Traps,
        registry: Registry,
        events: EventStore,
        runs: RunStore,
        executor: Executor,
    ) -> None:
        self._clock = clock
        self._traps = traps
        self._registry = registry
        self._events = events
        self._runs = runs
        self._executor = executor
        self._seen: dict[tuple[str, str], tuple[datetime, RunRecord]] = {}
        self._starts: dict[tuple[str, str], deque[datetime]] = {}

    def accept(self, event: Event) -> list[RunRecord]:
        """Store an event, wake what waits for it, cancel what it cancels and start what it triggers."""
        self._events.add(event)
        self._executor.offer(event)
        self._cancel_matching(event)
        started = [self.start(function, event) for function in self._registry if function.is_triggered_by(event)]
        return [run for run in started if isinstance(run, RunRecord)]

    def start(self, function: Function, event: Event) -> RunRecord | Skipped:
        """Start one function for an event, unless dedupe (per function, 24 hours) or its rate limit forbid
        it.
        """
        now = self._clock()
        key = (function.uuid, event.id)
        first = self._seen.get(key)
        if first is not None and now - first[0] < DEDUPE_WINDOW and not self._takes_over(*first, now):
            return Skipped.DUPLICATE
        if self._is_rate_limited(function, event, now):
            return Skipped.RATE_LIMITED
        run = RunRecord(
            run_id=new_ulid(millis(now)),
            function_id=function.id,
            function_uuid=function.uuid,
            event_id=event.internal_id,
            scheduled_at=now,
            trace_id=event.trace_id,
            cron=(event.data or {}).get("cron") if event.name == TIMER else None,
        )
        self._seen[key] = (now, run)
        self._runs.add(run)
        delay = 0.0 if event.name == TIMER else max(0.0, (event.ts - millis(now)) / 1000)
        self._executor.begin(run, function, [event], max(delay, self._traps.racing_duplicates))
        return run

    def rerun(self, run: RunRecord) -> RunRecord | None:
        """Run a function again for the same event, which no dedupe forbids; None when either is gone."""
        function, event = self._registry.get(run.function_id), self._events.get(run.event_id)
        if function is None or event is None:
            return None
        now = self._clock()
        again = RunRecord(
            run_id=new_ulid(millis(now)),
            function_id=function.id,
            function_uuid=function.uuid,
            event_id=event.internal_id,
            scheduled_at=now,
            trace_id=event.trace_id,
            original_run_id=run.original_run_id or run.run_id,
        )
        self._runs.add(again)
        self._executor.begin(again, function, [event], 0.0)
        return again

    def _takes_over(self, since: datetime, run: RunRecord, now: datetime) -> bool:
        """The race of two duplicates: the first event's run vanishes, if it has not begun."""
        window = timedelta(seconds=self._traps.racing_duplicates)
        if not window or now - since > window or run.status is not RunStatus.SCHEDULED:
            return False
        self._executor.abandon(run.run_id)
        self._runs.remove(run)
        log.info("inngest.run.taken_over", run_id=run.run_id, function_id=run.function_id)
        return True

    def _is_rate_limited(self, function: Function, event: Event, now: datetime) -> bool:
        limit = function.rate_limit
        if limit is None:
            return False
        starts = self._starts.setdefault((function.uuid, key_of(limit.key, {"event": event.sdk_form()})), deque())
        while starts and (now - starts[0]).total_seconds() >= limit.period:
            starts.popleft()
        if len(starts) >= limit.limit:
            return True
        starts.append(now)
        return False

    def _cancel_matching(self, event: Event) -> None:
        interested = {
            function.id: function
            for function in self._registry
            if any(cancel.get("event") == event.name for cancel in function.cancels)
        }
        if not interested:
            return
        for run in self._executor.active_runs():
            function = interested.get(run.function_id)
            trigger = self._events.get(run.event_id)
            if function is None or trigger is None or trigger is event:
                continue
            scope = {"event": trigger.sdk_form(), "async": event.sdk_form()}
            age = (self._clock() - run.scheduled_at).total_seconds()
            for cancel in function.cancels:
                in_time = not cancel.get("timeout") or age < parse_duration(cancel["timeout"])
                if cancel.get("event") == event.name and in_time and holds(cancel.get("if"), scope):
                    self._executor.cancel(run.run_id)
                    break
