"""Reasons for not comparing a pair that more than one stage knows."""

from __future__ import annotations

CHANGED_BY_PRODUCER = "changed_by_producer"
"""The producer changed one of the runs after it was started. Such a reason may go on after a colon."""


def is_changed_by_producer(reason: str | None) -> bool:
    """Whether it says that what differs is the producer's doing, so that nothing follows from it."""
    return reason is not None and reason.partition(":")[0] == CHANGED_BY_PRODUCER
