"""What Trigger.dev tells of traces, as recorded from a running server with an instrumented task."""

from __future__ import annotations

from typing import Any

import pytest

from shadow.effects.traceparent import Traceparent
from shadow.outcomes.trigger_traces import Tree
from tests.unit.sandbox.trigger_dev.transcripts import read


@pytest.mark.parametrize("call", ["fetch", "fetchExternal"])
def test_a_recorded_call_is_in_the_recorded_trace_of_its_run(call: str) -> None:
    run = read("otel-notp-03-COMPLETED").json
    sent = Traceparent.read(run["output"][call]["traceparent"])
    tree = Tree.read(read("otel-notp-trace").json)
    assert sent is not None
    assert tree is not None
    assert tree.trace == sent.trace
    assert tree.spans[sent.span] == run["id"]
    assert tree.runs == {run["id"]}


def test_the_trace_of_a_producer_is_not_the_runs() -> None:
    """Which is told of by nobody then: the recorded answer is a 404."""
    run = read("otel-tp-03-COMPLETED").json
    sent = Traceparent.read(run["output"]["fetch"]["traceparent"])
    assert sent is not None
    assert sent.trace != "0af7651916cd43dd8448eb211c80319c"
    assert read("otel-tp-trace").status == 404


def test_spans_say_whose_they_are_in_a_trace_that_runs_share() -> None:
    child = {"id": "c" * 16, "runId": "run_child", "children": [{"id": "d" * 16, "runId": "run_child"}]}
    body = {"trace": {"traceId": "t", "rootSpan": {"id": "a" * 16, "runId": "run_parent", "children": [child]}}}
    tree = Tree.read(body)
    assert tree is not None
    assert tree.runs == {"run_parent", "run_child"}
    assert tree.spans["d" * 16] == "run_child"


@pytest.mark.parametrize(
    "body", [{}, {"trace": None}, {"trace": {"traceId": 7}}, {"trace": {"traceId": "t", "rootSpan": []}}]
)
def test_what_is_no_trace_tells_nothing(body: Any) -> None:
    assert Tree.read(body) is None
