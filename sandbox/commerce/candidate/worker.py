"""What the candidate's functions have in common: steps that work on the outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import inngest

from sandbox.commerce.faults import Faults
from sandbox.commerce.outside import Outside

T = TypeVar("T")


@dataclass(frozen=True)
class Worker:
    """What a deployment of the candidate is given."""

    client: inngest.Inngest
    outside: Outside
    faults: Faults

    def run(self, ctx: inngest.Context) -> Run:
        """The run at hand."""
        return Run(self, ctx)


class Run:
    """One call of a function: everything with an effect happens within `step`."""

    def __init__(self, worker: Worker, ctx: inngest.Context) -> None:
        self._worker = worker
        self._ctx = ctx

    async def step(self, step_id: str, work: Callable[[Outside], Awaitable[T]]) -> T:
        """Do some work once."""
        return await self._ctx.step.run(step_id, self.at_once, work)

    async def at_once(self, work: Callable[[Outside], Awaitable[T]]) -> T:
        """Do some work now, which outside of a step means: every time the function is entered."""
        return await work(self._worker.outside)
