"""The run API, v1: events, their runs, one run, cancelling, an app's functions; with its cache and its odd
errors.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from sandbox.inngest.durations import parse_moment, rfc3339
from sandbox.inngest.events import Event, EventStore
from sandbox.inngest.executor import Executor
from sandbox.inngest.identifiers import ENVIRONMENT_ID, NIL_ID, is_ulid
from sandbox.inngest.registry import Function, Registry
from sandbox.inngest.runs import RunRecord, RunStatus, RunStore
from sandbox.inngest.traps import Traps

EVENT_SECONDS = 5
EVENT_RUNS_SECONDS = 15
RUN_SECONDS = 3
DEFAULT_EVENTS = 20
MOST_EVENTS = 51


class ApiError(Exception):
    """An error of the run API. `status` stands in the body, `cloud_status` is the HTTP code where codes are
    true.
    """

    def __init__(self, status: int, message: str, cloud_status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.cloud_status = cloud_status or status

    def body(self) -> bytes:
        return orjson.dumps({"error": str(self), "data": None, "status": self.status})


@dataclass(frozen=True, slots=True)
class _Cached:
    body: bytes
    until: datetime


class RunApi:
    """The v1 routes."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        traps: Traps,
        registry: Registry,
        events: EventStore,
        runs: RunStore,
        executor: Executor,
    ) -> None:
        self._clock = clock
        self._traps = traps
        self._registry = registry
        self._events = events
        self._runs = runs
        self._executor = executor
        self._cache: dict[str, _Cached] = {}

    # -- routes -------------------------------------------------------------------------------------

    async def list_events(self, request: Request) -> Response:
        return self._read(request, None, lambda: self._event_list(request))

    async def get_event(self, request: Request) -> Response:
        return self._read(request, EVENT_SECONDS, lambda: self._event(request.path_params["event_id"]))

    async def list_event_runs(self, request: Request) -> Response:
        return self._read(request, EVENT_RUNS_SECONDS, lambda: self._event_runs(request.path_params["event_id"]))

    async def get_run(self, request: Request) -> Response:
        return self._read(request, RUN_SECONDS, lambda: self._run(request.path_params["run_id"]))

    async def cancel_run(self, request: Request) -> Response:
        """Idempotent: an ended run stays as it is. Unlike the GETs, true codes are sent."""
        run_id = request.path_params["run_id"]
        if not is_ulid(run_id):
            error = ApiError(400, f"Invalid run ID: {run_id}")
        elif self._runs.get(run_id) is None:
            error = ApiError(404, f"Unable to load function run: {run_id}")
        else:
            self._executor.cancel(run_id)
            return Response(b"", 200)
        return Response(error.body(), error.status, media_type="application/json")

    async def list_functions(self, request: Request) -> Response:
        app = self._registry.apps.get(request.path_params["app_name"])
        functions = sorted(app.functions.values(), key=lambda each: each.uuid) if app else []
        return Response(orjson.dumps([_function_form(each) for each in functions]), media_type="application/json")

    # -- what they show -----------------------------------------------------------------------------

    def _event_list(self, request: Request) -> list[dict[str, Any]]:
        query = request.query_params
        limit = int(query["limit"]) if query.get("limit", "").isdigit() else DEFAULT_EVENTS
        limit = min(max(limit or DEFAULT_EVENTS, 1), MOST_EVENTS)
        try:
            after = self._moment(query.get("received_after")) or self._clock() - timedelta(hours=1)
            before = self._moment(query.get("received_before"))
        except ValueError as error:
            raise ApiError(400, "Invalid received_after query parameter") from error
        cursor = query.get("cursor")
        if cursor and not is_ulid(cursor):
            raise ApiError(400, "Invalid cursor query parameter")
        found = [
            event
            for event in self._events
            if not event.is_internal
            and event.received_at >= after
            and (before is None or event.received_at <= before)
            and (not cursor or event.internal_id < cursor)
            and query.get("name") in (None, "", event.name)
        ]
        found.sort(key=lambda event: event.internal_id, reverse=True)
        return [_event_form(event) for event in found[:limit]]

    @staticmethod
    def _moment(text: str | None) -> datetime | None:
        return parse_moment(text) if text else None

    def _event(self, event_id: str) -> dict[str, Any]:
        if not is_ulid(event_id):
            raise ApiError(400, f"Invalid event ID: {event_id}")
        event = self._events.get(event_id)
        if event is None:
            raise ApiError(404, "Event not found")
        return _event_form(event)

    def _event_runs(self, event_id: str) -> list[dict[str, Any]]:
        if not is_ulid(event_id):
            raise ApiError(400, f"Invalid event ID: {event_id}")
        visible = self._clock() - timedelta(seconds=self._traps.runs_appear_after)
        return [
            _run_form(run, self._listed_status(run), NIL_ID)
            for run in self._runs.of_event(event_id)
            if run.scheduled_at <= visible
        ]

    def _listed_status(self, run: RunRecord) -> str:
        """The status of the list, which the real server takes from trace spans and sometimes gets wrong."""
        if run.is_retrying and self._traps.event_runs_show_failed_attempts:
            return RunStatus.FAILED
        share = self._traps.event_runs_stuck_scheduled
        if share and zlib.crc32(run.run_id.encode()) % 1000 < share * 1000:
            return RunStatus.SCHEDULED
        return run.status

    def _run(self, run_id: str) -> dict[str, Any]:
        if not is_ulid(run_id):
            raise ApiError(400, f"Invalid run ID: {run_id}")
        run = self._runs.get(run_id)
        if run is None:
            raise ApiError(500, f"Unable to load function run: {run_id}", cloud_status=404)
        status = run.status if run.status.is_final else RunStatus.RUNNING
        return _run_form(run, status, ENVIRONMENT_ID)

    # -- the common way of a GET --------------------------------------------------------------------

    def _read(self, request: Request, seconds: int | None, produce: Callable[[], Any]) -> Response:
        if self._traps.strike("reads_rate_limited"):
            limited = ApiError(429, "Rate limited")
            reply = Response(limited.body(), 429, media_type="application/json")
            if self._traps.retry_after is not None:
                reply.headers["retry-after"] = str(self._traps.retry_after)
            return reply
        now = self._clock()
        key = _cache_key(request)
        cached = self._cache.get(key)
        if self._traps.cache_reads and cached is not None and now < cached.until:
            plain = self._traps.cached_reply_loses_content_type
            return Response(cached.body, media_type="text/plain" if plain else "application/json")
        try:
            data = produce()
        except ApiError as error:
            status = 200 if self._traps.errors_as_200 else error.cloud_status
            return Response(error.body(), status, media_type="application/json")
        metadata = {"fetched_at": rfc3339(now)}
        headers: dict[str, str] = {}
        if seconds is not None:
            metadata["cached_until"] = rfc3339(now + timedelta(seconds=seconds))
            headers["cache-control"] = f"private, max-age={seconds}"
        body = orjson.dumps({"data": data, "metadata": metadata})
        if seconds is not None:
            self._cache[key] = _Cached(body, now + timedelta(seconds=seconds))
            self._forget_stale(now)
        return Response(body, headers=headers, media_type="application/json")

    def _forget_stale(self, now: datetime) -> None:
        """Entries are added in about the order in which they expire, so the oldest ones are looked at
        alone.
        """
        while self._cache:
            oldest = next(iter(self._cache))
            if now < self._cache[oldest].until:
                break
            del self._cache[oldest]


