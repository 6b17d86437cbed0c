"""Which states of the platforms mean that a run has ended, and how."""

from __future__ import annotations

import pytest

from shadow.outcomes.outcome import Status
from shadow.outcomes.statuses import INNGEST, REPORTED, TRIGGER_DEV


@pytest.mark.parametrize(
    "name",
    # reference 3.2, both vocabularies
    [
        *("PENDING_VERSION", "DELAYED", "QUEUED", "DEQUEUED", "EXECUTING", "WAITING"),
        *("WAITING_FOR_DEPLOY", "FROZEN", "REATTEMPTING"),
    ],
)
def test_a_run_of_trigger_dev_that_goes_on_has_no_outcome(name: str) -> None:
    assert name not in TRIGGER_DEV


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("COMPLETED", Status.COMPLETED),
        ("CANCELED", Status.CANCELLED),
        ("FAILED", Status.FAILED),
        ("CRASHED", Status.CRASHED),
        ("SYSTEM_FAILURE", Status.CRASHED),
        ("EXPIRED", Status.EXPIRED),  # although isCompleted is false
        ("TIMED_OUT", Status.TIMED_OUT),  # likewise
    ],
)
def test_every_end_on_trigger_dev_is_known(name: str, status: Status) -> None:
    assert TRIGGER_DEV[name] is status


@pytest.mark.parametrize("name", ["Running", "Scheduled", "Unknown", "Queued"])
def test_a_run_of_inngest_that_goes_on_has_no_outcome(name: str) -> None:
    assert name not in INNGEST


def test_workers_may_use_their_platforms_words_or_ours() -> None:
    assert REPORTED["completed"] is Status.COMPLETED
    assert REPORTED["canceled"] is Status.CANCELLED
    assert REPORTED["timed_out"] is Status.TIMED_OUT
    assert "executing" not in REPORTED
