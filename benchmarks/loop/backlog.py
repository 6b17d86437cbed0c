"""What waits before each stage of the loop, and whether it grows."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg

from shadow.costs.tallying import EVERY_SECONDS
from shadow.gate.order import UNDER_WAY

_WAITING = """
SELECT (SELECT count(*) FROM dispatches WHERE state = 'due' AND due_at <= now()),
       (SELECT count(*) FROM dispatches WHERE state = 'sequenced'),
       (SELECT count(*) FROM runs WHERE state <> 'finished'),
       (SELECT count(*) FROM pairs WHERE due_at <= now()),
       (SELECT count(*) FROM pairs WHERE verdict IS NULL),
       (SELECT count(*) FROM pairs WHERE counted IS NULL AND verdict IS NOT NULL AND starts_at < now() - %s),
       (SELECT count(*) FROM cost_changes)
"""
STAGES = ("dispatches", "sequenced", "runs", "pairs_due", "unjudged", "uncounted", "costs")
"""Dispatches that are due; that wait for a twin to settle; runs that have not ended; pairs that the judge may look at;
pairs without a verdict, those that settle among them; pairs with one that no gate has counted although it might;
changes of costs that are not tallied."""

_TOLERATED = 0.02
"""Of the rate: what a backlog may grow by and still pass for one that does not, because it is sampled."""
_SWAY_SECONDS = 1.5
"""Of events: how much a backlog of stages that work in batches differs between looks without growing."""
_SWAY_OF_STAGE = {"costs": 2 * EVERY_SECONDS}
"""The same of stages that work so seldom that it shows: an event has two runs, each of which changes the costs."""
_LEAST = 3
"""Samples."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What waited at one moment."""

    at: float
    """Seconds, of any clock."""
    waiting: Mapping[str, int]


def look(connection: psycopg.Connection[tuple[int, ...]], at: float) -> Sample:
    """Count what waits now."""
    row = connection.execute(_WAITING, (UNDER_WAY,)).fetchone()
    assert row is not None
    return Sample(at, dict(zip(STAGES, row, strict=True)))


def growth(samples: Sequence[Sample], stage: str) -> float:
    """By how many a second that backlog grew: the median of the slopes between all pairs of samples (Theil and Sen),
    which one late sample does not sway. 0 where there are too few samples."""
    if len(samples) < _LEAST:
        return 0.0
    slopes = [
        (after.waiting[stage] - before.waiting[stage]) / (after.at - before.at)
        for index, before in enumerate(samples)
        for after in samples[index + 1 :]
        if after.at > before.at
    ]
    return statistics.median(slopes) if slopes else 0.0


def growing(samples: Sequence[Sample], per_second: float) -> dict[str, float]:
    """The stages whose backlog grew, and by how many a second.

    Args:
        per_second: events that were sent meanwhile.
    """
    lasted = samples[-1].at - samples[0].at if samples else 0.0

    def tolerated(stage: str) -> float:
        sway = _SWAY_OF_STAGE.get(stage, _SWAY_SECONDS)
        return max(_TOLERATED, sway / lasted if lasted else 0.0) * per_second

    grown = {stage: growth(samples, stage) for stage in STAGES}
    return {stage: round(slope, 1) for stage, slope in grown.items() if slope > tolerated(stage)}
