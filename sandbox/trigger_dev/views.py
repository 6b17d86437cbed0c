"""Runs as the API shows them: vocabulary, booleans, member order (reference 3.1 to 3.3)."""

from __future__ import annotations

from typing import Any

from sandbox.trigger_dev import runs as status
from sandbox.trigger_dev.durations import iso
from sandbox.trigger_dev.packets import PacketStore, plain_value
from sandbox.trigger_dev.runs import Run, RunStore
from sandbox.trigger_dev.schedule_store import ScheduleStore

_CURRENT = {
    status.PENDING: "QUEUED",
    status.WAITING: "WAITING",
    status.RETRYING: "EXECUTING",
    status.SUCCEEDED: "COMPLETED",
    status.FAILED: "FAILED",
}
_LEGACY = _CURRENT | {status.WAITING: "FROZEN", status.RETRYING: "REATTEMPTING", status.DEQUEUED: "EXECUTING"}

RAW_STATUSES = {
    "PENDING_VERSION": {status.PENDING_VERSION},
    "WAITING_FOR_DEPLOY": {status.PENDING_VERSION},
    "DELAYED": {status.DELAYED},
    "QUEUED": {status.PENDING},
    "DEQUEUED": {status.DEQUEUED},
    "EXECUTING": {status.EXECUTING},
    "WAITING": {status.WAITING},
    "FROZEN": {status.WAITING},
    "REATTEMPTING": {status.RETRYING},
    "COMPLETED": {status.SUCCEEDED},
    "CANCELED": {status.CANCELED},
    "FAILED": {status.FAILED},
    "INTERRUPTED": set[str](),
    "CRASHED": {status.CRASHED},
    "SYSTEM_FAILURE": {status.SYSTEM_FAILURE},
    "EXPIRED": {status.EXPIRED},
    "TIMED_OUT": {status.TIMED_OUT},
}
"""Every status a list filter may name, in either vocabulary, with the raw statuses it selects."""


def shown_status(raw: str, *, current: bool) -> str:
    """A raw status in the current or the legacy vocabulary."""
    return (_CURRENT if current else _LEGACY).get(raw, raw)


def booleans(shown: str) -> dict[str, bool]:
    """The booleans beside a status, traps included.

    `isCompleted` is false for EXPIRED and TIMED_OUT, `isFailed` is true for CANCELED, and in the legacy
    vocabulary a frozen run is executing.
    """
    completed = shown in ("COMPLETED", "CANCELED", "FAILED", "CRASHED", "SYSTEM_FAILURE")
    return {
        "isQueued": shown in ("QUEUED", "DELAYED", "PENDING_VERSION"),
        "isExecuting": shown in ("EXECUTING", "DEQUEUED", "REATTEMPTING", "FROZEN"),
        "isCompleted": completed,
        "isFailed": completed and shown != "COMPLETED",
        "isSuccess": shown == "COMPLETED",
        "isCancelled": shown == "CANCELED",
        "isWaiting": shown == "WAITING",
    }


def shown_error(error: dict[str, Any] | None) -> dict[str, Any] | None:
    """A raw TaskRunError in the short form of reads."""
    if error is None:
        return None
    if error["type"] == "BUILT_IN_ERROR":
        return {name: error[name] for name in ("name", "message", "stackTrace")}
    if error["type"] == "INTERNAL_ERROR":
        return {"message": f"trigger.dev internal error ({error['code']})"}
    return {"message": error["raw"]}


def trigger_function(run: Run) -> str:
    """How the run came about, as far as the platform can tell."""
    name = "batchTrigger" if run.batch_id is not None else "trigger"
    return f"{name}AndWait" if run.resume_parent else name


