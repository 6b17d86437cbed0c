"""Reading runs: one run, the list, the result (reference 3)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from sandbox.trigger_dev.durations import instant, natural_duration, now
from sandbox.trigger_dev.environments import Environment
from sandbox.trigger_dev.errors import ApiError, not_found, reply
from sandbox.trigger_dev.platform import Platform, speaks_current
from sandbox.trigger_dev.runs import DEQUEUED, EXECUTING, Run
from sandbox.trigger_dev.views import RAW_STATUSES, Presenter

DEFAULT_PERIOD = timedelta(days=7)
DEFAULT_PAGE = 25
MOST_PAGE = 100
Filter = Callable[[Run], bool]


def presenter(platform: Platform, request: Request) -> Presenter:
    """A presenter that speaks the caller's vocabulary."""
    return Presenter(
        platform.runs,
        platform.packets,
        platform.schedules,
        str(request.base_url),
        current=speaks_current(request),
    )


def readable_run(platform: Platform, request: Request) -> Run:
    """The run named in the path. Raises ApiError 404 when it is unknown, foreign, or not replicated yet."""
    caller = platform.caller(request)
    run = platform.runs.find(caller.environment, request.path_params["run"])
    lag = timedelta(milliseconds=platform.traps.replica_lag_ms)
    if run is None or run.created_at + lag > now():
        raise not_found()
    tags = [f"read:tags:{tag}" for tag in run.tags]
    batch = [f"read:batch:{run.batch_id}"] if run.batch_id else []
    caller.require(f"read:runs:{run.id}", f"read:tasks:{run.task}", *tags, *batch)
    return run


async def retrieve(platform: Platform, request: Request) -> Response:
    """`GET /api/v3/runs/{id}`."""
    return reply(presenter(platform, request).whole(readable_run(platform, request)))


async def result(platform: Platform, request: Request) -> Response:
    """`GET .../result` reads a table that the current engine no longer fills: 404 for every run (reference
    3.4).
    """
    platform.caller(request, "Invalid or Missing API Key")
    raise ApiError(404, "Run either doesn't exist or is not finished", {})


async def list_runs(platform: Platform, request: Request) -> Response:
    """`GET /api/v1/runs`: newest first, the last seven days unless told otherwise, as the lagging list store
    has it.
    """
    caller = platform.caller(request)
    query = _Query(request.query_params, current=speaks_current(request))
    size = query.size()
    filters = query.filters()
    if query.issues:
        raise ApiError(400, "Query Error", details=query.issues)
    caller.require("read:runs")
    matching = [run for run in _as_listed(platform, caller.environment) if all(keep(run) for keep in filters)]
    page, pagination = _page(matching, size, request.query_params)
    shown = presenter(platform, request)
    return reply({"data": [shown.listed(run) for run in page], "pagination": pagination})


def _as_listed(platform: Platform, environment: Environment) -> list[Run]:
    lag = platform.traps.list_lag_ms
    runs = platform.runs.newest_first(environment)
    if lag <= 0:
        return list(runs)
    at = now() - timedelta(milliseconds=lag)
    return [version for run in runs if (version := run.as_of(at)) is not None]


def _position(run: Run) -> tuple[int, int]:
    return round(run.created_at.timestamp() * 1000), run.number


def _page(runs: list[Run], size: int, query: QueryParams) -> tuple[list[Run], dict[str, str]]:
    """One page and its neighbours' cursors. A cursor that cannot be read is ignored, as the service does."""
    after, before = (
        _cursor_index(runs, query.get("page[after]")),
        _cursor_index(runs, query.get("page[before]")),
    )
    if before is not None:
        start = max(0, before - size)
        page = runs[start:before]
    else:
        start = 0 if after is None else after + 1
        page = list(islice(runs, start, start + size))
    pagination = {}
    if page and start + len(page) < len(runs):
        pagination["next"] = _cursor(page[-1])
    if page and start > 0:
        pagination["previous"] = _cursor(page[0])
    return page, pagination


