"""Make runs: idempotency, debounce, parents, defaults; then to the executor (reference 1.3, 1.5, 6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from sandbox.trigger_dev import runs as status
from sandbox.trigger_dev.durations import delay_until, instant, iso, natural_duration, now, stringify_seconds
from sandbox.trigger_dev.environments import Environment
from sandbox.trigger_dev.errors import ApiError
from sandbox.trigger_dev.executor import Executor
from sandbox.trigger_dev.idempotency import IdempotencyKeys
from sandbox.trigger_dev.identifiers import new_cuid, trace_id
from sandbox.trigger_dev.options import TriggerRequest
from sandbox.trigger_dev.packets import PAYLOAD_OFFLOAD_BYTES, PacketStore, json_packet
from sandbox.trigger_dev.runs import Run, RunStore
from sandbox.trigger_dev.tasks import ChildTrigger, sdk_idempotency_key

MOST_TAGS = 10
MOST_METADATA_BYTES = 262_144
DEVELOPMENT_TTL = "10m"


class Triggering:
    """The one place where runs come into being."""

    def __init__(self, store: RunStore, packets: PacketStore, executor: Executor, version: str) -> None:
        self._store = store
        self._packets = packets
        self._executor = executor
        self._version = version
        self._debounced: dict[tuple[str, str, str], str] = {}
        self.keys = IdempotencyKeys(store)

    def trigger(
        self,
        environment: Environment,
        task: str,
        request: TriggerRequest,
        *,
        free_failed: bool = True,
        **origin: Any,
    ) -> tuple[Run, bool]:
        """A run for the request, and whether it was there before (`isCached`).

        `origin` is set on the new run: batch_id, schedule_id, replayed_from. Raises ApiError for what the
        service refuses after parsing: too many tags, too much metadata, an unknown locked version.
        """
        self._refuse(request)
        if request.idempotency_key:
            known = self.keys.find(environment.id, task, request.idempotency_key, free_failed=free_failed)
            if known is not None:
                return known, True
        if request.debounce is not None and (postponed := self._postponed(environment, task, request)) is not None:
            return postponed, False
        run = self._make(environment, task, request, origin)
        self._executor.submit(run)
        return run, False

    def _refuse(self, request: TriggerRequest) -> None:
        if len(request.tags) > MOST_TAGS:
            raise ApiError(422, f"Runs can only have {MOST_TAGS} tags, you're trying to set {len(request.tags)}.")
        if request.metadata is not None and len(_metadata_text(request.metadata)) > MOST_METADATA_BYTES:
            raise ApiError(413, f"Metadata exceeds maximum size of {MOST_METADATA_BYTES} bytes")
        if request.lock_to_version not in (None, self._version):
            # The transcript of the real service shows a 500 here, where its documentation promises a 422.
            raise ApiError(500, "Something went wrong")

    def _make(self, environment: Environment, task: str, request: TriggerRequest, origin: Mapping[str, Any]) -> Run:
        created = now()
        delay = request.debounce.delay if request.debounce is not None else request.delay
        due = delay_until(delay, created)
        parent = self._store.find(environment, request.parent_run_id)
        run_id = f"run_{new_cuid()}"
        run = Run(
            id=run_id,
            environment=environment,
            task=task,
            payload=self._packets.offload(
                environment, f"{run_id}/payload.json", request.payload, PAYLOAD_OFFLOAD_BYTES
            ),
            number=len(self._store) + 1,
            created_at=created,
            updated_at=created,
            status=status.DELAYED if due is not None else status.PENDING,
            ttl=_ttl(environment, request.ttl),
            delay_until=due,
            queued_at=created if due is None else None,
            tags=tuple(sorted(set(request.tags))),
            metadata=_metadata(request.metadata),
            is_test=request.test,
            depth=parent.depth + 1 if parent is not None else 0,
            parent_id=parent.id if parent is not None else None,
            root_id=(parent.root_id or parent.id) if parent is not None else None,
            resume_parent=request.resume_parent,
            idempotency_key_options=request.idempotency_key_options,
            queue=request.queue or f"task/{task}",
            concurrency_key=request.concurrency_key,
            machine=request.machine,
            priority=request.priority,
            max_attempts=request.max_attempts,
            max_duration=request.max_duration,
            traceparent=request.traceparent,
            trace_id=request.trace_id or trace_id(),
            **origin,
        )
        if request.idempotency_key:
            self.keys.bind(run, request.idempotency_key, request.idempotency_key_ttl)
        if request.debounce is not None and due is not None:
            self._debounced[(environment.id, task, request.debounce.key)] = run_id
        self._store.add(run)
        return run

    def _postponed(self, environment: Environment, task: str, request: TriggerRequest) -> Run | None:
        assert request.debounce is not None
        run = self._store.get(self._debounced.get((environment.id, task, request.debounce.key)))
        due = delay_until(request.debounce.delay, now())
        if run is None or run.status != status.DELAYED or due is None:
            return None
        if not request.debounce.leading:
            run.payload = request.payload
        self._executor.reschedule(run, due)
        return run

    def child_trigger(self, parent: Run) -> ChildTrigger:
        """What a run's context offers to make children."""

        async def trigger(
            task_id: str,
            payload: Any,
            *,
            delay: str | float | datetime | None = None,
            idempotency_key: str | None = None,
            tags: tuple[str, ...] = (),
            and_wait: bool = False,
        ) -> str:
            scoped = {"key": idempotency_key, "scope": "run"} if idempotency_key is not None else None
            request = TriggerRequest(
                payload=json_packet(payload),
                delay=_delay_text(delay),
                idempotency_key=sdk_idempotency_key(idempotency_key, parent.id) if idempotency_key else None,
                idempotency_key_options=scoped,
                tags=tags,
                parent_run_id=parent.id,
                resume_parent=and_wait,
                trace_id=parent.trace_id if and_wait else None,
            )
            run, _ = self.trigger(parent.environment, task_id, request)
            if and_wait:
                await self._executor.wait_for(parent, run)
            return run.id

        return trigger

    def replay(self, run: Run) -> Run:
        """A new run like this one, without its idempotency key."""
        request = TriggerRequest(
            payload=run.payload,
            tags=run.tags,
            metadata=run.metadata,
            ttl=run.ttl,
            queue=run.queue,
            concurrency_key=run.concurrency_key,
            machine=run.machine,
            max_attempts=run.max_attempts,
            max_duration=run.max_duration,
            test=run.is_test,
        )
        return self.trigger(run.environment, run.task, request, replayed_from=run.id)[0]


def _ttl(environment: Environment, ttl: str | int | None) -> str | None:
    if ttl is None:
        return DEVELOPMENT_TTL if environment.is_dev else None
    return stringify_seconds(ttl) if isinstance(ttl, int) else ttl


def _metadata_text(metadata: Any) -> bytes:
    return metadata.encode() if isinstance(metadata, str) else orjson.dumps(metadata)


def _metadata(metadata: Any) -> Any:
    """Metadata as an object; the SDK may send it as JSON text."""
    if not isinstance(metadata, str):
        return metadata
    try:
        return orjson.loads(metadata)
    except orjson.JSONDecodeError:
        return None


def _delay_text(delay: str | float | datetime | None) -> str | None:
    if isinstance(delay, datetime):
        return iso(delay)
    if isinstance(delay, int | float):
        return iso(datetime.now(UTC) + timedelta(seconds=delay))
    if delay is not None and natural_duration(delay) is None and instant(delay) is None:
        raise ValueError(f"delay must be a duration like '1h30m' or an ISO instant, found {delay!r}")
    return delay
