"""Executes runs: delay, queue, attempts from the top with waits between them, and every way a run can end.

Durations are measured; costs are invented from them at the price the transcripts of the real service show.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

import structlog

from sandbox.trigger_dev import runs as status
from sandbox.trigger_dev.durations import natural_duration, now
from sandbox.trigger_dev.identifiers import span_id
from sandbox.trigger_dev.packets import OUTPUT_OFFLOAD_BYTES, PacketStore, json_packet, typed_value
from sandbox.trigger_dev.queues import Turnstile
from sandbox.trigger_dev.runs import Run, RunStore, Span
from sandbox.trigger_dev.tasks import (
    AbortTaskRunError,
    ChildTrigger,
    Retry,
    TaskContext,
    TaskDefinition,
    TaskPayloadParsedError,
)

_log = structlog.get_logger(__name__)

INVOCATION_CENTS = 0.0025
CENTS_PER_MILLISECOND = 0.00417092 / 1234
"""Price of a small-1x machine in the transcripts; development runs cost nothing."""
_NOT_RETRIED = (AbortTaskRunError, TaskPayloadParsedError)


class Executor:
    """One asyncio task per live run."""

    def __init__(
        self, store: RunStore, packets: PacketStore, turnstile: Turnstile, version: str, latency: float
    ) -> None:
        """`latency` is the pause in seconds between queue, dequeue and start, so that readers can see the
        states.
        """
        self._store = store
        self._packets = packets
        self._turnstile = turnstile
        self._version = version
        self._latency = latency
        self._tasks: dict[str, TaskDefinition] = {}
        self._live: dict[str, asyncio.Task[None]] = {}
        self._rescheduled: dict[str, asyncio.Event] = {}
        self._calls: dict[str, list[tuple[str, str, datetime]]] = {}
        self.child_trigger: Callable[[Run], ChildTrigger] | None = None

    @property
    def tasks(self) -> dict[str, TaskDefinition]:
        """Deployed tasks by id."""
        return self._tasks

    def deploy(self, task: TaskDefinition) -> None:
        """Make a task known; runs that waited for it start."""
        self._tasks[task.id] = task
        for run in self._store:
            if run.task == task.id and run.status == status.PENDING_VERSION:
                self.submit(run)

    def submit(self, run: Run) -> None:
        """Take charge of a run. Needs a running event loop."""
        self._live[run.id] = asyncio.get_running_loop().create_task(self._live_through(run), name=run.id)
        self._live[run.id].add_done_callback(lambda done: self._forget(run, done))

    def _forget(self, run: Run, done: asyncio.Task[None]) -> None:
        if self._live.get(run.id) is done:
            del self._live[run.id]
        if not done.cancelled() and (error := done.exception()) is not None:
            # A fault of this stand-in, not of the task: show it as the platform shows its own.
            _log.error("trigger_dev.run_lost", exc_info=error, **run.summary())
            fault = {"type": "INTERNAL_ERROR", "code": "TASK_EXECUTION_FAILED"}
            self._store.touch(run, status=status.SYSTEM_FAILURE, finished_at=now(), error=fault)

    def reschedule(self, run: Run, due: datetime) -> None:
        """Move a delayed run's due time."""
        self._store.touch(run, delay_until=due)
        if (event := self._rescheduled.get(run.id)) is not None:
            event.set()

    def cancel(self, run: Run, reason: str = "Canceled by user") -> None:
        """Cancel a run and its unfinished children; nothing happens to a finished one.

        Only a run that was executing gets `finished_at`, once its attempt has stopped.
        """
        if run.finished:
            return
        self._store.touch(run, status=status.CANCELED, error={"type": "STRING_ERROR", "raw": reason})
        if (live := self._live.get(run.id)) is not None:
            live.cancel()
        for child in self._store.children(run):
            self.cancel(child, reason)

    async def stop(self) -> None:
        """Abandon every live run."""
        live = list(self._live.values())
        for task in live:
            task.cancel()
        await asyncio.gather(*live, return_exceptions=True)

    @property
    def idle(self) -> bool:
        """Whether no run is live (runs that wait for a deploy are not)."""
        return not self._live

    async def _live_through(self, run: Run) -> None:
        if run.status == status.DELAYED:
            await self._until_due(run)
        if run.queued_at is None or run.status != status.PENDING:
            self._store.touch(run, status=status.PENDING, queued_at=now())
        if not self._turnstile.knows(run.environment, run.queue) or run.task not in self._tasks:
            await asyncio.sleep(self._latency)
            self._store.touch(run, status=status.PENDING_VERSION)
            return
        try:
            async with asyncio.timeout(self._time_to_live(run)) as patience:
                await self._turnstile.enter(run)
        except TimeoutError:
            if not patience.expired():
                raise
            self._expire(run)
            return
        try:
            await self._execute(run, self._tasks[run.task])
        except asyncio.CancelledError:
            if run.status != status.CANCELED:
                raise
            self._store.touch(run, finished_at=now())
        finally:
            self._turnstile.leave(run)

    async def _until_due(self, run: Run) -> None:
        event = self._rescheduled[run.id] = asyncio.Event()
        try:
            while run.delay_until is not None and (left := (run.delay_until - now()).total_seconds()) > 0:
                event.clear()
                try:
                    await asyncio.wait_for(event.wait(), left)
                except TimeoutError:
                    continue
        finally:
            del self._rescheduled[run.id]

    def _time_to_live(self, run: Run) -> float | None:
        ttl = natural_duration(run.ttl) if run.ttl else None
        if ttl is None or run.queued_at is None:
            return None
        return max(0.0, (run.queued_at + ttl - now()).total_seconds())

    def _expire(self, run: Run) -> None:
        at = now()
        reason = f"Run expired because the TTL ({run.ttl}) was reached"
        self._store.touch(
            run,
            status=status.EXPIRED,
            finished_at=at,
            expired_at=at,
            error={"type": "STRING_ERROR", "raw": reason},
        )

    async def _execute(self, run: Run, task: TaskDefinition) -> None:
        await asyncio.sleep(self._latency)
        self._store.touch(
            run,
            status=status.DEQUEUED,
            started_at=now(),
            version=self._version,
            base_cost_in_cents=INVOCATION_CENTS,
        )
        most = run.max_attempts if run.max_attempts is not None else task.retry.max_attempts
        await asyncio.sleep(self._latency)
        while True:
            self._store.touch(run, status=status.EXECUTING, attempts=run.attempts + 1)
            if await self._attempt(run, task, last=run.attempts >= most):
                return
            await self._back_off(run, task.retry)

    async def _back_off(self, run: Run, retry: Retry) -> None:
        # A wait under half a minute happens inside the worker, so the run goes on showing as executing.
        await asyncio.sleep(retry.delay(run.attempts))

    async def _attempt(self, run: Run, task: TaskDefinition, *, last: bool) -> bool:
        """Run the handler once; True when the run has ended."""
        started, clock = now(), time.perf_counter()
        limit = run.max_duration if run.max_duration is not None else task.max_duration
        outcome: dict[str, Any] | None = None
        try:
            async with asyncio.timeout(limit) as deadline:
                payload = typed_value(self._packets.load(run.environment, run.payload))
                output = await task.handler(payload, self._context(run))
            outcome = {"status": status.SUCCEEDED, "output": self._packed(run, output)}
        except SystemExit:
            outcome = _internal(status.CRASHED, "TASK_PROCESS_EXITED_WITH_NON_ZERO_CODE")
        except MemoryError:
            outcome = _internal(status.CRASHED, "TASK_PROCESS_OOM_KILLED")
        except Exception as error:
            if isinstance(error, TimeoutError) and deadline.expired():
                outcome = _internal(status.TIMED_OUT, "MAX_DURATION_EXCEEDED")
            elif last or isinstance(error, _NOT_RETRIED):
                outcome = {"status": status.FAILED, "error": _raw_error(error)}
        self._account(run, started, time.perf_counter() - clock, failed=outcome is None or "error" in outcome)
        if run.finished:
            # Cancelled, and the handler swallowed it.
            self._store.touch(run, finished_at=now())
            return True
        if outcome is None:
            return False
        self._store.touch(run, finished_at=now(), **outcome)
        _log.info("trigger_dev.run_finished", attempts=run.attempts, **run.summary())
        return True

    def _account(self, run: Run, started: datetime, seconds: float, *, failed: bool) -> None:
        duration_ms = run.duration_ms + max(1, round(seconds * 1000))
        cost = 0.0 if run.environment.is_dev else round(duration_ms * CENTS_PER_MILLISECOND, 8)
        ended = started + timedelta(seconds=seconds)
        attempt = Span(span_id(), run.root_span_id, f"Attempt {run.attempts}", started, ended, run.attempts, failed)
        body = Span(span_id(), attempt.id, "run()", started, ended, run.attempts, failed)
        calls = [
            Span(identifier, body.id, name, at, ended, run.attempts, is_error=False)
            for identifier, name, at in self._calls.pop(run.id, [])
        ]
        spans = (*run.spans, attempt, body, *calls)
        self._store.touch(run, duration_ms=duration_ms, cost_in_cents=cost, spans=spans)

    def _packed(self, run: Run, output: Any) -> Any:
        path = f"{run.id}-{run.attempts}/output.json"
        return self._packets.offload(run.environment, path, json_packet(output), OUTPUT_OFFLOAD_BYTES)

    def _context(self, run: Run) -> TaskContext:
        assert self.child_trigger is not None, "the server wires the trigger service before any run starts"
        return TaskContext(
            run_id=run.id,
            task_id=run.task,
            attempt=run.attempts,
            parent_run_id=run.parent_id,
            root_run_id=run.root_id,
            tags=run.tags,
            is_test=run.is_test,
            version=self._version,
            environment=run.environment.slug,
            idempotency_key=run.idempotency_key,
            trigger=self.child_trigger(run),
            wait=lambda seconds: self._wait(run, seconds),
            traceparent=lambda name: self._traceparent(run, name),
        )

    def _traceparent(self, run: Run, name: str) -> str:
        identifier = span_id()
        self._calls.setdefault(run.id, []).append((identifier, name, now()))
        return f"00-{run.trace_id}-{identifier}-01"

    async def wait_for(self, parent: Run, child: Run) -> None:
        """Keep a parent waiting until its child has ended."""
        waits = not parent.environment.is_dev
        if waits:
            self._store.touch(parent, status=status.WAITING)
        while not child.finished:
            await self._store.next_change(1.0)
        if waits:
            self._store.touch(parent, status=status.EXECUTING)

    async def _wait(self, run: Run, seconds: float) -> None:
        if run.environment.is_dev:
            # Development workers keep the process and its status.
            await asyncio.sleep(seconds)
            return
        self._store.touch(run, status=status.WAITING)
        await asyncio.sleep(seconds)
        self._store.touch(run, status=status.EXECUTING)


def _internal(end: str, code: str) -> dict[str, Any]:
    """An end that the platform, not the task, has declared."""
    return {"status": end, "error": {"type": "INTERNAL_ERROR", "code": code}}


def _raw_error(error: Exception) -> dict[str, Any]:
    """A raised exception as a TaskRunError, with a stack trace in V8's form (base names only)."""
    name, message = type(error).__name__, str(error)
    frames = reversed(traceback.extract_tb(error.__traceback__)[1:])
    lines = [f"    at {frame.name} ({PurePath(frame.filename).name}:{frame.lineno}:1)" for frame in frames]
    return {
        "type": "BUILT_IN_ERROR",
        "name": name,
        "message": message,
        "stackTrace": "\n".join([f"{name}: {message}", *lines]),
    }
