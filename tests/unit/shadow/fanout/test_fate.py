"""What becomes of a dispatch, given what its platform said."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shadow.fanout.fate import MISCONFIGURED_WAIT, fate_of, fate_of_cancellation, is_unhealthy
from shadow.fanout.queue import Dead, Dropped, Later, Taken
from shadow.model.backoff import Backoff
from shadow.platforms.adapter import (
    CancelResult,
    Delivered,
    Failed,
    Misconfigured,
    Rejected,
    Result,
    Throttled,
    TooLate,
    Unknown,
)

BACKOFF = Backoff(max_attempts=5)


def test_what_was_delivered_is_taken() -> None:
    assert fate_of(Delivered("run_1", "01ULID"), 1, BACKOFF, 0.5) == Taken("run_1", "01ULID")


def test_a_failure_is_tried_again_with_its_attempt_counted() -> None:
    assert fate_of(Failed("HTTP 502"), 2, BACKOFF, 0.5) == Later(timedelta(seconds=0.5), True, "HTTP 502")


def test_a_failure_that_asks_for_time_gets_it() -> None:
    fate = fate_of(Failed("HTTP 503", timedelta(seconds=20)), 1, BACKOFF, 0.0)
    assert fate == Later(timedelta(seconds=20), True, "HTTP 503")


def test_the_last_failure_makes_a_dead_letter_that_says_why() -> None:
    assert fate_of(Failed("HTTP 502"), 5, BACKOFF, 0.5) == Dead("given up after 5 attempts: HTTP 502")


def test_what_the_platform_will_never_take_is_dead_at_once() -> None:
    assert fate_of(Rejected("HTTP 422: tags", 422), 1, BACKOFF, 0.5) == Dead("HTTP 422: tags")


def test_waiting_for_a_rate_limit_is_no_attempt() -> None:
    assert fate_of(Throttled(timedelta(seconds=9)), 5, BACKOFF, 0.0) == Later(timedelta(seconds=9), False)


def test_a_wrong_key_is_nobodys_last_attempt() -> None:
    fate = fate_of(Misconfigured("HTTP 401", 401), 500, BACKOFF, 0.0)
    assert fate == Later(MISCONFIGURED_WAIT, False, "HTTP 401")


@pytest.mark.parametrize(
    ("result", "fate"),
    [
        (Delivered("run_1"), Dropped()),
        (TooLate(), Dropped(changed=True)),  # the twin ran to its end: no evidence any more
        (Unknown(), Later(timedelta(seconds=5), True)),  # it may be started yet
        (Failed("HTTP 502"), Later(timedelta(seconds=0.25), True, "HTTP 502")),
    ],
)
def test_a_cancellation_ends_with_its_run_or_is_tried_again(result: CancelResult, fate: Dropped | Later) -> None:
    assert fate_of_cancellation(result, 1, BACKOFF, 0.5) == fate


def test_a_run_that_never_comes_is_not_waited_for_without_end() -> None:
    assert fate_of_cancellation(Unknown(), 60, BACKOFF, 0.5) == Dropped(changed=True)


@pytest.mark.parametrize(
    ("result", "unhealthy"),
    [
        (Delivered(), False),
        (Rejected("HTTP 400", 400), False),  # it answers, and means the event
        (Failed("no answer"), True),
        (Misconfigured("HTTP 401", 401), True),
        (Throttled(timedelta(seconds=1)), None),
    ],
)
def test_only_failures_speak_against_the_platform(result: Result, unhealthy: bool | None) -> None:
    assert is_unhealthy(result) is unhealthy
