"""What a task author sees: the handler, its retry policy, its context, the error that ends a run."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


class AbortTaskRunError(Exception):
    """Raised by a task to fail its run without another attempt."""


class TaskPayloadParsedError(Exception):
    """Raised by a task whose payload does not fit its schema; not retried either."""


@dataclass(frozen=True)
class Retry:
    """Attempts in all, and the wait between them in seconds: `min_delay * factor ** (n - 1)`, at most
    `max_delay`.

    The wait has no jitter, unlike the real platform's default, so that tests can rely on it.
    """

    max_attempts: int = 3
    min_delay: float = 0.05
    factor: float = 2.0
    max_delay: float = 10.0

    def delay(self, attempt: int) -> float:
        """Seconds to wait after failed attempt `attempt` (from 1)."""
        return min(self.max_delay, self.min_delay * self.factor ** (attempt - 1))


DEFAULT_RETRY = Retry()


class ChildTrigger(Protocol):
    """Trigger another task from inside a run."""

    async def __call__(
        self,
        task_id: str,
        payload: Any,
        *,
        delay: str | float | datetime | None = None,
        idempotency_key: str | None = None,
        tags: tuple[str, ...] = (),
        and_wait: bool = False,
    ) -> str:
        """Make a child run and return its id; with `and_wait` once it has ended, sharing this run's trace meanwhile.

        `delay` is a duration text (`1h30m`), seconds, or an instant. A key is hashed with this run's id, as
        the SDK does inside tasks, so that another attempt of this run finds the same child.
        """


@dataclass(frozen=True)
class TaskContext:
    """What a handler knows about its run. `attempt` counts from 1; `version` is the deployed version."""

    run_id: str
    task_id: str
    attempt: int
    parent_run_id: str | None
    root_run_id: str | None
    tags: tuple[str, ...]
    is_test: bool
    version: str
    environment: str
    idempotency_key: str | None
    trigger: ChildTrigger = field(repr=False)
    wait: Callable[[float], Awaitable[None]] = field(repr=False)
    """Sleep so many seconds; a deployed run shows as WAITING meanwhile."""
    traceparent: Callable[[str], str] = field(repr=False)
    """What an instrumented client sends with a call of that name. Its span is listed once the attempt has ended."""


Handler = Callable[[Any, TaskContext], Awaitable[Any]]


@dataclass(frozen=True)
class TaskDefinition:
    """A deployed task. `concurrency` bounds its own queue; `max_duration` is seconds of one attempt."""

    id: str
    handler: Handler = field(repr=False)
    retry: Retry = DEFAULT_RETRY
    concurrency: int | None = None
    max_duration: float | None = None


def sdk_idempotency_key(key: str, *scope: str) -> str:
    """The key as the SDK puts it on the wire: sha256 of the parts joined by `-`; 64 characters go as they
    are.
    """
    return key if len(key) == 64 else hashlib.sha256("-".join((key, *scope)).encode()).hexdigest()
