"""Executing runs: calls the app, memoises steps, retries, plans parallel steps, waits, and ends the run.

A run is a set of jobs. A job calls the app for the function's body (discovery) or for one planned step,
again and again until that succeeds or fails for good. What the app answers completes steps, adds pending
ones, or ends the run. When no step is pending any more the body is discovered anew; an SDK of protocol
version 1, or an operation that asks for `parallelMode: race`, has it discovered after every single step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from sandbox.inngest.calls import AppCaller, CallState, Job
from sandbox.inngest.durations import parse_duration, seconds_until
from sandbox.inngest.events import Event
from sandbox.inngest.identifiers import new_job_id, queue_item_reference
from sandbox.inngest.opcodes import Failure, Operation, Operations, Output, Reply
from sandbox.inngest.registry import Function
from sandbox.inngest.runs import RunRecord, RunStatus
from sandbox.inngest.system_events import end_events
from sandbox.inngest.waiting import Invocations, Waits

COALESCING_VERSION = 2
"""Protocol version from which parallel steps are awaited together before the body is discovered again."""

FOREVER = "365d"
"""Timeout of a wait or an invocation that names none."""

RAN = ("StepRun", "Step")
Work = Callable[[], Coroutine[Any, Any, None]]
"""Made into a coroutine only when its task begins: a task cancelled before that leaves none behind."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class ActiveRun:
    """The state of a run which has not ended."""

    record: RunRecord
    function: Function
    events: list[Event]
    steps: dict[str, Any] = field(default_factory=dict)
    """Memoised results by step id, in the shape in which SDKs read them."""
    stack: list[str] = field(default_factory=list)
    pending: dict[str, Operation] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    calling: set[asyncio.Task[None]] = field(default_factory=set)
    request_version: int = -1
    plan_only: bool = False

    def memoise(self, step_id: str, value: Any) -> None:
        self.steps[step_id] = value
        self.stack.append(step_id)
        self.pending.pop(step_id, None)

    def call_state(self) -> CallState:
        return CallState(
            self.record,
            self.function,
            self.events,
            dict(self.steps),
            list(self.stack),
            self.plan_only,
            self.request_version,
        )


