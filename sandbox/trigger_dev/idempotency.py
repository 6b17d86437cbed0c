"""Idempotency keys: unique per environment, task and key (reference 6.2)."""

from __future__ import annotations

from sandbox.trigger_dev.durations import key_ttl, now
from sandbox.trigger_dev.runs import UNSUCCESSFUL, Run, RunStore


class IdempotencyKeys:
    """Which run a key stands for. Expiry is lazy: it is looked at when the key is used again."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._run_ids: dict[tuple[str, str, str], str] = {}

    def find(self, environment_id: str, task: str, key: str, *, free_failed: bool = True) -> Run | None:
        """The run a key is bound to, in whatever state it is; the payload is not compared.

        The key is freed, and None returned, when it has expired or its run failed. `free_failed=False` is the
        v1 batch path, which looks at expiry only (reference 6.3).
        """
        run = self._store.get(self._run_ids.get((environment_id, task, key)))
        if run is None:
            return None
        expired = run.idempotency_key_expires_at is not None and run.idempotency_key_expires_at <= now()
        if expired or (free_failed and run.status in UNSUCCESSFUL):
            self.free(environment_id, task, key)
            return None
        return run

    def bind(self, run: Run, key: str, ttl: str | None) -> None:
        """Bind a key to a new run."""
        run.idempotency_key = key
        run.idempotency_key_expires_at = now() + key_ttl(ttl)
        self._run_ids[(run.environment.id, run.task, key)] = run.id

    def free(self, environment_id: str, task: str, key: str) -> bool:
        """Forget a key, which its run then no longer shows. False when there was none."""
        run = self._store.get(self._run_ids.pop((environment_id, task, key), None))
        if run is None:
            return False
        self._store.touch(run, idempotency_key=None, idempotency_key_expires_at=None)
        return True
