"""How many executions a trace is."""

from __future__ import annotations

from typing import Any

import pytest

from shadow.costs.sampling import executions_of

STEP = {"id": "a", "name": "load", "status": "COMPLETED", "stepId": "h1", "stepOp": "RUN"}


@pytest.mark.parametrize(
    ("children", "executions"),
    [
        (None, 1),
        ([], 1),
        ([STEP, {**STEP, "stepId": "h2", "stepOp": "SLEEP"}], 3),
        # a step that was tried again has a span of each try, which may bear its id
        ([{**STEP, "children": [{"id": "b", "name": "Attempt 0"}, {**STEP, "id": "c"}]}], 2),
        # spans that are no steps: of the SDK's own tracing
        ([{"id": "d", "name": "inngest.execution", "children": [STEP]}, {"id": "e", "name": "GET /"}], 2),
        (["nonsense", {"stepId": 7}], 1),
    ],
)
def test_a_run_is_one_and_each_of_its_steps(children: Any, executions: int) -> None:
    assert executions_of({"id": "root", "name": "f", "children": children}) == executions
