"""Runs: one execution of a function each, with its steps, and the store that finds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class RunStatus(StrEnum):
    """The server's own words for where a run stands."""

    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def is_final(self) -> bool:
        return self in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


@dataclass(slots=True)
class StepRecord:
    """One step of a run. `id` is the hash the SDK sent, `name` what the author called it."""

    id: str
    name: str
    op: str
    attempts: int = 1
    output: Any = None
    error: dict[str, Any] | None = None
    ended_at: datetime | None = None


@dataclass(slots=True)
class RunRecord:
    """One run. `function_id` is the slug `app-function`, `function_uuid` what the run API shows."""

    run_id: str
    function_id: str
    function_uuid: str
    event_id: str
    """Internal ULID of the event which started it."""
    scheduled_at: datetime
    trace_id: str
    cron: str | None = None
    original_run_id: str | None = None
    """Of a rerun: the run that somebody had run again."""
    status: RunStatus = RunStatus.SCHEDULED
    started_at: datetime | None = None
    ended_at: datetime | None = None
    output: Any = None
    calls: int = 0
    """Requests sent to the app."""
    attempts: int = 1
    """The most tries which one of its jobs (a step, or the function's body) has needed so far."""
    steps: list[StepRecord] = field(default_factory=list)
    is_retrying: bool = False
    """Its last call failed, and it waits for the next."""

    def step(self, step_id: str, name: str, op: str) -> StepRecord:
        """The record of a step, made if it is new."""
        for known in self.steps:
            if known.id == step_id:
                return known
        made = StepRecord(step_id, name, op)
        self.steps.append(made)
        return made


class RunStore:
    """All runs in the order in which they were scheduled."""

    def __init__(self) -> None:
        self._runs: dict[str, RunRecord] = {}
        self._by_event: dict[str, list[RunRecord]] = {}

    def add(self, run: RunRecord) -> None:
        self._runs[run.run_id] = run
        self._by_event.setdefault(run.event_id, []).append(run)

    def remove(self, run: RunRecord) -> None:
        del self._runs[run.run_id]
        self._by_event[run.event_id].remove(run)

    def get(self, run_id: str) -> RunRecord | None:
        return self._runs.get(run_id)

    def of_event(self, internal_id: str) -> list[RunRecord]:
        return self._by_event.get(internal_id, [])

    def __iter__(self) -> Iterator[RunRecord]:
        return iter(self._runs.values())

    def newest_first(self) -> Iterator[RunRecord]:
        return reversed(self._runs.values())
