"""`/trace` and `/events` of a run, from the spans the executor noted (reference 3.6)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox.trigger_dev.durations import iso, now
from sandbox.trigger_dev.errors import ApiError, reply
from sandbox.trigger_dev.platform import Platform
from sandbox.trigger_dev.reads import readable_run
from sandbox.trigger_dev.runs import CANCELED, SUCCEEDED, Run, Span


def _spans(run: Run) -> list[Span]:
    failed = run.finished and run.status not in (SUCCEEDED, CANCELED)
    root = Span(run.root_span_id, None, run.task, run.created_at, run.finished_at, None, failed)
    return [root, *run.spans]


def _nanoseconds(start: datetime, end: datetime | None) -> int:
    return round(((end or now()) - start).total_seconds() * 1_000_000_000)


async def trace(platform: Platform, request: Request) -> Response:
    """The spans of the run's trace as a tree, each with the run it is of: those of children that it waited for too.

    A run triggered with a traceparent from outside has no trace under its own id: the service answers 404 for
    it.
    """
    run = readable_run(platform, request)
    if run.traceparent is not None:
        raise ApiError(404, "Trace not found")
    root = _root(platform, run)
    return reply({"trace": {"traceId": run.trace_id, "rootSpan": _whole(platform, root), "isTruncated": False}})


def _root(platform: Platform, run: Run) -> Run:
    parent = platform.runs.get(run.parent_id)
    return _root(platform, parent) if parent is not None and parent.trace_id == run.trace_id else run


def _whole(platform: Platform, run: Run, parent_span: str | None = None) -> dict[str, Any]:
    spans = _spans(run)
    tree = _tree(run, spans[0], spans)
    if parent_span is not None:
        tree["parentId"] = parent_span
    tree["children"] += [
        _whole(platform, child, run.root_span_id)
        for child in platform.runs.children(run)
        if child.trace_id == run.trace_id
    ]
    return tree


def _tree(run: Run, span: Span, spans: list[Span]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "message": span.message,
        "duration": _nanoseconds(span.started_at, span.ended_at),
        "isError": span.is_error,
        "isPartial": span.ended_at is None,
        "isCancelled": run.status == CANCELED,
        "startTime": iso(span.started_at),
        "level": "TRACE",
        "events": [],
    }
    if span.attempt is not None:
        data["attemptNumber"] = span.attempt
    parent = {"parentId": span.parent_id} if span.parent_id is not None else {}
    children = [_tree(run, child, spans) for child in spans if child.parent_id == span.id]
    return {"id": span.id, **parent, "runId": run.id, "data": data, "children": children}


async def events(platform: Platform, request: Request) -> Response:
    """The run's spans as a flat list; times are nanoseconds, the start as text."""
    run = readable_run(platform, request)
    root_style = {"icon": "task", "variant": "primary"}
    attempt_style = {"icon": "attempt", "variant": "cold"}
    listed: list[dict[str, Any]] = [
        {
            "spanId": span.id,
            "parentId": span.parent_id,
            "runId": run.id,
            "message": span.message,
            "style": root_style if span.attempt is None else attempt_style,
            "events": [],
            "startTime": str(round(span.started_at.timestamp() * 1000) * 1_000_000),
            "duration": _nanoseconds(span.started_at, span.ended_at),
            "isError": span.is_error,
            "isPartial": span.ended_at is None,
            "isCancelled": run.status == CANCELED,
            "kind": "UNSPECIFIED",
            "attemptNumber": span.attempt,
            "level": "TRACE",
        }
        for span in _spans(run)
    ]
    return reply({"events": listed})


ROUTES = (
    ("GET", "/api/v1/runs/{run}/trace", trace),
    ("GET", "/api/v1/runs/{run}/events", events),
)