def _cache_key(request: Request) -> str:
    asked = f"{request.url.path}?{request.url.query}{request.headers.get('authorization', '')}"
    return hashlib.sha256(asked.encode()).hexdigest()


def _event_form(event: Event) -> dict[str, Any]:
    return {
        "internal_id": event.internal_id,
        "account_id": NIL_ID,
        "environment_id": NIL_ID,
        "source": "",
        "source_id": None,
        "received_at": rfc3339(event.received_at),
        **event.stored_form(),
    }


def _run_form(run: RunRecord, status: str, environment_id: str) -> dict[str, Any]:
    form: dict[str, Any] = {
        "run_id": run.run_id,
        "run_started_at": rfc3339(run.scheduled_at.replace(microsecond=run.scheduled_at.microsecond // 1000 * 1000)),
        "function_id": run.function_uuid,
        "function_version": 0,
        "environment_id": environment_id,
        "event_id": run.event_id,
        "status": str(status),
        "ended_at": rfc3339(run.ended_at) if run.ended_at else None,
    }
    if run.cron:
        form["cron"] = run.cron
    if run.original_run_id:
        form["original_run_id"] = run.original_run_id
    if run.ended_at:
        form["output"] = run.output
    return form


def _function_form(function: Function) -> dict[str, Any]:
    step: dict[str, Any] = {"id": "step", "name": "step", "uri": function.shown_uri}
    if function.retries is not None:
        step["retries"] = function.retries
    flow = {
        key: value
        for key, value in function.config.items()
        if key not in ("id", "name", "triggers", "steps") and value is not None
    }
    return {
        "internal_id": function.uuid,
        "env_id": NIL_ID,
        "app_id": function.app_uuid,
        "id": function.id,
        "name": function.name,
        "config": {
            "id": function.uuid,
            "fv": 1,
            "name": function.name,
            "slug": function.id,
            "triggers": list(function.triggers),
            "steps": [step],
            **flow,
        },
        "created_at": rfc3339(function.created_at),
        "archived_at": "0001-01-01T00:00:00Z",
    }
