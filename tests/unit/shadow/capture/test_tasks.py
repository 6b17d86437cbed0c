"""Plain callables as tasks: their run is read from the context they get."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from shadow.capture import Capture, Run, current_run

CAPTURE = Capture("http://127.0.0.1:9", "shk_1", report_key="rk", report_patience=0)


def seen() -> tuple[str, str, int, str | None]:
    run = current_run()
    assert run is not None
    return run.run, run.task, run.attempt, run.event


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (SimpleNamespace(run_id="run_1", attempt=2, idempotency_key="k"), ("run_1", "pay", 2, "k")),
        (SimpleNamespace(run_id="run_1"), ("run_1", "pay", 1, None)),
        ({"run": {"id": "run_1", "idempotencyKey": "k"}, "attempt": {"number": 3}}, ("run_1", "pay", 3, "k")),
    ],
)
async def test_the_run_is_read_from_the_context(context: Any, expected: object) -> None:
    @CAPTURE.task("pay")
    async def work(payload: object, ctx: object) -> object:
        return seen()

    @CAPTURE.task("pay")
    def work_at_once(payload: object, ctx: object) -> object:
        return seen()

    assert await work({"run_id": 3}, context) == work_at_once({}, context) == expected
    assert current_run() is None


async def test_it_may_be_made_of_the_arguments() -> None:
    @CAPTURE.task("pay", run=lambda job: Run(job, "other", 7))
    async def work(job: str) -> object:
        return seen()

    assert await work("job-1") == ("job-1", "other", 7, None)


def test_a_task_that_nobody_can_name_the_run_of_does_not_start() -> None:
    @CAPTURE.task("pay")
    def work(payload: object) -> None:
        raise AssertionError("started")

    with pytest.raises(TypeError, match="task pay: none of its arguments"):
        work({"id": 1})


def test_what_it_did_is_told_even_when_it_fails_and_a_lost_report_fails_nothing() -> None:
    rows = CAPTURE.rows("shop")

    @CAPTURE.task("pay")
    def work(ctx: object) -> None:
        rows.upserted("orders", {"id": "1"})
        raise ValueError("no")

    lost = CAPTURE.lost
    with pytest.raises(ValueError, match="no"):
        work(SimpleNamespace(run_id="run_1"))
    assert CAPTURE.lost == lost + 1
    CAPTURE.close()
