"""What the candidate's functions have in common: steps that work on the world and report what they did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import inngest

from sandbox.commerce.faults import Faults
from sandbox.commerce.outside import Outside, emission
from sandbox.commerce.reporting import Recorder, Reports
from sandbox.commerce.world import World

T = TypeVar("T")


@dataclass(frozen=True)
class Worker:
    """What a deployment of the candidate is given."""

    client: inngest.Inngest
    world: World
    http: httpx.AsyncClient
    reports: Reports
    faults: Faults

    def run(self, ctx: inngest.Context, task: str) -> Run:
        """The run at hand."""
        return Run(self, ctx, task)


class Run:
    """One call of a function: everything with an effect happens within `step`."""

    def __init__(self, worker: Worker, ctx: inngest.Context, task: str) -> None:
        self._worker = worker
        self._ctx = ctx
        self._task = task

    async def step(self, step_id: str, work: Callable[[Outside], Awaitable[T]]) -> T:
        """Do some work once; its effects are reported before the step ends."""
        return await self._ctx.step.run(step_id, self.at_once, work)

    async def at_once(self, work: Callable[[Outside], Awaitable[T]]) -> T:
        """Do some work now, which outside of a step means: every time the function is entered."""
        recorder = Recorder(self._worker.reports, self._ctx.run_id, self._task, self._ctx.attempt + 1)
        async with recorder:
            return await work(Outside(self._worker.http, self._worker.world.database, recorder))


def emission_reports(reports: Reports) -> Callable[[inngest.Inngest, object], inngest.Middleware]:
    """Middleware that reports what `step.send_event` has sent, within that step."""

    class EmissionReports(inngest.Middleware):
        def __init__(self, client: inngest.Inngest, raw_request: object) -> None:
            super().__init__(client, raw_request)
            self._run: tuple[str, str, int] | None = None
            self._events: list[inngest.Event] = []

        async def transform_input(
            self,
            ctx: inngest.Context | inngest.ContextSync,
            function: inngest.Function[Any],
            steps: inngest.StepMemos,
        ) -> None:
            self._run = (ctx.run_id, function.local_id, ctx.attempt + 1)

        async def before_send_events(self, events: list[inngest.Event]) -> None:
            self._events = list(events)

        async def after_send_events(self, result: inngest.SendEventsResult) -> None:
            events, self._events = self._events, []
            if self._run is None or result.error is not None:
                return
            run, task, attempt = self._run
            sent = [emission(event.name, event.data, datetime.fromtimestamp(event.ts / 1000, UTC)) for event in events]
            await reports.send(run, task, attempt, sent)

    return EmissionReports