class Executor:
    """Runs everything that has begun. `emit` takes the events which runs give rise to and says what they
    started.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        caller: AppCaller,
        retry_delay: Callable[[int], float],
        time_scale: float,
        emit: Callable[[Event], list[RunRecord]],
    ) -> None:
        self._clock = clock
        self._caller = caller
        self._retry_delay = retry_delay
        self._time_scale = time_scale
        self._emit = emit
        self._active: dict[str, ActiveRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waits = Waits()
        self._invocations = Invocations(clock)
        self._idle = asyncio.Event()

    # -- runs from outside --------------------------------------------------------------------------

    def begin(self, record: RunRecord, function: Function, events: list[Event], delay: float) -> None:
        """Execute a run after `delay` seconds."""
        active = ActiveRun(record, function, events)
        self._active[record.run_id] = active
        self._idle.clear()
        self._spawn(active, partial(self._start, active, delay))

    def active_runs(self) -> Iterator[RunRecord]:
        return iter([active.record for active in self._active.values()])

    def active(self, run_id: str) -> ActiveRun | None:
        """The state of a run; None once it has ended."""
        return self._active.get(run_id)

    def offer(self, event: Event) -> None:
        """Give an event to the steps that wait for one, and to the invocations whose end it reports."""
        self._waits.offer(event)
        self._invocations.offer(event)

    def cancel(self, run_id: str) -> bool:
        """Cancel a run; False when it is not active. Calls under way are left to end and then ignored."""
        active = self._active.get(run_id)
        if active is None:
            return False
        self._end(active, RunStatus.CANCELLED, {})
        return True

    def abandon(self, run_id: str) -> None:
        """Never execute a run that has not begun: it ends without a trace."""
        active = self._active.get(run_id)
        if active is not None:
            self._release(active)

    def checkpoint(self, run_id: str, reference: str, generation: int | None, raw_steps: list[Any]) -> bool:
        """Memoise steps which an SDK ran within one call (`POST /v1/checkpoint/{run}/async`).

        False when the call they were run in is not under way any more. Raises ValueError for broken opcodes.
        """
        operations = [Operation.parse(raw) for raw in raw_steps]
        active = self._active.get(run_id)
        if active is None:
            return False
        job = next((job for job in active.jobs.values() if queue_item_reference(job.id) == reference), None)
        if job is None or (generation is not None and generation != job.generation):
            return False
        for operation in operations:
            self._complete(active, operation, {"data": operation.data}, job)
        job.attempt = 0
        return True

    async def settled(self) -> None:
        """Wait until no run is active. The end of one run may begin others, so it is looked at anew each
        time.
        """
        while self._active:
            await self._idle.wait()

    async def stop(self) -> None:
        """Cancel everything and wait until it is gone."""
        tasks = list(self._tasks)
        self._active.clear()
        self._idle.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- jobs ---------------------------------------------------------------------------------------

    def _spawn(self, active: ActiveRun, work: Work) -> None:
        task = asyncio.create_task(self._guarded(active, work), name=f"inngest-run-{active.record.run_id}")
        for owner in (active.tasks, self._tasks):
            owner.add(task)
            task.add_done_callback(owner.discard)

    async def _guarded(self, active: ActiveRun, work: Work) -> None:
        """A bug here must end the run visibly instead of leaving it active for ever."""
        try:
            await work()
        except Exception as error:
            log.exception("inngest.run.broken", run_id=active.record.run_id, function_id=active.function.id)
            message = f"the pretend server failed: {type(error).__name__}: {error}"
            self._fail(active, Failure({"name": "Error", "message": message}, message))

    async def _start(self, active: ActiveRun, delay: float) -> None:
        if delay > 0:
            await asyncio.sleep(delay)
        active.record.status = RunStatus.RUNNING
        active.record.started_at = self._clock()
        await self._work(active, None)

    async def _work(self, active: ActiveRun, target: str | None) -> None:
        """One job: call until the answer needs no further try."""
        job = Job(new_job_id(), target)
        active.jobs[job.id] = job
        try:
            while True:
                reply = await self._call(active, job)
                if active.record.run_id not in self._active:
                    return
                delay = self._apply(active, job, reply)
                if delay is None:
                    return
                await asyncio.sleep(delay)
                job.attempt += 1
                job.generation += 1
                active.record.attempts = max(active.record.attempts, job.attempt + 1)
        finally:
            active.jobs.pop(job.id, None)

    async def _call(self, active: ActiveRun, job: Job) -> Reply:
        task = asyncio.current_task()
        assert task is not None
        active.calling.add(task)
        active.record.calls += 1
        active.record.is_retrying = False
        try:
            return await self._caller.call(active.call_state(), job)
        finally:
            active.calling.discard(task)

    def _apply(self, active: ActiveRun, job: Job, reply: Reply) -> float | None:
        """Act on an answer. Returns the seconds after which to call again, None when the job is done."""
        if reply.request_version is not None:
            active.request_version = reply.request_version
        match reply.result:
            case Output(data):
                self._end(active, RunStatus.COMPLETED, data)
                return None
            case Failure() as failure:
                if failure.no_retry or job.attempt + 1 >= active.function.max_attempts:
                    self._fail(active, failure)
                    return None
                active.record.is_retrying = True
                return failure.retry_after or self._retry_delay(job.attempt)
            case Operations() as operations:
                return self._perform(active, job, operations)

    # -- operations ---------------------------------------------------------------------------------

    def _perform(self, active: ActiveRun, job: Job, operations: Operations) -> float | None:
        if len(operations.items) > 1:
            active.plan_only = True
        completed = races = False
        retry: float | None = None
        for operation in operations.items:
            races = races or operation.opts.get("parallelMode") == "race"
            if operation.op == "RunComplete":
                self._end(active, RunStatus.COMPLETED, operation.data)
                return None
            if operation.op in RAN:
                value = operation.data if operation.op == "Step" else {"data": operation.data}
                completed = self._complete(active, operation, value, job) or completed
            elif operation.op == "StepError" and self._may_retry(active, job, operations):
                step = active.record.step(operation.id, operation.display_name, operation.op)
                step.attempts = job.attempt + 2
                retry = operations.retry_after or self._retry_delay(job.attempt)
            elif operation.op in ("StepError", "StepFailed"):
                completed = self._complete(active, operation, {"error": operation.error or {}}, job) or completed
            elif operation.op != "None":
                self._begin_pending(active, operation)
                if active.record.run_id not in self._active:
                    return None
        if completed and retry is None:
            self._discover(active, races)
        return retry

    def _may_retry(self, active: ActiveRun, job: Job, operations: Operations) -> bool:
        return not operations.no_retry and job.attempt + 1 < active.function.max_attempts

    def _begin_pending(self, active: ActiveRun, operation: Operation) -> None:
        """Start a step that cannot be done at once. Known ones are left alone: SDKs may report a step
        again.
        """
        if operation.id in active.pending or operation.id in active.steps:
            return
        works: dict[str, Callable[[ActiveRun, Operation], Coroutine[Any, Any, None]]] = {
            "StepPlanned": self._plan,
            "Sleep": self._sleep,
            "WaitForEvent": self._wait_for_event,
            "InvokeFunction": self._invoke,
        }
        work = works.get(operation.op)
        if work is None:
            message = f"opcode {operation.op} is not supported by this server"
            self._fail(active, Failure({"name": "Error", "message": message}, message))
            return
        active.pending[operation.id] = operation
        active.record.step(operation.id, operation.display_name, operation.op)
        self._spawn(active, partial(work, active, operation))

    async def _plan(self, active: ActiveRun, operation: Operation) -> None:
        await self._work(active, operation.id)

    async def _sleep(self, active: ActiveRun, operation: Operation) -> None:
        await asyncio.sleep(seconds_until(operation.name, self._clock()) * self._time_scale)
        self._resume(active, operation, None)

    async def _wait_for_event(self, active: ActiveRun, operation: Operation) -> None:
        name = str(operation.opts.get("event") or operation.name)
        seconds = seconds_until(str(operation.opts.get("timeout") or FOREVER), self._clock())
        timeout = seconds * self._time_scale
        found = await self._waits.wait(name, operation.opts.get("if"), active.events[0], timeout)
        self._resume(active, operation, found.sdk_form() if found else None)

    async def _invoke(self, active: ActiveRun, operation: Operation) -> None:
        timeout = operation.opts.get("timeout")
        seconds = parse_duration(str(timeout or FOREVER)) * self._time_scale
        value = await self._invocations.invoke(active.record, active.function, operation, seconds, self._emit)
        self._resume(active, operation, value)

    def _resume(self, active: ActiveRun, operation: Operation, value: Any) -> None:
        """A pending step got its result; the body goes on, perhaps together with others."""
        if active.record.run_id in self._active and self._complete(active, operation, value, None):
            self._discover(active, operation.opts.get("parallelMode") == "race")

    def _complete(self, active: ActiveRun, operation: Operation, value: Any, job: Job | None) -> bool:
        """Memoise a step's result, once; False when it was known."""
        if operation.id in active.steps:
            return False
        active.memoise(operation.id, value)
        step = active.record.step(operation.id, operation.display_name, operation.op)
        step.op = operation.op
        step.ended_at = self._clock()
        if job is not None:
            step.attempts = job.attempt + 1
        match value:
            case {"data": data, **others} if not others:
                step.output = data
            case {"error": error, **others} if not others:
                step.error = error
            case _:
                step.output = value
        return True

    def _discover(self, active: ActiveRun, races: bool) -> None:
        """Call the body again, unless other steps are still pending and the SDK wants them together."""
        coalesces = active.request_version >= COALESCING_VERSION and not races
        if active.pending and coalesces:
            return
        if not active.pending:
            active.plan_only = False
        self._spawn(active, partial(self._work, active, None))

    # -- ends ---------------------------------------------------------------------------------------

    def _fail(self, active: ActiveRun, failure: Failure) -> None:
        self._end(active, RunStatus.FAILED, failure.output, failure.reason)

    def _end(self, active: ActiveRun, status: RunStatus, output: Any, reason: str | None = None) -> None:
        if active.record.run_id not in self._active:
            return
        record = active.record
        record.status, record.output, record.ended_at = status, output, self._clock()
        record.is_retrying = False
        self._release(active)
        log.debug("inngest.run.ended", run_id=record.run_id, function_id=record.function_id, status=status.value)
        for event in end_events(record, active.events, reason, record.ended_at):
            self._emit(event)

    def _release(self, active: ActiveRun) -> None:
        """Forget an active run and stop all that waits for it; calls under way may end."""
        del self._active[active.record.run_id]
        current = asyncio.current_task()
        for task in active.tasks - active.calling:
            if task is not current:
                task.cancel()
        if not self._active:
            self._idle.set()
