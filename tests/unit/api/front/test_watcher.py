"""What the platform tells of a finished run, as recorded from a running server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from api.front.watcher import told
from shadow.outcomes.outcome import LearnedBy, Status
from tests.unit.sandbox.inngest.apps import recorded


def finished_events() -> dict[str, dict[str, Any]]:
    """function -> the event that told of its run."""
    events = [
        line["body"]["event"]
        for line in recorded("calls_to_app.jsonl")
        if line["direction"] == "inngest->app" and "fnId=commerce-watch" in line["query"]
    ]
    return {event["data"]["function_id"]: event for event in events}


def test_a_success_brings_run_function_trigger_and_result() -> None:
    event = finished_events()["commerce-sync-shopify-order"]
    outcome = told("inngest", event["data"], event["ts"])
    assert outcome is not None
    assert (outcome.platform_run_id, outcome.function) == ("01M85K61QN6H3MZD9HM6VTVMW7", "commerce-sync-shopify-order")
    assert (outcome.event_id, outcome.event_name) == ("evt-1", "shopify/order.created")
    assert (outcome.status, outcome.learned_by) == (Status.COMPLETED, LearnedBy.WATCHER)
    assert outcome.output == b'{"orderId":"5551234","success":true}'
    assert outcome.finished_at == datetime(2026, 11, 24, 1, 37, 3, 783000, tzinfo=UTC)
    assert outcome.started_at == datetime(2026, 11, 24, 1, 37, 3, 221000, tzinfo=UTC), "from the run's id"


def test_a_failure_brings_its_error_and_no_output() -> None:
    event = finished_events()["commerce-process-payout"]
    outcome = told("inngest", event["data"], event["ts"])
    assert outcome is not None
    assert (outcome.status, outcome.output) == (Status.FAILED, None)
    assert (outcome.error_name, outcome.error_message) == ("NonRetriableError", "insufficient funds")
    assert outcome.event_id == "01M85HH3V3000G40R40M30E20A", "the ULID, where the producer gave no id"


def test_a_cron_run_names_its_tick() -> None:
    event = finished_events()["commerce-every-minute"]
    outcome = told("inngest", event["data"], event["ts"])
    assert outcome is not None
    assert (outcome.event_name, outcome.event_id) == ("inngest/scheduled.timer", "2026-11-24T01:38:00Z")


@pytest.mark.parametrize(
    ("data", "status", "output"),
    [
        ({"_inngest": {"status": "Completed"}, "result": None}, Status.COMPLETED, b"null"),
        ({"_inngest": {"status": "Completed"}}, Status.COMPLETED, b"null"),  # nothing returned
        ({"_inngest": {"status": "Cancelled"}}, Status.CANCELLED, None),
        ({"error": {"message": "no"}}, Status.FAILED, None),  # a server that does not say
        ({"result": 1}, Status.COMPLETED, b"1"),
        ({"result": 2**70}, Status.COMPLETED, b"1180591620717411303424"),
    ],
)
def test_the_status_is_what_the_platform_says(data: dict[str, Any], status: Status, output: bytes | None) -> None:
    outcome = told("inngest", {"run_id": "01M85K61QN6H3MZD9HM6VTVMW7", "function_id": "a-b", **data}, 1)
    assert outcome is not None
    assert (outcome.status, outcome.output) == (status, output)


def test_a_delayed_run_starts_when_its_event_is_due() -> None:
    data = {
        "run_id": "01M85K61QN6H3MZD9HM6VTVMW7",
        "function_id": "a-b",
        "event": {"id": "e", "name": "n", "ts": 1795999999000},
    }
    outcome = told("inngest", data, 1796000000000)
    assert outcome is not None
    assert outcome.started_at == datetime.fromtimestamp(1795999999, UTC)


@pytest.mark.parametrize("data", [{}, {"run_id": 1, "function_id": "a-b"}, {"run_id": "x"}])
def test_what_names_no_run_is_no_outcome(data: dict[str, Any]) -> None:
    assert told("inngest", data, 1) is None
