"""What becomes of a dispatch, given what its platform said. Pure: chance is an argument."""

from __future__ import annotations

from datetime import timedelta

from shadow.fanout.queue import Dead, Dropped, Fate, Later, Taken
from shadow.model.backoff import Backoff
from shadow.observe import metrics
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

MISCONFIGURED_WAIT = timedelta(seconds=30)
"""Between attempts while the platform does not know our key or URL: until somebody mends the catalogue."""
_UNKNOWN_WAIT = timedelta(seconds=5)
_UNKNOWN_ATTEMPTS = 60
"""A run that is not there five minutes after it was to be cancelled will not come."""


def fate_of(result: Result, attempt: int, backoff: Backoff, chance: float) -> Fate:
    """What a delivery's result means for its dispatch.

    Args:
        attempt: which one it was, from 1.
        chance: evenly distributed in [0, 1).
    """
    match result:
        case Delivered():
            return Taken(result.platform_run_id, result.upstream_id)
        case Throttled():
            return Later(result.retry_after * (1.0 + chance / 2), counted=False)
        case Misconfigured():
            return Later(MISCONFIGURED_WAIT * (1.0 + chance), counted=False, error=result.reason)
        case Rejected():
            return Dead(result.reason)
        case Failed():
            if backoff.exhausted(attempt):
                return Dead(f"given up after {attempt} attempts: {result.reason}")
            wait = backoff.wait(attempt, chance, asked=result.retry_after)
            return Later(wait, counted=True, error=result.reason)


def fate_of_cancellation(result: CancelResult, attempt: int, backoff: Backoff, chance: float) -> Fate:
    """What the answer to a cancellation means for its dispatch."""
    match result:
        case Delivered():
            return Dropped()
        case TooLate():
            return Dropped(changed=True)
        case Unknown():
            if attempt >= _UNKNOWN_ATTEMPTS:
                return Dropped(changed=True)
            return Later(_UNKNOWN_WAIT, counted=True)
        case _:
            return fate_of(result, attempt, backoff, chance)


def kind_of(result: Result) -> metrics.DeliveryResult:
    """What the metrics call it."""
    match result:
        case Delivered():
            return "cached" if result.cached else "delivered"
        case Throttled():
            return "throttled"
        case Failed():
            return "failed"
        case Misconfigured():
            return "misconfigured"
        case Rejected():
            return "rejected"


def is_unhealthy(result: Result | CancelResult) -> bool | None:
    """Whether the result speaks against the platform's health; None when it says nothing of it."""
    if isinstance(result, Failed | Misconfigured):
        return True
    return None if isinstance(result, Throttled) else False
