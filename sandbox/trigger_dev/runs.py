"""Runs and their store. Statuses here are the raw ones of the platform's database (reference 3.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sandbox.trigger_dev.durations import iso, now
from sandbox.trigger_dev.environments import Environment
from sandbox.trigger_dev.identifiers import span_id, trace_id
from sandbox.trigger_dev.packets import EMPTY, Packet

DELAYED = "DELAYED"
PENDING = "PENDING"
PENDING_VERSION = "PENDING_VERSION"
DEQUEUED = "DEQUEUED"
EXECUTING = "EXECUTING"
WAITING = "WAITING_TO_RESUME"
RETRYING = "RETRYING_AFTER_FAILURE"
SUCCEEDED = "COMPLETED_SUCCESSFULLY"
FAILED = "COMPLETED_WITH_ERRORS"
CANCELED = "CANCELED"
CRASHED = "CRASHED"
SYSTEM_FAILURE = "SYSTEM_FAILURE"
EXPIRED = "EXPIRED"
TIMED_OUT = "TIMED_OUT"

TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELED, CRASHED, SYSTEM_FAILURE, EXPIRED, TIMED_OUT})
UNSUCCESSFUL = frozenset({FAILED, CRASHED, SYSTEM_FAILURE, TIMED_OUT, EXPIRED})
"""Ends that free an idempotency key (reference 6.2). CANCELED does not."""


@dataclass(frozen=True)
class Span:
    """A stretch of a run for `/trace` and `/events`. `ended_at` is None while it lasts."""

    id: str
    parent_id: str | None
    message: str
    started_at: datetime
    ended_at: datetime | None
    attempt: int | None = None
    is_error: bool = False


@dataclass
class Run:
    """One run. `error` is a raw TaskRunError object; durations are milliseconds, costs are cents."""

    id: str
    environment: Environment
    task: str
    payload: Packet
    number: int
    created_at: datetime
    updated_at: datetime
    status: str = PENDING
    ttl: str | None = None
    delay_until: datetime | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expired_at: datetime | None = None
    version: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Any = None
    is_test: bool = False
    depth: int = 0
    parent_id: str | None = None
    root_id: str | None = None
    batch_id: str | None = None
    resume_parent: bool = False
    idempotency_key: str | None = None
    idempotency_key_options: dict[str, Any] | None = None
    idempotency_key_expires_at: datetime | None = None
    queue: str = ""
    concurrency_key: str | None = None
    machine: str | None = None
    priority: float = 0.0
    max_attempts: int | None = None
    max_duration: float | None = None
    schedule_id: str | None = None
    replayed_from: str | None = None
    traceparent: str | None = None
    output: Packet = EMPTY
    error: dict[str, Any] | None = None
    attempts: int = 0
    duration_ms: int = 0
    cost_in_cents: float = 0.0
    base_cost_in_cents: float = 0.0
    created_sequence: int = 0
    sequence: int = 0
    trace_id: str = field(default_factory=trace_id)
    root_span_id: str = field(default_factory=span_id)
    spans: tuple[Span, ...] = ()
    versions: list[Run] = field(default_factory=list, repr=False)

    @property
    def internal_id(self) -> str:
        """The id without its prefix, which cursors and the realtime feed use."""
        return self.id.removeprefix("run_")

    @property
    def finished(self) -> bool:
        """Whether the run has reached one of its ends."""
        return self.status in TERMINAL

    def as_of(self, at: datetime) -> Run | None:
        """The run as it was then; None when it did not exist yet."""
        for version in reversed(self.versions):
            if version.updated_at <= at:
                return version
        return None

    def summary(self) -> dict[str, str]:
        """Machine fields for a log line."""
        return {"run": self.id, "task": self.task, "status": self.status, "updated": iso(self.updated_at)}


class RunStore:
    """All runs, and a way to wait for the next change."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._children: dict[str, list[Run]] = {}
        self._changed = asyncio.Event()
        self.sequence = 0

    def add(self, run: Run) -> None:
        """Take in a new run."""
        self._runs[run.id] = run
        if run.parent_id is not None:
            self._children.setdefault(run.parent_id, []).append(run)
        self._record(run)
        run.created_sequence = run.versions[-1].created_sequence = run.sequence

    def touch(self, run: Run, **changes: Any) -> None:
        """Change fields of a run, which moves its `updated_at` and wakes whoever waits."""
        for name, value in changes.items():
            setattr(run, name, value)
        run.updated_at = max(now(), run.updated_at)
        self._record(run)

    def _record(self, run: Run) -> None:
        self.sequence += 1
        run.sequence = self.sequence
        run.versions.append(replace(run, versions=[]))
        self._changed.set()
        self._changed = asyncio.Event()

    async def next_change(self, timeout_seconds: float) -> bool:
        """Wait until any run changes; False when none did in time."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_seconds)
        except TimeoutError:
            return False
        return True

    def get(self, run_id: str | None) -> Run | None:
        """A run by its id."""
        return self._runs.get(run_id) if run_id is not None else None

    def find(self, environment: Environment, run_id: str | None) -> Run | None:
        """A run by its id, if it belongs to the environment."""
        run = self.get(run_id)
        return run if run is not None and run.environment == environment else None

    def children(self, run: Run) -> list[Run]:
        """Runs that name this one as their parent, oldest first."""
        return self._children.get(run.id, [])

    def newest_first(self, environment: Environment) -> Iterator[Run]:
        """An environment's runs, newest first."""
        return (run for run in reversed(self._runs.values()) if run.environment == environment)

    def __iter__(self) -> Iterator[Run]:
        """Every run, oldest first."""
        return iter(list(self._runs.values()))

    def __len__(self) -> int:
        """How many runs there are."""
        return len(self._runs)
