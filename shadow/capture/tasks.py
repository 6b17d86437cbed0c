"""Plain callables as tasks: whatever runs them, their run is known to all that they do."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from shadow.capture.reports import Reports
from shadow.capture.run import Run, at_hand

Task = TypeVar("Task", bound=Callable[..., Any])


def task(reports: Reports, name: str, run_of: Callable[..., Run] | None = None) -> Callable[[Task], Task]:
    """A decorator; what the task did is reported before its attempt ends, also when it fails."""

    def decorate(work: Task) -> Task:
        @functools.wraps(work)
        def call(*arguments: Any, **named: Any) -> Any:
            run = _run(name, run_of, arguments, named)
            with at_hand(run):
                try:
                    return work(*arguments, **named)
                finally:
                    reports.flush(run)

        @functools.wraps(work)
        async def call_async(*arguments: Any, **named: Any) -> Any:
            run = _run(name, run_of, arguments, named)
            with at_hand(run):
                try:
                    return await work(*arguments, **named)
                finally:
                    await reports.flush_async(run)

        wrapped: Any = call_async if inspect.iscoroutinefunction(work) else call
        return wrapped  # type: ignore[no-any-return]

    return decorate


def _run(name: str, run_of: Callable[..., Run] | None, arguments: tuple[Any, ...], named: dict[str, Any]) -> Run:
    if run_of is not None:
        return run_of(*arguments, **named)
    for argument in (*reversed(arguments), *named.values()):
        found = _context(argument)
        if found is not None:
            run, attempt, event = found
            return Run(run, name, attempt, event)
    raise TypeError(
        f"task {name}: none of its arguments says which run it is (`run_id`, or `run.id` as in Trigger.dev's context); "
        "expected one, or capture.task(..., run=callable that makes it of the arguments)"
    )


def _context(argument: Any) -> tuple[str, int, str | None] | None:
    """Run, attempt and event of a context: as attributes or keys, in Trigger.dev's shape or flat."""
    run_id = _get(argument, "run_id") or _get(_get(argument, "run"), "id")
    if not isinstance(run_id, str):
        return None
    attempt = _get(argument, "attempt")
    number = attempt if isinstance(attempt, int) else _get(attempt, "number")
    key = _get(argument, "idempotency_key") or _get(_get(argument, "run"), "idempotencyKey")
    return run_id, number if isinstance(number, int) else 1, key if isinstance(key, str) else None


def _get(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)
