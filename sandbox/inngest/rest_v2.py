"""The little of the v2 API that is used: `GET /v2/runs`, `GET /v2/runs/{id}`, `GET /v2/runs/{id}/trace` and
`POST /v2/runs/{id}/rerun`, camelCase with true codes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from sandbox.inngest.durations import rfc3339
from sandbox.inngest.registry import Registry
from sandbox.inngest.runs import RunRecord, RunStatus, RunStore, StepRecord
from sandbox.inngest.traps import Traps

DEFAULT_LIMIT = 40
HIGHEST_LIMIT = 100
STEP_OPS = {"StepRun": "RUN", "StepPlanned": "RUN", "Sleep": "SLEEP", "InvokeFunction": "INVOKE"}
STATUSES = {RunStatus.SCHEDULED: "QUEUED"}


class RunApiV2:
    """Runs, newest first, without what is false or empty. When a run ended is told by a single run alone."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        traps: Traps,
        registry: Registry,
        runs: RunStore,
        rerun: Callable[[RunRecord], RunRecord | None],
    ) -> None:
        self._rerun = rerun
        self._clock = clock
        self._traps = traps
        self._registry = registry
        self._runs = runs

    async def list_runs(self, request: Request) -> Response:
        if self._traps.strike("reads_rate_limited"):
            return _error(429, "rate_limited", "Rate limited")
        query = request.query_params
        limit = int(query["limit"]) if query.get("limit", "").isdigit() else DEFAULT_LIMIT
        limit = min(max(limit, 1), HIGHEST_LIMIT)
        runs = list(self._runs.newest_first())
        if query.get("status"):
            runs = [run for run in runs if _status(run) == query["status"].upper()]
        if query.get("functionId"):
            runs = [run for run in runs if self._ids(run)[1] == query["functionId"]]
        if query.get("cursor"):
            last = base64.b64decode(query["cursor"]).decode()
            ids = [run.run_id for run in runs]
            runs = runs[ids.index(last) + 1 :] if last in ids else []
        chosen = runs[:limit]
        page: dict[str, Any] = {"limit": limit}
        if len(runs) > limit:
            page["hasMore"] = True
            page["cursor"] = base64.b64encode(chosen[-1].run_id.encode()).decode()
        with_output = query.get("includeOutput") == "true"
        return self._reply({"data": [self._form(run, with_output) for run in chosen], "page": page})

    async def get_run(self, request: Request) -> Response:
        if self._traps.strike("reads_rate_limited"):
            return _error(429, "rate_limited", "Rate limited")
        run = self._runs.get(request.path_params["run_id"])
        if run is None:
            return _error(404, "not_found", "Run not found")
        form = self._form(run, request.query_params.get("includeOutput") == "true")
        if run.ended_at is not None and run.started_at is not None:
            form["endedAt"] = rfc3339(run.ended_at)
            form["durationMs"] = str(int((run.ended_at - run.started_at).total_seconds() * 1000))
        return self._reply({"data": form})

    async def trace(self, request: Request) -> Response:
        """The run's root span, with one of each step below it; a step that was tried again has one of each try."""
        if self._traps.strike("reads_rate_limited"):
            return _error(429, "rate_limited", "Rate limited")
        run = self._runs.get(request.path_params["run_id"])
        if run is None:
            return _error(404, "not_found", "Trace not found")
        steps = [_span(step) for step in run.steps]
        name = self._ids(run)[1]
        root = {"id": run.trace_id[:16], "name": name, "status": _status(run), "children": steps}
        return self._reply({"data": {"runId": run.run_id, "rootSpan": root}})

    async def rerun(self, request: Request) -> Response:
        """Somebody presses the button."""
        run = self._runs.get(request.path_params["run_id"])
        again = self._rerun(run) if run is not None else None
        if again is None:
            return _error(404, "not_found", "Run not found")
        return self._reply({"data": {"runId": again.run_id}})

    def _reply(self, content: dict[str, Any]) -> Response:
        content["metadata"] = {"fetchedAt": rfc3339(self._clock())}
        return Response(orjson.dumps(content), media_type="application/json")

    def _ids(self, run: RunRecord) -> tuple[str, str]:
        """App and function as users call them, without the app in the function's id."""
        function = self._registry.get(run.function_id)
        app = function.app_name if function else ""
        return app, run.function_id.removeprefix(f"{app}-")

    def _form(self, run: RunRecord, with_output: bool) -> dict[str, Any]:
        app, function = self._ids(run)
        known = self._registry.get(run.function_id)
        form: dict[str, Any] = {
            "id": run.run_id,
            "app": {"id": app},
            "function": {"id": function, "name": known.name if known else function},
            "status": _status(run),
            "queuedAt": rfc3339(run.scheduled_at),
            "trigger": {"eventIds": [run.event_id]},
        }
        if run.cron:
            form["trigger"]["cronSchedule"] = run.cron
        if run.started_at:
            form["startedAt"] = rfc3339(run.started_at)
        if run.ended_at and with_output:
            form["output"] = _output(run)
        return form


def _span(step: StepRecord) -> dict[str, Any]:
    form: dict[str, Any] = {
        "id": step.id[:16],
        "name": step.name,
        "status": "FAILED" if step.error else "COMPLETED",
        "stepId": step.id,
    }
    if step.op in STEP_OPS:
        form["stepOp"] = STEP_OPS[step.op]
    if step.attempts > 1:
        form["children"] = [{"id": f"{step.id[:14]}{n:02}", "name": f"Attempt {n}"} for n in range(step.attempts)]
    return form


def _status(run: RunRecord) -> str:
    return STATUSES.get(run.status, run.status.value.upper())


def _output(run: RunRecord) -> dict[str, Any]:
    """Always an object: errors and scalars are wrapped."""
    if run.status is RunStatus.FAILED:
        return {"error": run.output}
    return run.output if isinstance(run.output, dict) else {"data": run.output}


def _error(status: int, code: str, message: str) -> Response:
    body = {"errors": [{"code": code, "message": message}]}
    return Response(orjson.dumps(body), status, media_type="application/json")
