"""Reports reach the front once it answers, with the same effect ids however often they are sent."""

from __future__ import annotations

import asyncio

import pytest

from sandbox.commerce.reporting import Effect, Recorder, Reporter
from sandbox.serving import Served
from tests.unit.sandbox.commerce.rehearsal import Front

EFFECT = Effect("http", "slack", "POST /api/chat.postMessage", None, {"body": {"text": "hi"}})


async def test_a_report_says_run_task_attempt_and_effects() -> None:
    front = Front()
    async with Served(front.app()) as served, Reporter(served.url, "key-of-legacy") as reporter:
        await reporter.send("run_1", "process-payout", 2, [EFFECT])
    assert front.keys == {"Bearer key-of-legacy"}
    assert front.reports == [
        {
            "run": "run_1",
            "task": "process-payout",
            "attempt": 2,
            "effects": [
                {
                    "id": str(EFFECT.id),
                    "kind": "http",
                    "target": "slack",
                    "operation": "POST /api/chat.postMessage",
                    "identity": None,
                    "data": {"body": {"text": "hi"}},
                    "idempotency_key": None,
                    "occurred_at": EFFECT.occurred_at,
                }
            ],
        }
    ]


async def test_a_front_that_does_not_answer_well_is_asked_again() -> None:
    front = Front(refusals=2)
    async with Served(front.app()) as served, Reporter(served.url, "key") as reporter:
        await reporter.send("run_1", "process-payout", 1, [EFFECT])
        assert reporter.lost == []
    assert front.calls == 3
    assert [effect["id"] for report in front.reports for effect in report["effects"]] == [str(EFFECT.id)]


async def test_a_front_that_is_not_there_yet_is_waited_for() -> None:
    async with Served(Front().app()) as gone:
        url, port = gone.url, int(gone.url.rpartition(":")[2])
    front = Front()
    async with Reporter(url, "key") as reporter:
        sending = asyncio.create_task(reporter.send("run_1", "process-payout", 1, [EFFECT]))
        await asyncio.sleep(0.15)
        async with Served(front.app(), port=port):
            await sending
    assert len(front.reports) == 1


async def test_what_cannot_be_reported_is_remembered_as_lost_and_fails_nothing() -> None:
    front = Front(refusals=10**6)
    async with Served(front.app()) as served, Reporter(served.url, "key", patience=0.3) as reporter:
        await reporter.send("run_1", "process-payout", 1, [EFFECT])
        assert reporter.lost == [str(EFFECT.id)]


async def test_nothing_done_is_not_reported() -> None:
    front = Front()
    async with Served(front.app()) as served, Reporter(served.url, "key") as reporter:
        await reporter.send("run_1", "process-payout", 1, [])
    assert front.calls == 0


async def test_what_was_done_before_a_failure_is_reported() -> None:
    front = Front()
    async with Served(front.app()) as served, Reporter(served.url, "key") as reporter:
        with pytest.raises(ZeroDivisionError):
            async with Recorder(reporter, "run_1", "process-payout", 1) as recorder:
                recorder.add(EFFECT)
                raise ZeroDivisionError
    assert len(front.reports) == 1
