"""Queues: who may start next, within the environment's and the queue's concurrency, and pausing (reference
6.7).
"""

from __future__ import annotations

import asyncio
import bisect
import hashlib
from collections import Counter
from dataclasses import dataclass

from sandbox.trigger_dev.environments import Environment
from sandbox.trigger_dev.runs import Run


@dataclass
class Queue:
    """A queue of one environment. The name of a task's own queue is `task/<task id>`."""

    name: str
    concurrency_limit: int | None = None
    paused: bool = False

    @property
    def is_task_queue(self) -> bool:
        """Whether it belongs to a task (the others are declared by hand)."""
        return self.name.startswith("task/")

    @property
    def id(self) -> str:
        """An id that stays the same for the same name."""
        return f"queue_{hashlib.sha256(self.name.encode()).hexdigest()[:21]}"


@dataclass(order=True)
class _Waiter:
    turn: float
    number: int
    run: Run
    granted: asyncio.Future[None]


class Turnstile:
    """Grants turns to queued runs: oldest first (a run's priority makes it that many seconds older)."""

    def __init__(self, concurrency: int) -> None:
        """`concurrency` bounds the runs that execute at once in each environment."""
        self._concurrency = concurrency
        self._queues: dict[tuple[str, str], Queue] = {}
        self._waiting: list[_Waiter] = []
        self._running: Counter[str] = Counter()
        self._running_in_queue: Counter[tuple[str, str]] = Counter()

    def declare(self, environment: Environment, name: str, concurrency_limit: int | None = None) -> Queue:
        """Make a queue known, or change its limit."""
        queue = self._queues.setdefault((environment.id, name), Queue(name))
        queue.concurrency_limit = concurrency_limit
        return queue

    def knows(self, environment: Environment, name: str) -> bool:
        """Whether the environment has such a queue; runs for others wait for a deploy that brings it."""
        return (environment.id, name) in self._queues

    def queues(self, environment: Environment) -> list[Queue]:
        """An environment's queues by name."""
        return sorted((q for (owner, _), q in self._queues.items() if owner == environment.id), key=lambda q: q.name)

    def set_paused(self, queue: Queue, paused: bool) -> None:
        """Stop or resume handing out turns of a queue; running runs go on."""
        queue.paused = paused
        self._grant()

    def running(self, environment: Environment, queue: Queue) -> int:
        """Runs of the queue that have a turn."""
        return self._running_in_queue[(environment.id, queue.name)]

    def queued(self, environment: Environment, queue: Queue) -> int:
        """Runs of the queue that wait for a turn."""
        return sum(1 for w in self._waiting if w.run.environment == environment and w.run.queue == queue.name)

    async def enter(self, run: Run) -> None:
        """Wait for the run's turn. Cancelling the wait gives the place up."""
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queued_at = (run.queued_at or run.created_at).timestamp()
        waiter = _Waiter(queued_at - run.priority, run.number, run, granted)
        bisect.insort(self._waiting, waiter)
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.leave(run)
            else:
                self._waiting.remove(waiter)
            raise

    def leave(self, run: Run) -> None:
        """Give the turn back."""
        self._running[run.environment.id] -= 1
        self._running_in_queue[(run.environment.id, run.queue)] -= 1
        self._grant()

    def _grant(self) -> None:
        still_waiting = []
        for waiter in self._waiting:
            owner, key = waiter.run.environment.id, (waiter.run.environment.id, waiter.run.queue)
            queue = self._queues[key]
            free = self._running[owner] < self._concurrency and not queue.paused
            if queue.concurrency_limit is not None:
                free = free and self._running_in_queue[key] < queue.concurrency_limit
            if not free or waiter.granted.done():
                still_waiting.append(waiter)
                continue
            self._running[owner] += 1
            self._running_in_queue[key] += 1
            waiter.granted.set_result(None)
        self._waiting = still_waiting
