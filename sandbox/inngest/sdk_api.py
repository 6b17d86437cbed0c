"""What SDKs call by themselves: registration, fetching a large run's state, checkpointing steps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson
from starlette.requests import Request
from starlette.responses import Response

from sandbox.inngest.executor import Executor
from sandbox.inngest.registry import Registry


class SdkApi:
    """`/fn/register`, `/v0/runs/{id}/batch` and `/actions`, `/v1/checkpoint/{id}/async`."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        registry: Registry,
        executor: Executor,
        server_kind: str,
    ) -> None:
        self._clock = clock
        self._registry = registry
        self._executor = executor
        self._server_kind = server_kind

    async def register(self, request: Request) -> Response:
        expected = request.headers.get("x-inngest-expected-server-kind")
        if expected and expected != self._server_kind:
            return _error(400, f"Expected server kind {expected}, got {self._server_kind}")
        try:
            app, modified = self._registry.register(orjson.loads(await request.body()), self._clock())
        except ValueError as error:
            return _error(400, str(error))
        return _json({"ok": True, "modified": modified, "sync_id": str(uuid4()), "app_id": app.uuid})

    async def batch(self, request: Request) -> Response:
        """The events of a run whose call said use_api; 410 once it has ended."""
        active = self._executor.active(request.path_params["run_id"])
        if active is None:
            return _error(410, "run state is gone")
        return _json([event.sdk_form() for event in active.events])

    async def actions(self, request: Request) -> Response:
        """The memoised steps of a run whose call said use_api; 410 once it has ended."""
        active = self._executor.active(request.path_params["run_id"])
        if active is None:
            return _error(410, "run state is gone")
        return _json(active.steps)

    async def checkpoint(self, request: Request) -> Response:
        """Steps which an SDK ran within one call. 409 tells it that the call is not current any more."""
        try:
            sent = orjson.loads(await request.body())
            steps = sent["steps"]
            reference = str(sent["qi_id"])
            if not isinstance(steps, list):
                raise ValueError("steps must be a list")
            generation = sent.get("generation_id")
            current = self._executor.checkpoint(request.path_params["run_id"], reference, generation, steps)
        except (ValueError, KeyError, TypeError) as error:
            return _error(400, f"invalid request body: {error}")
        if not current:
            return _error(409, "stale dispatch")
        return Response(b"", 200)


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _error(status: int, message: str) -> Response:
    return _json({"error": message, "data": None, "status": status}, status)