def _times(run: Run) -> dict[str, Any]:
    named = {
        "createdAt": run.created_at,
        "startedAt": run.started_at,
        "updatedAt": run.updated_at,
        "finishedAt": run.finished_at,
        "expiredAt": run.expired_at,
        "delayedUntil": run.delay_until,
    }
    return {name: iso(at) for name, at in named.items() if at is not None}


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _number(value: float) -> float:
    """A number as JavaScript writes it: whole ones without a fraction."""
    return int(value) if value == int(value) else value


def common(run: Run, *, current: bool) -> dict[str, Any]:
    """The members a run and its relatives share. The key shown is the one the user gave, not its hash."""
    shown = shown_status(run.status, current=current)
    key = run.idempotency_key
    if key is not None and run.idempotency_key_options:
        key = run.idempotency_key_options.get("key", key)
    return {
        "id": run.id,
        "taskIdentifier": run.task,
        **_present(idempotencyKey=key, version=run.version),
        "status": shown,
        **_times(run),
        **_present(ttl=run.ttl),
        "costInCents": _number(run.cost_in_cents),
        "baseCostInCents": _number(run.base_cost_in_cents),
        "durationMs": run.duration_ms,
        "isTest": run.is_test,
        "depth": run.depth,
        "tags": sorted(run.tags),
        **booleans(shown),
        "triggerFunction": trigger_function(run),
        **_present(batchId=run.batch_id, metadata=run.metadata),
        "region": run.environment.region,
    }


class Presenter:
    """Shows runs to one caller: its vocabulary, and addresses under the host it used."""

    def __init__(
        self, store: RunStore, packets: PacketStore, schedules: ScheduleStore, base_url: str, *, current: bool
    ) -> None:
        self._store = store
        self._packets = packets
        self._schedules = schedules
        self._base_url = base_url
        self._current = current

    def whole(self, run: Run) -> dict[str, Any]:
        """A run with its payload, output, error and relatives."""
        shown = common(run, current=self._current) | self._data("payload", run)
        if run.status == status.SUCCEEDED:
            shown |= self._data("output", run)
        shown |= _present(error=shown_error(run.error), schedule=self._schedules.of_run(run))
        relatives: dict[str, Any] = {}
        for name, run_id in (("root", run.root_id), ("parent", run.parent_id)):
            if (relative := self._store.get(run_id)) is not None:
                relatives[name] = common(relative, current=self._current)
        relatives["children"] = [common(child, current=self._current) for child in self._store.children(run)]
        return shown | {"attemptCount": run.attempts, "attempts": [], "relatedRuns": relatives}

    def _data(self, name: str, run: Run) -> dict[str, Any]:
        packet = run.payload if name == "payload" else run.output
        if packet.data is None:
            return {}
        if packet.stored:
            address = self._packets.presigned(self._base_url, "GET", run.environment, packet.data)
            return {f"{name}PresignedUrl": address}
        return {name: plain_value(packet)}

    def listed(self, run: Run) -> dict[str, Any]:
        """A run as a list item: no payload, output, error or relatives; the key is the one on the wire."""
        shown = shown_status(run.status, current=self._current)
        times = _times(run)
        expired = {"expiredAt": times.pop("expiredAt")} if "expiredAt" in times else {}
        return {
            "id": run.id,
            "status": shown,
            "taskIdentifier": run.task,
            **_present(idempotencyKey=run.idempotency_key, version=run.version),
            **{
                name: times[name]
                for name in ("createdAt", "updatedAt", "startedAt", "finishedAt", "delayedUntil")
                if name in times
            },
            "isTest": run.is_test,
            **_present(ttl=run.ttl),
            **expired,
            "env": run.environment.described(),
            "tags": sorted(run.tags),
            "costInCents": _number(run.cost_in_cents),
            "baseCostInCents": _number(run.base_cost_in_cents),
            "durationMs": run.duration_ms,
            "depth": run.depth,
            **_present(metadata=run.metadata),
            "taskKind": "SCHEDULED" if run.schedule_id is not None else "STANDARD",
            "region": run.environment.region,
            **booleans(shown),
        }