def _cursor(run: Run) -> str:
    # The service counts in microseconds but keeps milliseconds.
    body = orjson.dumps({"c": _position(run)[0] * 1000, "r": run.internal_id})
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def _cursor_index(runs: list[Run], cursor: str | None) -> int | None:
    if not cursor:
        return None
    try:
        wanted = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))["r"]
    except (binascii.Error, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    return next((index for index, run in enumerate(runs) if run.internal_id == wanted), None)


class _Query:
    """The list's query string; collects complaints in the validator's form."""

    def __init__(self, query: QueryParams, *, current: bool) -> None:
        self._query = query
        self._current = current
        self.issues: list[dict[str, Any]] = []

    def size(self) -> int:
        """Items a page."""
        text = self._query.get("page[size]")
        if text is None:
            return DEFAULT_PAGE
        path = ["page[size]"]
        if not text.lstrip("-").isdigit():
            message = "Expected number, received nan"
            kind = {"code": "invalid_type", "expected": "number", "received": "nan"}
            self.issues.append({**kind, "path": path, "message": message})
            return DEFAULT_PAGE
        size = int(text)
        bounds = {"type": "number", "inclusive": True, "exact": False}
        if size > MOST_PAGE:
            message = f"Number must be less than or equal to {MOST_PAGE}"
            self.issues.append({"code": "too_big", "maximum": MOST_PAGE, **bounds, "message": message, "path": path})
        elif size < 1:
            message = "Number must be greater than or equal to 1"
            self.issues.append({"code": "too_small", "minimum": 1, **bounds, "message": message, "path": path})
        return size

    def filters(self) -> list[Filter]:
        """What a run must satisfy."""
        filters = [self._created()]
        if (statuses := self._statuses()) is not None:
            filters.append(lambda run: run.status in statuses)
        if tasks := self._many("taskIdentifier"):
            filters.append(lambda run: run.task in tasks)
        if versions := self._many("version"):
            filters.append(lambda run: run.version in versions)
        if tags := self._many("tag"):
            filters.append(lambda run: bool(tags & set(run.tags)))
        if queues := self._many("queue"):
            filters.append(lambda run: run.queue in queues)
        if machines := self._many("machine"):
            filters.append(lambda run: run.machine in machines)
        if regions := self._many("region"):
            filters.append(lambda run: run.environment.region in regions)
        if (batch := self._query.get("filter[batch]")) is not None:
            filters.append(lambda run: run.batch_id == batch)
        if (schedule := self._query.get("filter[schedule]")) is not None:
            filters.append(lambda run: run.schedule_id == schedule)
        if (is_test := self._is_test()) is not None:
            filters.append(lambda run: run.is_test == is_test)
        return filters

    def _many(self, name: str) -> set[str]:
        return {part for part in self._query.get(f"filter[{name}]", "").split(",") if part}

    def _complain(self, name: str, message: str) -> None:
        self.issues.append({"code": "custom", "message": message, "path": [f"filter[{name}]"]})

    def _statuses(self) -> set[str] | None:
        text = self._query.get("filter[status]")
        if not text:
            return None
        named = text.split(",")
        if unknown := [name for name in named if name not in RAW_STATUSES]:
            self._complain("status", f"Invalid status values: {', '.join(unknown)}")
        statuses = {raw for name in named for raw in RAW_STATUSES.get(name, ())}
        # The old vocabulary knows no DEQUEUED: those runs show as EXECUTING.
        return statuses | {DEQUEUED} if EXECUTING in statuses and not self._current else statuses

    def _is_test(self) -> bool | None:
        text = self._query.get("filter[isTest]")
        if text and text not in ("true", "false"):
            self._complain("isTest", f"Invalid value for isTest: {text}")
        return text == "true" if text else None

    def _created(self) -> Filter:
        start, end = self._date("from"), self._date("to")
        if start is None and end is None:
            period = natural_duration(self._query.get("filter[createdAt][period]", "")) or DEFAULT_PERIOD
            start = now() - period
        return lambda run: (start is None or run.created_at >= start) and (end is None or run.created_at <= end)

    def _date(self, name: str) -> datetime | None:
        text = self._query.get(f"filter[createdAt][{name}]")
        if not text:
            return None
        found = datetime.fromtimestamp(int(text) / 1000, UTC) if text.isdigit() else instant(text)
        if found is None:
            issue = {
                "code": "invalid_date",
                "message": "Invalid date",
                "path": [f"filter[createdAt][{name}]"],
            }
            self.issues.append(issue)
        return found


ROUTES = (
    ("GET", "/api/v3/runs/{run}", retrieve),
    ("GET", "/api/v1/runs", list_runs),
    ("GET", "/api/v1/runs/{run}/result", result),
)
