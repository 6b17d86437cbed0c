"""How the runs of counted pairs ended and how long they took: counted with the pair, by delta, in the same transaction.

Whoever counts pairs within an epoch hands over each pair that is counted for the first time or otherwise than before.
So a gate's conditions on failures and latency consume pairs in the order in which its statistic does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from shadow.catalogue.gate_settings import BoundSetting
from shadow.store.database import Connection

COMPARED = frozenset({"match", "allowed", "mismatch"})
"""Counted as: both its runs have ended."""
FAILED = frozenset({"failed", "crashed", "timed_out", "expired"})
_COMPLETED = "completed"
_LEAST_SECONDS = 0.001

_PAIRS = "SELECT id, legacy_run, candidate_run, starts_at, replay IS NOT NULL FROM pairs WHERE id = ANY(%s)"
_RUNS = "SELECT id, status, extract(epoch FROM finished_at - started_at)::float8 FROM runs WHERE id = ANY(%s)"
_WAITED = """
SELECT run_id, sum(waited_ms)::float8 / 1000 FROM effects WHERE run_id = ANY(%s) AND waited_ms > 0 GROUP BY 1
"""
_COUNT = """
INSERT INTO gate_runs AS known (epoch, neither_failed, candidate_failed, legacy_failed, both_failed, latency_bound,
                                timed, slower, log_ratio, newest_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (epoch) DO UPDATE SET
    neither_failed = known.neither_failed + excluded.neither_failed,
    candidate_failed = known.candidate_failed + excluded.candidate_failed,
    legacy_failed = known.legacy_failed + excluded.legacy_failed,
    both_failed = known.both_failed + excluded.both_failed,
    latency_bound = excluded.latency_bound,
    timed = greatest(0, excluded.timed + CASE WHEN {same} THEN known.timed ELSE 0 END),
    slower = greatest(0, excluded.slower + CASE WHEN {same} THEN known.slower ELSE 0 END),
    log_ratio = excluded.log_ratio + CASE WHEN {same} THEN known.log_ratio ELSE 0 END,
    newest_at = greatest(known.newest_at, excluded.newest_at)
""".format(same="known.latency_bound = excluded.latency_bound")


@dataclass(frozen=True, slots=True)
class Recounted:
    """A pair that is counted in its epoch otherwise than before."""

    pair: UUID
    before: str | None
    """As what it was counted; None: not at all."""
    after: str | None

    @property
    def sign(self) -> int:
        """1: its runs are to be counted; -1: no longer; 0: as they are."""
        return (self.after in COMPARED) - (self.before in COMPARED)


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended."""

    status: str | None
    seconds: float | None
    """Without what it waited at the gateway for its twin's answer; None: not known."""

    @property
    def failed(self) -> bool:
        return self.status in FAILED


@dataclass
class Delta:
    """What is to be added for an epoch."""

    bound: BoundSetting
    cells: dict[tuple[bool, bool], int] = field(default_factory=dict)
    """(whether the candidate failed, whether legacy did) -> pairs."""
    timed: int = 0
    slower: int = 0
    log_ratio: float = 0.0
    newest_at: datetime | None = None

    def add(self, legacy: Ran, candidate: Ran, sign: int, *, timed: bool) -> None:
        """Count a pair, or take it back."""
        cell = candidate.failed, legacy.failed
        self.cells[cell] = self.cells.get(cell, 0) + sign
        if not timed or {legacy.status, candidate.status} != {_COMPLETED}:
            return
        if legacy.seconds is None or candidate.seconds is None:
            return
        took = max(legacy.seconds, _LEAST_SECONDS), max(candidate.seconds, _LEAST_SECONDS)
        self.timed += sign
        self.slower += sign * (took[1] > self.bound.ratio * took[0] + self.bound.slack)
        self.log_ratio += sign * math.log(took[1] / took[0])

    def row(self) -> tuple[object, ...]:
        cells = [self.cells.get(cell, 0) for cell in ((False, False), (True, False), (False, True), (True, True))]
        return (*cells, bound_text(self.bound), self.timed, self.slower, self.log_ratio, self.newest_at)


def bound_text(bound: BoundSetting) -> str:
    """What a bound is told from another one by."""
    return f"{bound.ratio:g} x + {bound.slack:g} s"


async def count_runs(connection: Connection, epoch: UUID, bound: BoundSetting, recounted: Iterable[Recounted]) -> None:
    """Count the runs of pairs of an epoch. The caller holds its row, and commits.

    Args:
        bound: what a run of the candidate may take.
    """
    signs = {one.pair: one.sign for one in recounted if one.sign}
    if not signs:
        return
    pairs = await (await connection.execute(_PAIRS, (list(signs),))).fetchall()
    runs = await _runs(connection, [run for _pair, *both, _at, _replayed in pairs for run in both])
    delta = Delta(bound)
    for pair, legacy, candidate, starts_at, replayed in pairs:
        if signs[pair] > 0:
            delta.newest_at = max(filter(None, (delta.newest_at, starts_at)), default=None)
        if legacy in runs and candidate in runs:
            # Replays run against recorded answers: how long they take says nothing.
            delta.add(runs[legacy], runs[candidate], signs[pair], timed=not replayed)
    await connection.execute(_COUNT, (epoch, *delta.row()))


async def _runs(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Ran]:
    told: Sequence[tuple[Any, ...]] = await (await connection.execute(_RUNS, (list(ids),))).fetchall()
    waited = dict(await (await connection.execute(_WAITED, (list(ids),))).fetchall())
    return {
        run: Ran(status, None if seconds is None else seconds - waited.get(run, 0.0)) for run, status, seconds in told
    }
