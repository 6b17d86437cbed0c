"""The platforms' own words for a run's state, and which of them mean that it has ended.

Terminal is decided from the status alone: Trigger.dev's `isCompleted` is false for EXPIRED and TIMED_OUT,
and its realtime twin disagrees with it about CANCELED.
"""

from __future__ import annotations

from collections.abc import Mapping

from shadow.outcomes.outcome import Status

TRIGGER_DEV: Mapping[str, Status] = {
    "COMPLETED": Status.COMPLETED,
    "COMPLETED_SUCCESSFULLY": Status.COMPLETED,  # realtime and database
    "FAILED": Status.FAILED,
    "COMPLETED_WITH_ERRORS": Status.FAILED,  # realtime and database
    "INTERRUPTED": Status.FAILED,  # before API version 2025-07-16
    "CANCELED": Status.CANCELLED,
    "CRASHED": Status.CRASHED,
    "SYSTEM_FAILURE": Status.CRASHED,
    "EXPIRED": Status.EXPIRED,
    "TIMED_OUT": Status.TIMED_OUT,
}
"""Trigger.dev's terminal statuses; any other is a run under way."""

INNGEST: Mapping[str, Status] = {
    "Completed": Status.COMPLETED,
    "Failed": Status.FAILED,
    "Cancelled": Status.CANCELLED,
    "Overflowed": Status.CRASHED,  # too many steps or too much state
    "Skipped": Status.CANCELLED,  # a singleton or a pause kept it from starting
}
"""Inngest's terminal statuses; any other is a run under way."""

REPORTED: Mapping[str, Status] = {
    **{status.value: status for status in Status},
    **{name.lower(): status for name, status in TRIGGER_DEV.items()},
    **{name.lower(): status for name, status in INNGEST.items()},
}
"""What a worker may say at `/shadow/runs`, in lower case: our own words and those of both platforms."""
