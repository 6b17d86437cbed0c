"""Batches: their items until they are sealed, then the runs made from them (reference 2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.trigger_dev.durations import iso, now
from sandbox.trigger_dev.environments import Environment
from sandbox.trigger_dev.identifiers import new_cuid
from sandbox.trigger_dev.options import TriggerRequest
from sandbox.trigger_dev.runs import RunStore


@dataclass(frozen=True)
class BatchItem:
    """One run that a batch asks for."""

    index: int
    task: str
    request: TriggerRequest


@dataclass(frozen=True)
class Member:
    """One run of a batch; `cached` when its idempotency key stood for an older run."""

    run_id: str
    task: str
    cached: bool
    idempotency_key: str | None


@dataclass
class Batch:
    """A batch. `errors` holds `{index, taskIdentifier, error, errorCode?}` for items that made no run."""

    id: str
    environment: Environment
    run_count: int
    created_at: datetime
    updated_at: datetime
    idempotency_key: str | None = None
    idempotency_key_expires_at: datetime | None = None
    parent_run_id: str | None = None
    resume_parent: bool = False
    traceparent: str | None = None
    trace_id: str | None = None
    items: dict[int, BatchItem] = field(default_factory=dict)
    sealed: bool = False
    processed_at: datetime | None = None
    members: list[Member] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)


class BatchStore:
    """All batches, by id and by idempotency key."""

    def __init__(self, runs: RunStore) -> None:
        self._runs = runs
        self._batches: dict[str, Batch] = {}
        self._by_key: dict[tuple[str, str], str] = {}

    def make(self, environment: Environment, run_count: int, **fields: Any) -> Batch:
        """A new, unsealed batch; `fields` are further members of Batch."""
        created = now()
        batch = Batch(f"batch_{new_cuid()}", environment, run_count, created, created, **fields)
        self._batches[batch.id] = batch
        if batch.idempotency_key is not None:
            self._by_key[(environment.id, batch.idempotency_key)] = batch.id
        return batch

    def find(self, environment: Environment, batch_id: str) -> Batch | None:
        """A batch by id, if it belongs to the environment."""
        batch = self._batches.get(batch_id)
        return batch if batch is not None and batch.environment == environment else None

    def find_key(self, environment: Environment, key: str | None) -> Batch | None:
        """The batch a key stands for, unless the key has expired."""
        batch = self._batches.get(self._by_key.get((environment.id, key or ""), ""))
        if batch is None or (batch.idempotency_key_expires_at or now()) < now():
            return None
        return batch

    def status(self, batch: Batch) -> str:
        """PENDING until sealed, PROCESSING until every member has ended, then COMPLETED whatever their
        outcome.

        PARTIAL_FAILED when some items made no run, ABORTED when none did.
        """
        if not batch.sealed:
            return "PENDING"
        if batch.processed_at is None:
            return "PROCESSING"
        if batch.errors:
            return "PARTIAL_FAILED" if batch.members else "ABORTED"
        return "COMPLETED" if all(self._ended(member) for member in batch.members) else "PROCESSING"

    def _ended(self, member: Member) -> bool:
        run = self._runs.get(member.run_id)
        return run is not None and run.finished

    def described(self, batch: Batch, *, with_processing: bool) -> dict[str, Any]:
        """The batch as the API shows it; the processing part came with the v2 path."""
        runs = [self._runs.get(member.run_id) for member in batch.members]
        updated = max([batch.updated_at, *(run.updated_at for run in runs if run is not None and run.finished)])
        described: dict[str, Any] = {"id": batch.id, "status": self.status(batch)}
        if batch.idempotency_key is not None:
            described["idempotencyKey"] = batch.idempotency_key
        described |= {"createdAt": iso(batch.created_at), "updatedAt": iso(updated)}
        completed = {"completedAt": iso(batch.processed_at)} if batch.processed_at is not None else {}
        if with_processing and batch.processed_at is not None:
            described["processingCompletedAt"] = iso(batch.processed_at)
        described |= {"runCount": batch.run_count, "runs": [member.run_id for member in batch.members]}
        if with_processing:
            described["processing"] = {**completed, "errors": batch.errors}
        return described
